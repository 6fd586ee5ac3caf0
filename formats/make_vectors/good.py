"""The vectors that are right: common ones and uncommon ones, each with what a naive reader does wrong."""

from collections.abc import Iterator
from dataclasses import replace

from parts import BASE, STEREO, Vector, block, chunk, chunks, join, packed, plan, whole, with_records

from rvqcodec.container import Allocation
from rvqcodec.container.allocation import constant
from rvqcodec.container.headerbytes import pack_header

TINY = replace(BASE, n_samples=1500)


def valid() -> Iterator[Vector]:
    """Files that every reader must read."""
    v = "valid"
    yield Vector(
        v,
        "tiny",
        join(pack_header(TINY), [chunk(TINY, 0, 2, constant((2,), 2))], frames=2, n_samples=1500),
        "The example of the specification: 1,500 samples. A naive reader gives two whole frames, 2,352 samples.",
    )
    yield Vector(v, "empty", whole(BASE, 0), "No samples, no frames, no chunks. A naive reader divides by the length.")
    yield Vector(
        v,
        "one-sample",
        whole(BASE, 1, short=587),
        "One sample, for which one frame is needed. A naive reader rounds down to none.",
    )
    yield Vector(
        v,
        "mono",
        whole(replace(BASE, total_n_q=16, frames_per_chunk=128), 200, short=33),
        "6 kbps as `rvq encode` makes it: a full chunk and a shorter one.",
    )
    yield Vector(
        v,
        "mid-side",
        whole(STEREO, 14, weights=((1, 1), (3, 1), (1, 9), (255, 254))),
        "Each chunk shares its codes differently. A naive reader takes the numbers of the first chunk for all.",
    )
    yield Vector(
        v,
        "side-silent",
        whole(STEREO, 6, weights=((1, 0),)),
        "The second coded channel has no codes and no demands. A naive reader sees an array of no rows and stops.",
    )
    yield Vector(
        v,
        "mid-silent",
        whole(STEREO, 6, weights=((0, 7),)),
        "The first coded channel has nothing: the demands are the second's.",
    )
    silent = replace(STEREO, n_samples=STEREO.samples_in(8))
    yield Vector(
        v,
        "silence",
        join(
            pack_header(silent),
            [chunk(silent, 0, 4, constant((0, 0), 4)), chunk(silent, 4, 4, plan(silent, 4, 4, (0, 0)))],
            frames=8,
            n_samples=silent.samples_in(8),
        ),
        "Chunks without payload, one of constant allocation and one of demands that nobody has. They still last four "
        "frames each.",
    )
    turned = replace(STEREO, n_samples=STEREO.samples_in(4))
    yield Vector(
        v,
        "turned",
        join(pack_header(turned), [chunk(turned, 0, 4, angle=40)], frames=4, n_samples=turned.samples_in(4)),
        "Stereo turned by 40 sixteenths of 45 degrees instead of mid and side.",
    )
    h = replace(BASE, n_samples=BASE.samples_in(8))
    yield Vector(
        v,
        "joined",
        join(
            pack_header(h),
            [chunk(h, 0, 4), chunk(h, 4, 2, begins=True), chunk(h, 6, 2, constant((2,), 2), begins=True)],
            frames=8,
            n_samples=h.samples_in(8),
        ),
        "Three recordings, one behind the other: nothing before frames 4 and 6 counts for what is decoded there.",
    )
    side = replace(STEREO, side=(1, 4), n_samples=STEREO.samples_in(4))
    yield Vector(
        v,
        "side-has-limits",
        join(pack_header(side), chunks(side, 4), frames=4, n_samples=side.samples_in(4)),
        "Frames of the second channel get one code before demands count, and never more than 4; those of the first 2 "
        "and 32. A naive reader has one pair of limits.",
    )
    h = replace(STEREO, n_samples=STEREO.samples_in(8))
    yield Vector(
        v,
        "constant",
        join(
            pack_header(h),
            [chunk(h, 0, 4, constant((4, 2), 4)), chunk(h, 4, 4, Allocation(total=20, weights=(200, 100)))],
            frames=8,
            n_samples=h.samples_in(8),
        ),
        "The same number of codes in every frame, 4 and 2, then 3 and 2: there are no demands.",
    )
    h = replace(BASE, total_n_q=8, n_samples=BASE.samples_in(4))
    demand = bytes([0, 3, 15, 0])
    yield Vector(
        v,
        "frames-without-codes",
        join(pack_header(h), [chunk(h, 0, 4, plan(h, 0, 4, demand=demand))], frames=4, n_samples=h.samples_in(4)),
        "Demand 0 leaves frames silent, whatever the first codes are.",
    )
    cut = replace(plan(h, 0, 2, demand=bytes([15, 12])), total=40, part=True)
    h = replace(h, n_samples=h.samples_in(2))
    yield Vector(
        v,
        "part-of-a-chunk",
        join(pack_header(h), [chunk(h, 0, 2, cut)], frames=2, n_samples=h.samples_in(2)),
        "Two loud frames that were cut out of a chunk: 20 codes each, where the header allows 8 in the mean of a whole "
        "one.",
    )
    yield Vector(
        v,
        "length-unknown",
        whole(BASE, 9, known=False, short=100),
        "Written into a pipe: the header says all ones, the end 8 frames and a bit. A naive reader allocates "
        "2^64 - 1 samples.",
    )
    yield Vector(
        v,
        "rate-48000",
        whole(replace(BASE, sample_rate=48000), 5, short=10),
        "n_samples counts at 48,000 Hz, frames at 44,100. A naive reader mixes them up and cuts 9 % off.",
    )
    yield Vector(
        v,
        "rate-8000",
        whole(replace(BASE, sample_rate=8000), 5),
        "Frames do not start on whole samples here; sums must round as the specification says.",
    )
    tags = (("TITLE", "Türen & Töne"), ("ARTIST", "a=b"), ("ARTIST", "second"), ("COMMENT", ""))
    yield Vector(
        v,
        "tags",
        whole(replace(BASE, tags=tags), 2),
        "A value with '=', an empty one, a key twice. A naive reader splits at the last '=' or keeps a dict.",
    )
    evil = (
        ("TITLE", "../../etc/passwd"),
        ("COMMENT", "\x1b[2J\x07\r\n\u202etxt.exe"),
        ("|-}", "\ud7ff\U0010ffff"),
    )
    yield Vector(
        v,
        "tags-hostile",
        whole(replace(BASE, tags=evil), 2),
        "A value like a path, terminal controls, a right-to-left mark: legal text. A naive program prints "
        "it raw "
        "or opens it.",
    )
    yield Vector(
        v,
        "part-of-a-longer-one",
        whole(replace(BASE, first_frame=5000, tags=(("TITLE", "part"),)), 4),
        "What `rvq cut` makes: the header has a record with the number 5,000, chunks still count from 0. A naive "
        "reader looks for 5,000 frames before, or begins the noise at 0.",
    )
    yield Vector(v, "marks-in-codes", _marks(), "The payload is full of D5 43, which begins a chunk. A "
    "naive reader looks "
                 "for the next mark instead of using the size, or salvages phantoms.")  # fmt: skip


