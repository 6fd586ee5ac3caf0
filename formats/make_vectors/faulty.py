"""The vectors that are wrong, each in one thing, with the byte and the reason of the refusal."""

from collections.abc import Iterator
from dataclasses import replace

from parts import (
    BASE,
    STEREO,
    Vector,
    block,
    chunk,
    chunks,
    join,
    packed,
    patched,
    plan,
    resealed,
    whole,
    with_records,
)

from rvqcodec.container import Allocation, blocks
from rvqcodec.container.allocation import constant
from rvqcodec.container.headerbytes import pack_header


def faulty_headers() -> Iterator[Vector]:
    """Wrong in the header."""
    f = "faulty"
    good = whole(BASE, 6)
    head = pack_header(replace(BASE, n_samples=BASE.samples_in(6)))
    rest = chunks(BASE, 6)

    def of(new_head: bytes) -> bytes:
        return join(new_head, rest, frames=6, n_samples=BASE.samples_in(6))

    yield Vector(f, "no-bytes", b"", "An empty file. A naive reader finds no fault in it.", 0, "empty")
    yield Vector(f, "magic", patched(good, 0, b"R"), "R instead of 89.", 0, "no .rvq file")
    yield Vector(
        f,
        "version-2",
        patched(good, 4, b"\x02"),
        "Version 2. A naive reader goes on, and misreads.",
        4,
        "version 2",
    )
    yield Vector(f, "header-too-short", of(resealed(head, 5, b"\x10\x00")), "A length of 16.", 5, "length 16")
    yield Vector(f, "header-cut", good[:30], "The file ends inside the header.", 30, "ends inside the header")
    yield Vector(
        f,
        "header-length-huge",
        patched(good, 5, b"\xff\xff"),
        "A header longer than the file. A naive reader waits, or reads chunks as tags.",
        len(good),
        "ends inside the header",
    )
    yield Vector(
        f,
        "header-checksum",
        patched(good, 12, b"\x01"),
        "One byte of the sample rate is another.",
        len(head) - 4,
        "checksum",
    )
    fields = (
        ("codec-2", 7, b"\x02", 7, "codec 2", "A payload that is not packed codes. A naive reader unpacks "
        "it."),
        ("coding-3", 8, b"\x03", 8, "coding 3", "An unknown way to code channels."),
        ("channels-0", 9, b"\x00", 9, "channels 0", "No channels. A naive reader divides by them."),
        ("channels-255", 9, b"\xff", 9, "channels 255", "255 channels."),
        ("mono-of-2", 9, b"\x02", 9, "2 channels", "Mono coding of two channels."),
        ("sample-rate-0", 10, bytes(4), 10, "sample_rate 0", "A naive reader divides by zero."),
        ("sample-rate-huge", 10, b"\xff" * 4, 10, "sample_rate", "4 GHz. A naive reader makes a resampler "
        "for it."),
        ("model-rate-0", 14, bytes(4), 14, "model_rate 0", "A naive reader divides by zero."),
        ("hop-0", 18, bytes(2), 18, "hop 0", "A naive reader divides by zero."),
        ("bits-0", 22, b"\x00", 22, "code_bits 0", "Codes of no bits: any number of frames fits in no "
        "bytes."),
        ("bits-17", 22, b"\x11", 22, "code_bits 17", "Codes that do not fit 16 bits. A naive reader drops "
        "a bit."),
        ("total-0", 23, bytes(2), 23, "total_n_q 0", "No codebooks."),
        ("total-33", 23, b"\x21\x00", 23, "total_n_q 33", "More codes than the 32 that a frame can have."),
        ("chunk-frames-0", 25, bytes(2), 25, "frames_per_chunk 0", "Chunks of no frames never end."),
        ("chunk-frames-65535", 25, b"\xff\xff", 25, "frames_per_chunk", "A naive reader allocates 64 MB "
        "for each chunk."),
        ("samples-huge", 27, b"\xfe" + b"\xff" * 7, 27, "n_samples", "2^64 - 2 samples. A naive reader "
        "allocates them."),
        ("most-0", 44, b"\x00", 43, "first codes", "Frames that can have no codes."),
        ("most-65", 44, b"\x41", 43, "first codes", "Frames of 65 codes."),
        ("first-33", 43, b"\x21", 43, "first codes", "33 first codes of at most 32."),
        ("side-of-mono", 45, b"\x01\x02", 45, "side channel", "Limits of a second channel, where there is one."),
        ("id-length-0", 47, b"\x00", 47, "model id", "No model id."),
        ("id-length-255", 47, b"\xff", 47, "model id", "A model id longer than the header."),
        ("id-path", 48, b"../../", 47, "model id", "A model id that is a path. A naive program opens it."),
        ("id-control", 48, b"\x1b[31m\x00", 47, "model id", "A model id that colours the terminal."),
    )  # fmt: skip
    for name, at, new, position, reason, text in fields:
        yield Vector(f, name, of(resealed(head, at, new)), text, position, reason)
    at = len(head) - 4
    h = replace(BASE, n_samples=BASE.samples_in(6))
    records = (
        ("feature-X", b"X\x01\x00?", at, "feature 'X'", "A record of a kind that must be known. A naive "
        "reader skips it."),
        ("record-cut", b"t\x05", at, "inside a record", "The header ends inside a record's length."),
        ("record-long", b"t\xff\xffA=b", at + 1, "longer than the header", "A record longer than the "
        "header. A naive "
         "reader takes chunks for text."),
        ("first-frame-short", b"f\x03\x00\x01\x02\x03", at, "first frame", "A first frame of three bytes."),
        ("first-frame-0", b"f\x04\x00" + bytes(4), at, "first frame", "A first frame of 0, which is to be left out: "
         "two files for one content."),
        ("first-frame-late", b"a\x00\x00f\x04\x00\x01\x02\x03\x04", at + 3, "first frame", "A first frame behind "
         "another record."),
        ("speakers-short", b"s\x03\x00\x01\x00\x00", at, "3 bytes", "Loudspeakers of three bytes."),
        ("speakers-many", b"s\x04\x00\x03\x00\x00\x00", at, "more than 1", "Loudspeakers of two channels, where there "
         "is one. A naive reader reads beyond its channels."),
        ("speakers-unknown", b"s\x04\x00\x00\x00\x04\x00", at, "places", "A loudspeaker at bit 18, which is no place."),
        ("speakers-usual", b"s\x04\x00\x04\x00\x00\x00", at, "without saying", "Front centre for one channel, which is "
         "to be left out: two files for one content."),
        ("speakers-late", b"t\x03\x00A=bs\x04\x00\x01\x00\x00\x00", at + 6, "another record", "Loudspeakers behind a "
         "tag."),
        ("speakers-twice", b"s\x04\x00\x01\x00\x00\x00" * 2, at + 7, "another record", "Loudspeakers said twice. A "
         "naive reader takes the last."),
        ("tag-no-equals", b"t\x03\x00abc", at, "no '='", "A tag without '='. A naive reader unpacks two "
        "values from one."),
        ("tag-no-key", b"t\x02\x00=b", at, "key", "A tag without a key."),
        ("tag-latin-1", b"t\x03\x00A=\xe4", at, "UTF-8", "A tag in Latin-1. A naive reader dies of it in "
        "`info`."),
        ("tag-surrogate", b"t\x05\x00A=\xed\xa0\x80", at, "UTF-8", "Half a surrogate pair. A naive reader "
        "cannot print it."),
        ("tag-zero", b"t\x04\x00A=b\x00", at, "zero byte", "A zero byte, at which C programs stop reading."),
    )  # fmt: skip
    for name, record, position, reason, text in records:
        yield Vector(f, name, of(with_records(h, record)), text, position, reason)


