"""The vectors that are right: common ones and uncommon ones, each with what a naive reader does wrong."""

from collections.abc import Iterator
from dataclasses import replace

from parts import BASE, STEREO, Vector, block, chunk, chunks, join, whole, with_records

from rvqcodec.container import blocks
from rvqcodec.container.header import pack_header


def valid() -> Iterator[Vector]:
    """Files that every reader must read."""
    v = "valid"
    yield Vector(
        v,
        "tiny",
        whole(BASE, 2, short=264),
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
        whole(STEREO, 14, balances=(0, 9, -20, 3)),
        "Each chunk shares its codebooks differently. A naive reader takes n_q from the first chunk for all.",
    )
    yield Vector(
        v,
        "side-silent",
        whole(STEREO, 6, balances=(127,)),
        "n_q is 6 and 0. A naive reader sees an array of no rows and stops.",
    )
    yield Vector(
        v,
        "mid-silent",
        whole(STEREO, 6, balances=(-128,)),
        "n_q is 0 and 6: the first coded channel has nothing. Balance is a signed byte.",
    )
    silent = replace(STEREO, n_samples=STEREO.samples_in(8))
    yield Vector(
        v,
        "silence",
        join(
            pack_header(silent),
            [chunk(silent, 0, 4, (0, 0), 127), chunk(silent, 4, 4, (0, 0), 127)],
            frames=8,
            n_samples=silent.samples_in(8),
        ),
        "Chunks without payload. They still last four frames each.",
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
    part = blocks.pack_chunk(header, 0, 4, (2,), 0, b"\xd5C" * 8)
    return join(pack_header(header), [part], frames=4, n_samples=header.samples_in(4))


def uncommon() -> Iterator[Vector]:
    """Files that a reader may refuse."""
    u = "uncommon"
    yield Vector(
        u,
        "discrete-3",
        whole(replace(BASE, channels=3, coding="discrete", total_n_q=7), 6),
        "Three channels that share 7 codebooks: 2 each, one is left over.",
    )
    yield Vector(
        u,
        "discrete-8-full",
        whole(replace(BASE, channels=8, coding="discrete", total_n_q=256), 2),
        "Eight channels of 32 codebooks. total_n_q does not fit a byte.",
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
            [chunk(h, 0, 4, (1,)), chunk(h, 4, 4), chunk(h, 8, 1, (0,))],
            frames=9,
            n_samples=h.samples_in(9),
        ),
        "n_q below total_n_q, different in each chunk: a mono file of variable bitrate.",
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