def _marks() -> bytes:
    header = replace(BASE, code_bits=16, total_n_q=2, n_samples=BASE.samples_in(4))
    part = packed(header, 0, 4, constant((2,), 4), b"\xd5C" * 8)
    return join(pack_header(header), [part], frames=4, n_samples=header.samples_in(4))


def uncommon() -> Iterator[Vector]:
    """Files that a reader may refuse."""
    u = "uncommon"
    yield Vector(
        u,
        "discrete-3",
        whole(replace(BASE, channels=3, coding="discrete", total_n_q=7), 6),
        "Three channels that share 7 codes a frame in the mean.",
    )
    yield Vector(
        u,
        "discrete-8-full",
        whole(replace(BASE, channels=8, coding="discrete", total_n_q=512, most=64), 2),
        "Eight channels of 64 codes a frame. total_n_q does not fit a byte.",
    )
    yield Vector(
        u,
        "speakers",
        whole(replace(BASE, channels=3, coding="discrete", total_n_q=7, speakers=0xB, tags=(("TITLE", "2.1"),)), 6),
        "Front left, front right, low frequencies. A naive reader sends the third to the centre.",
    )
    yield Vector(
        u,
        "speakers-of-none",
        whole(replace(BASE, channels=4, coding="discrete", total_n_q=8, speakers=0), 4),
        "Four channels without a place, tracks of a recording. A naive reader makes them quadraphonic.",
    )
    yield Vector(
        u,
        "speakers-of-a-part",
        whole(replace(BASE, channels=4, coding="discrete", total_n_q=8, speakers=0x600, first_frame=7), 4),
        "Behind the number of a part's first frame: side left and right, and two channels without a place.",
    )
    yield Vector(
        u,
        "bits-1",
        whole(replace(BASE, code_bits=1, total_n_q=3), 7),
        "Codes of one bit: 12 bits and 4 of padding, 9 bits and 7 of padding.",
    )
    yield Vector(u, "bits-16", whole(replace(BASE, code_bits=16), 5), "Codes of 16 bits, most significant byte first.")
    yield Vector(
        u,
        "chunks-of-1",
        whole(replace(BASE, frames_per_chunk=1), 5),
        "A chunk for each frame, each with 4 bits of padding.",
    )
    yield Vector(u, "chunk-of-1024", whole(replace(BASE, frames_per_chunk=1024), 1024), "The longest chunk.")
    h = replace(BASE, n_samples=BASE.samples_in(9))
    yield Vector(
        u,
        "short-chunks",
        join(
            pack_header(h),
            [chunk(h, 0, 3), chunk(h, 3, 1), chunk(h, 4, 4), chunk(h, 8, 1)],
            frames=9,
            n_samples=h.samples_in(9),
        ),
        "Short chunks in the middle, as after `rvq cut` and `rvq cat`. A naive reader multiplies the chunk's "
        "number by the header's frames per chunk.",
    )
    yield Vector(
        u,
        "fewer-codebooks",
        join(
            pack_header(h),
            [chunk(h, 0, 4, constant((1,), 4)), chunk(h, 4, 4), chunk(h, 8, 1, constant((0,), 1))],
            frames=9,
            n_samples=h.samples_in(9),
        ),
        "Fewer codes than total_n_q allows, different in each chunk: a mono file of variable bitrate.",
    )
    h = replace(BASE, n_samples=BASE.samples_in(4))
    record = with_records(h, b"z\x03\x00abc" + b"a\x00\x00")
    yield Vector(
        u,
        "optional-records",
        join(record, chunks(h, 4), frames=4, n_samples=h.samples_in(4)),
        "Records of kinds z and a, which may be skipped. A naive reader refuses all that it does not know.",
    )
    extra = [block(b"i", b"\xd5E not an end \xd5C"), *chunks(h, 4), block(b"q", b"")]
    yield Vector(
        u,
        "optional-blocks",
        join(pack_header(h), extra, frames=4, n_samples=h.samples_in(4)),
        "Blocks of kinds i and q, one with marks inside. They count in the checksum of the end, not as chunks.",
    )
    long = (("LYRICS", "la " * 21800),)
    yield Vector(u, "tags-64k", whole(replace(BASE, tags=long), 2), "A header of almost 64 KiB, most of it one tag.")
    yield Vector(
        u,
        "pre-skip-0",
        whole(replace(BASE, pre_skip=0, hop=1), 3),
        "Hop 1, nothing to skip: a frame is a sample.",
    )
