"""What must hold for any bytes at all: shared by the fuzz target, the mutation run and the tests."""

# ruff: noqa: PT017 - an oracle looks at errors, it does not expect them

import io
import random
import struct
import zlib
from pathlib import Path

from rvqcodec.cli.text import as_text
from rvqcodec.codes.describe import as_dict, describe
from rvqcodec.codes.edit import Joiner, cut, trim
from rvqcodec.codes.verify import verify
from rvqcodec.container import Chunk, Damage, Reader, Writer
from rvqcodec.container.blocks import CHUNK, CRC, END, END_SIZE, MARK
from rvqcodec.container.chunks import fields_size, parse_fields
from rvqcodec.container.header import Header
from rvqcodec.container.headerbytes import header_size, parse_header
from rvqcodec.errors import FormatError, RvqError, WeightsError

VECTORS = Path(__file__).resolve().parents[2] / "formats" / "vectors"


class Unseekable(io.BytesIO):
    """A pipe."""

    def seekable(self) -> bool:
        return False


def check(data: bytes) -> str:
    """Puts bytes through everything that reads them; AssertionError or any error but ours is a finding.

    Returns what they were: "good", "refused" (no header) or "damaged".
    """
    try:
        reader = Reader(io.BytesIO(data))
        chunks = [chunk for chunk in reader if isinstance(chunk, Chunk)]
    except FormatError as error:
        assert error.position is not None
        assert 0 <= error.position <= len(data)
        assert str(error).isprintable()
        chunks = None
    except WeightsError as error:  # of codec 1, with other tables than there are
        assert str(error).isprintable()
        chunks = None
    verdict = verify(Unseekable(data))
    # Whether coded codes make sense shows only to whoever has the tables.
    assert verdict.ok == (chunks is not None) or (verdict.ok and verdict.header and verdict.header.codec == 1)
    if verdict.header is None:
        return "refused"
    _salvage(data)
    _edit(data, verdict.header, good=verdict.ok)
    if chunks is None:
        return "damaged"
    _rewrite(data, chunks)
    return "good"


def _salvage(data: bytes) -> None:
    """Salvaging covers every frame once, or gives up with our error."""
    try:
        reader = Reader(io.BytesIO(data), salvage=True)
        frames = 0
        for item in reader:
            assert item.start_frame == frames
            frames += item.frames
            if isinstance(item, Damage):
                assert 0 <= item.position <= len(data)
                assert item.reason.isprintable()
        assert frames == reader.frames
        n_samples = reader.n_samples
        assert n_samples is None or reader.header.frames_for(n_samples) <= frames
        description = describe(io.BytesIO(data), list_chunks=True)
        assert all(line.isprintable() for line in as_text(description))
        as_dict(description)
    except FormatError as error:
        assert "too many" in str(error)
    except WeightsError as error:
        assert "tables" in str(error) or "weights" in str(error)


def _edit(data: bytes, header: Header, *, good: bool) -> None:
    """Edits give good files or refuse; a damaged file is never trimmed or joined."""

    def trimmed(out: io.BytesIO) -> None:
        trim(Reader(Unseekable(data)), out, max(1, header.total_n_q // 2))

    def part(out: io.BytesIO) -> None:
        cut(Reader(io.BytesIO(data)), out, 700, 2000)

    def joined(out: io.BytesIO) -> None:
        joiner = Joiner([header, header], ["a", "b"], out)
        joiner.append(Reader(io.BytesIO(data)))
        joiner.append(Reader(Unseekable(data)))
        joiner.close()

    for edit in (trimmed, part, joined):
        out = io.BytesIO()
        try:
            edit(out)
        except RvqError as error:
            assert str(error).isprintable()
            continue
        assert good or edit is part
        made = verify(io.BytesIO(out.getvalue()))
        assert made.ok
        assert made.header is not None
        assert made.header.layout == header.layout


def _rewrite(data: bytes, chunks: list[Chunk]) -> None:
    """What is accepted is canonical: a writer makes the same bytes of it, but for what may be skipped."""
    reader = Reader(io.BytesIO(data))
    list(reader.raw())
    out = io.BytesIO()
    writer = Writer(out, reader.header)
    try:
        for chunk in chunks:
            writer.write_chunk(chunk)
    except WeightsError:  # read without tables, for all its codes were packed; whether coding pays only they can tell
        assert reader.header.codec == 1
        return
    assert reader.end is not None
    writer.close(reader.end.n_samples)
    if len(out.getvalue()) == len(data):
        assert out.getvalue() == data
    else:
        assert len(out.getvalue()) < len(data)


def resealed(data: bytes) -> bytes:
    """The same bytes with right checksums as far as blocks can be followed, so that a fuzzer gets
    behind them.
    """
    out = bytearray(data)
    try:
        size = header_size(data[:7])
        if size > len(data):
            return data
        out[size - 4 : size] = struct.pack("<I", zlib.crc32(out[: size - 4]))
        header = parse_header(bytes(out[:size]))
        check, at = zlib.crc32(out[size - 4 : size]), size
        while at + 2 <= len(out) and out[at] == MARK:
            if out[at + 1] == END and at + END_SIZE <= len(out):
                out[at + 18 : at + 22] = CRC.pack(check)
                stop = at + END_SIZE
            elif out[at + 1] == CHUNK and at + fields_size(header) <= len(out):
                stop = at + parse_fields(header, bytes(out[at : at + fields_size(header)]), at).size
            elif at + 5 <= len(out):
                stop = at + 9 + int.from_bytes(out[at + 2 : at + 5], "little")
            else:
                break
            if stop > len(out):
                break
            out[stop - 4 : stop] = CRC.pack(zlib.crc32(out[at : stop - 4]))
            check = zlib.crc32(out[stop - 4 : stop], check)
            at = stop
    except FormatError:
        pass
    return bytes(out)


def mutated(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """One to eight changes: bits, bytes, numbers at their limits, pieces removed, doubled, moved, from
    other files.
    """
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        at = rng.randrange(len(out) + 1)
        size = rng.choice((1, 1, 2, 4, 8, 13, 60))
        match rng.randrange(8):
            case 0:
                out[at : at + 1] = bytes(b ^ 1 << rng.randrange(8) for b in out[at : at + 1])
            case 1:
                out[at : at + 1] = rng.randbytes(1)
            case 2:
                out[at : at + size] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * size
            case 3:
                del out[at : at + size]
            case 4:
                out[at:at] = out[at : at + size]
            case 5:
                out[at:at] = rng.choice((b"\xd5C", b"\xd5E", b"\xd5x", rng.randbytes(size)))
            case 6:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                out[at : at + size] = other[start : start + size]
            case _:
                del out[at:]
    return bytes(out)


def seeds() -> list[bytes]:
    """The vectors, without the two largest: what they show is in the others too, and they are slow."""
    files = [path.read_bytes() for path in sorted(VECTORS.rglob("*.rvq"))]
    return [data for data in files if len(data) < 3000]