def faulty_files() -> Iterator[Vector]:
    """Wrong in chunks, other blocks or the end."""
    f = "faulty"
    h = replace(BASE, n_samples=BASE.samples_in(14))
    n = BASE.samples_in(14)
    head, parts = pack_header(h), chunks(h, 14)
    good = join(head, parts, frames=14, n_samples=n)
    at = len(head)
    second = at + len(parts[0])

    def of(*new_parts: bytes, frames: int = 14, n_samples: int = n, counted: int | None = None) -> bytes:
        return join(head, list(new_parts), frames=frames, n_samples=n_samples, counted=counted)

    a, b, c, d = parts
    end = len(good) - blocks.END_SIZE
    other = packed(h, 4, 4, constant((2,), 4), bytes(10))
    two, few = plan(h, 4, 4), plan(h, 4, 4, demand=bytes(4))

    def with_demands(wanted: Allocation, section: bytes) -> bytes:
        """The second chunk with other bytes for its demands."""
        start, payload = packed(h, 4, 4, replace(wanted, demand=None), b"")[:-4], bytes(10)
        flags = b"\x01" if wanted.demand is None else b"\x00"
        body = start[:11] + flags + start[12:13] + len(section).to_bytes(2, "little") + section + payload
        return resealed(body + bytes(4), 0, b"\xd5")

    four = STEREO.samples_in(4)
    stereo = replace(STEREO, n_samples=four)
    one_more = pack_header(replace(h, n_samples=n + 1))
    rows = (
        ("chunk-checksum", patched(good, second + 20, b"\x00"), second, "checksum", "One byte of the "
        "codes is another. "
         "A naive reader plays a burst of noise."),
        ("chunk-missing", of(a, c, d), second, "missing", "The second chunk was dropped. A naive reader "
        "plays on, early."),
        ("chunk-doubled", of(a, b, b, c, d), second + len(b), "repeated", "The second chunk comes twice."),
        ("chunks-swapped", of(a, c, b, d), second, "missing", "Second and third chunk were exchanged."),
        ("chunk-of-another-file", head + a + other + c + d + good[end:], end + len(other) - len(b), "checksum over all",
         "A good chunk, from another file, in its right place. Only the end can tell; a CRC over all "
         "bytes could not, for "
         "data with its own CRC leaves nothing but its length."),
        ("chunk-frames-none", of(a, resealed(b, 6, bytes(2)), c, d), second, "0 frames", "A chunk of no "
        "frames."),
        ("chunk-frames-many", of(a, resealed(b, 6, b"\xff\xff"), c, d), second, "65535 frames",
         "More frames than the header allows. A naive reader allocates what they would take."),
        ("codes-over-total", of(a, resealed(b, 8, b"\x09"), c, d), second, "9 codes in 4 frames",
         "9 codes in 4 frames where the header allows 2 a frame."),
        ("codes-huge", of(a, resealed(b, 8, b"\xff" * 3), c, d), second, "16777215 codes",
         "16,777,215 codes. A naive reader allocates them."),
        ("codes-over-frames", of(a, packed(h, 4, 4, replace(few, total=8), bytes(10)), c, d), second,
         "more than the 0", "8 codes for 4 frames that want none."),
        ("flags-8", of(a, resealed(b, 11, b"\x08"), c, d), second, "flags 8", "A flag that is not known."),
        ("flags-3", of(a, resealed(b, 11, b"\x03"), c, d), second, "flags 3", "The same number of codes in all frames, "
         "and part of a longer chunk."),
        ("constant-uneven", of(a, packed(h, 4, 4, Allocation(total=7, weights=(1,)), bytes(9)), c, d), second,
         "same number", "7 codes, the same number in 4 frames."),
        ("constant-with-demands", of(a, with_demands(constant((2,), 4), b"\x00"), c, d), second, "bytes of demands",
         "Demands where all frames get the same: a place to hide data."),
        ("demands-huge", of(a, resealed(b, 13, b"\xff\xff"), c, d), second, "65535 bytes of demands",
         "More demands than there can be for 4 frames. A naive reader waits for them."),
        ("demands-cut", of(a, with_demands(two, b"\x52"), c, d), second + 15, "cut short",
         "Demands end inside the first run."),
        ("demands-long", of(a, with_demands(two, b"\x52\x80\x00"), c, d), second + 15, "mean nothing",
         "A byte behind the demands: a place to hide data."),
        ("demands-padding", of(a, with_demands(two, b"\x52\x81"), c, d), second + 15, "mean nothing",
         "A bit behind the demands is 1."),
        ("demands-of-too-many-frames", of(a, with_demands(two, b"\x53\x00"), c, d), second + 15, "more frames",
         "A demand that is kept for 5 frames, of 4. A naive reader writes behind its array."),
        ("demands-parameter", of(a, with_demands(two, b"\x13\x80"), c, d), second + 15, "takes less",
         "Parameter 0 where 1 takes a bit less: two files for the same demands."),
        ("demand-16", of(a, with_demands(two, b"\x3d\x00"), c, d), second + 15, "demand 16",
         "A demand that rises above 15. A naive reader reads behind its table."),
        ("demand-below-0", of(a, with_demands(two, b"\x00\x00"), c, d), second + 15, "demand -1",
         "A demand that falls below 0. A naive reader takes the last of its table."),
        ("angle-64", join(pack_header(stereo), [resealed(chunk(stereo, 0, 4), 12, b"\x40")], frames=4, n_samples=four),
         len(pack_header(stereo)), "angle 64", "An angle of a turn and a half."),
        ("padding-set", of(a, b, c, packed(h, 12, 1, constant((1,), 1), b"\x00\x01"), chunk(h, 13, 1)),
         end - len(d) + 16, "padding", "A bit behind the last code is 1: a place to hide data, and two "
         "files for the "
         "same codes."),
        ("frame-number-wraps", of(resealed(a, 2, b"\xff" * 4), b, c, d), at, "behind frame", "A first "
        "frame that runs over "
         "32 bits. A naive reader wraps round to 3."),
        ("no-end", good[:end], end, "cut short", "All chunks, no end. A naive reader is content."),
        ("cut-in-end", good[:-1], len(good) - 1, "cut short", "The last byte is missing."),
        ("cut-in-chunk", good[: second + 15], second + 15, "cut short", "The file ends inside the second "
        "chunk."),
        ("trailing-byte", good + b"\x00", len(good), "follow the end", "A byte too many: a place to hide "
        "anything."),
        ("two-files", good + good, len(good), "follow the end", "Two files put together with cat. A naive "
        "reader plays "
         "the first and says nothing."),
        ("end-checksum", patched(good, end + 12, b"\x07"), end, "end: checksum", "A byte of the end is "
        "another."),
        ("end-frames", of(a, b, c, d, frames=13), end, "frames", "The end counts a frame less than came."),
        ("end-chunks", of(a, b, c, d, counted=5), end, "chunks", "The end counts a chunk more than came."),
        ("end-samples", of(a, b, c, d, n_samples=n - 1), end, "samples", "The end and the header do not "
        "agree."),
        ("samples-and-frames", join(one_more, parts, frames=14, n_samples=n + 1), end,
         "do not go with", "A sample more than the frames hold. A naive reader reads behind its buffer."),
        ("feature-block-X", of(a, block(b"X", b"?"), b, c, d), second + 1, "'X'", "A block that must be "
        "known."),
        ("block-huge", of(a, patched(block(b"x", b""), 2, b"\xff" * 3), b, c, d), second + 2, "is over",
         "A block to skip that claims 16 MB. A naive reader allocates them."),
        ("block-checksum", of(a, patched(block(b"x", b"abc"), 6, b"B"), b, c, d), second, "checksum",
         "A block that may be skipped, damaged. What is skipped must be whole all the same."),
        ("junk-between", of(a, b"junk", b, c, d), second, "should begin", "Four bytes between two chunks."),
    )  # fmt: skip
    for name, data, position, reason, text in rows:
        yield Vector(f, name, data, text, position, reason)
