"""The container: one table of objects and bytes for writer and reader, however the bytes arrive."""

import io
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rvqfiles import CHANNELS, FACTS, HEADER, make_chunks, make_file, make_header, write

from rvqcodec.codes.describe import describe
from rvqcodec.codes.edit import Joiner, cut_frames, trim
from rvqcodec.codes.verify import verify
from rvqcodec.container import MAX_N_Q, Allocation, Chunk, Damage, Header, Reader, Writer, payloads, usable_tags
from rvqcodec.container.allocation import constant
from rvqcodec.container.chunks import MAX_BLOCK
from rvqcodec.container.headerbytes import pack_header, parse_header
from rvqcodec.container.shapes import Shape
from rvqcodec.errors import FormatError
from rvqcodec.speakers import USUAL


class Trickle(io.RawIOBase):
    """A file that gives one byte at a time, and neither seeks nor tells."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.asked = 0

    def read(self, n: int = -1) -> bytes:
        self.asked = max(self.asked, n)
        return self._file.read(1)

    def seekable(self) -> bool:
        return False


def codes(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.uint16)


TINY = replace(HEADER, total_n_q=2, frames_per_chunk=4, n_samples=1500)

TABLE: list[tuple[Header, list[Chunk], int, str]] = [
    (
        TINY,
        [Chunk.of(TINY, 0, constant((2,), 2), [codes([0, 11], [37, 48])])],
        1500,
        "89525651013a0000000144ac000044ac000098044c020a02000400dc050000000000000123456789abcdef02200000"
        "06746573742d31701ba7a3d543000000000200040000010600000000b09430b80918b1"
        + "d5450200000001000000dc0500000000000064045f7695ca79cd",
    ),
    (
        replace(HEADER, frames_per_chunk=4),
        [],
        0,
        "89525651013a0000000144ac000044ac000098044c020a04000400ffffffffffffffff0123456789abcdef02200000"
        "06746573742d31ccc286e1" "d54500000000000000000000000000000000af212035b8618659",
    ),
]  # fmt: skip


def same(ours: list[Any], theirs: list[Chunk]) -> bool:
    """Whether two lists of chunks hold the same codes and numbers."""
    return len(ours) == len(theirs) and all(
        (a.start_frame, a.frames, a.allocation, a.angle, a.begins)
        == (b.start_frame, b.frames, b.allocation, b.angle, b.begins)
        and np.array_equal(a.n_q, b.n_q)
        and all(np.array_equal(x, y) for x, y in zip(a.codes, b.codes, strict=True))
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize(("header", "chunks", "n_samples", "data"), TABLE)
def test_objects_and_bytes(header: Header, chunks: list[Chunk], n_samples: int, data: str) -> None:
    assert write(header, chunks, n_samples).hex() == data
    for file in (io.BytesIO(bytes.fromhex(data)), Trickle(bytes.fromhex(data))):
        reader = Reader(file)
        assert reader.header == header
        assert same(list(reader), chunks)
        assert reader.end is not None
        assert (reader.end.n_samples, reader.end.chunks) == (n_samples, len(chunks))
        assert reader.n_samples == n_samples
        assert reader.total_bytes == len(data) // 2


class Squeezed:
    """A payload of another codec, for tests: its size is known only from its bytes."""

    def size(self, shape: Shape) -> int | None:
        return None

    def pack(self, codes: Sequence[np.ndarray], shape: Shape) -> bytes:
        return zlib.compress(b"".join(c[:n].tobytes() for c, n in zip(codes, shape.n_q().max(1), strict=True)))

    def unpack(self, payloads: Sequence[tuple[bytes, Shape]]) -> list[tuple[np.ndarray, ...]]:
        return [self._unpacked(data, shape) for data, shape in payloads]

    def _unpacked(self, data: bytes, shape: Shape) -> tuple[np.ndarray, ...]:
        flat = np.frombuffer(zlib.decompress(data), np.uint16).reshape(-1, shape.frames)
        return tuple(np.split(flat, np.cumsum(shape.n_q().max(1))[:-1]))

    def head(self, data: bytes, shape: Shape, total: int) -> bytes:
        left = shape.with_total(total)
        n_q = left.n_q()
        rows = [
            np.where(np.arange(len(c))[:, None] < n, c, 0)
            for c, n in zip(self._unpacked(data, shape), n_q, strict=True)
        ]
        return self.pack([row.astype(np.uint16) for row in rows], left)

    def fault(self, data: bytes, shape: Shape) -> tuple[int, str] | None:
        return None if data[:1] == b"\x78" else (0, "no zlib")


@pytest.mark.parametrize("coding", CHANNELS)
def test_another_payload_is_one_row_of_a_table(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, sought, described, verified, trimmed and cut like plain codes."""
    plain = make_file(coding)
    header = replace(Reader(io.BytesIO(plain)).header, codec=7)
    with pytest.raises(FormatError, match="codec 7 is unknown"):
        write(header, [], 0)
    monkeypatch.setitem(payloads.PAYLOADS, 7, Squeezed())
    chunks = make_chunks(header, 20)
    data = write(header, chunks, header.n_samples or 0)
    for file in (io.BytesIO(data), Trickle(data)):
        reader = Reader(file)
        assert reader.header == header
        assert same(list(reader), chunks)
    sought = Reader(io.BytesIO(data))
    sought.seek_frame(9)
    assert same(list(sought), chunks[1:])
    assert verify(io.BytesIO(data)).ok
    found = describe(io.BytesIO(data), list_chunks=True)
    assert found.payload_bytes == sum(
        len(Squeezed().pack(c.codes, Shape(header.limits, c.allocation, c.frames, 10))) for c in chunks
    )
    # Its length stands behind that of the demands, in 3 bytes.
    raw = found.chunks[0]
    at = raw.position + 12 + (coding == "mid-side") + header.channels
    demands = int.from_bytes(data[at : at + 2], "little")
    assert int.from_bytes(data[at + 2 : at + 5], "little") == raw.size - (at + 5 - raw.position) - demands - 4
    small, plain_small, part = io.BytesIO(), io.BytesIO(), io.BytesIO()
    trim(Reader(io.BytesIO(data)), small, 3)
    trim(Reader(io.BytesIO(plain)), plain_small, 3)
    assert same(list(Reader(io.BytesIO(small.getvalue()))), list(Reader(io.BytesIO(plain_small.getvalue()))))
    cut_frames(Reader(io.BytesIO(data)), part, 3, 17)
    assert sum(chunk.frames for chunk in Reader(io.BytesIO(part.getvalue()))) == 14
    both = io.BytesIO()
    joiner = Joiner([Reader(io.BytesIO(plain)).header, header], ["stdin", "b"], both)
    for file in (plain, data):
        joiner.append(Reader(io.BytesIO(file)))
    joiner.close()
    reader = Reader(io.BytesIO(both.getvalue()))
    twice = [c for c in reader if isinstance(c, Chunk)]
    assert reader.header.codec == 0
    assert [c.codes[0].tolist() for c in twice] == 2 * [c.codes[0].tolist() for c in chunks]
    damaged = bytearray(data)
    damaged[at + 2 : at + 5] = b"\xff\xff\xff"
    with pytest.raises(FormatError, match=f"are over {MAX_BLOCK}"):
        list(Reader(io.BytesIO(bytes(damaged))))
    assert len(list(Reader(io.BytesIO(bytes(damaged)), salvage=True))) == len(chunks)


@pytest.mark.parametrize("coding", CHANNELS)
def test_byte_by_byte_gives_the_same(coding: str) -> None:
    data = make_file(coding)
    whole, trickled = Reader(io.BytesIO(data)), Reader(Trickle(data))
    assert same(list(trickled), list(whole))
    assert trickled.end == whole.end
    assert trickled.payload_bytes == whole.payload_bytes


def test_a_reader_asks_for_no_more_than_it_needs_now() -> None:
    """Else a chunk that has arrived waits in the pipe for the next."""
    data = make_file(frames=16)
    reader = Reader(io.BytesIO(data))
    first = next(reader.raw())
    source = io.BytesIO(data)
    assert next(Reader(source).raw()) == first
    assert source.tell() == reader.total_bytes


@pytest.mark.parametrize("junk", [b"\0", b"\xd5", b"\xd5C", b"junk" * 100, make_file()])
def test_bytes_after_the_end_are_refused(junk: bytes) -> None:
    data = make_file()
    for file in (io.BytesIO(data + junk), Trickle(data + junk)):
        with pytest.raises(FormatError, match="follow the end") as error:
            list(Reader(file))
        assert error.value.position == len(data)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), coding=st.sampled_from(sorted(CHANNELS)), bits=st.integers(1, 16))
def test_round_trip(data: st.DataObject, coding: str, bits: int) -> None:
    channels = CHANNELS[coding] if coding != "discrete" else data.draw(st.integers(2, 8))
    header = replace(
        HEADER,
        coding=coding,
        channels=channels,
        code_bits=bits,
        sample_rate=data.draw(st.integers(1000, 768000)),
        model_rate=44100,
        hop=data.draw(st.integers(64, 65535)),
        pre_skip=data.draw(st.integers(0, 65535)),
        most=MAX_N_Q,
        total_n_q=data.draw(st.integers(channels, channels * MAX_N_Q)),
        frames_per_chunk=data.draw(st.sampled_from([1, 2, 7, 128, 1024])),
        model_id=data.draw(st.from_regex(r"[A-Za-z0-9._-]{1,32}", fullmatch=True)),
        weights_hash=data.draw(st.binary(min_size=8, max_size=8)),
        first_frame=data.draw(st.sampled_from([0, 0, 1, 2**32 - 1])),
        speakers=data.draw(st.sampled_from([None, None, 0, 0x3, 0x4, 0x600, 0x20001])) if channels > 1 else None,
        tags=tuple(
            data.draw(
                st.lists(
                    st.tuples(
                        st.from_regex(r"[ -<>-}]{1,64}", fullmatch=True),
                        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
                    ),
                    max_size=3,
                )
            )
        ),
    )
    n_samples = data.draw(st.integers(0, 40000)) * data.draw(st.integers(0, 1))
    if header.frames_for(n_samples) > 60:
        n_samples = header.samples_in(60)
    if data.draw(st.booleans()):
        header = replace(header, n_samples=n_samples)
    chunks = make_chunks(header, header.frames_for(n_samples))
    packed = write(header, chunks, n_samples)
    for salvage in (False, True):
        reader = Reader(io.BytesIO(packed), salvage=salvage)
        assert reader.header == header
        assert same(list(reader), chunks)
        assert reader.n_samples == n_samples
        assert not reader.damaged


def test_the_usual_layout_goes_without_saying() -> None:
    for channels, mask in enumerate(USUAL, 1):
        header = Header.of(FACTS, sample_rate=44100, channels=channels)
        assert header.layout == mask
        said = replace(header, speakers=mask)
        assert (said, pack_header(said)) == (header, pack_header(header))
        other = replace(header, speakers=0)
        assert len(pack_header(other)) == len(pack_header(header)) + 7
        assert parse_header(pack_header(other)).layout == 0
        assert b"s\x04\x00" + bytes(4) in pack_header(other)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 10**9), rate=st.integers(1000, 768000), skip=st.integers(0, 65535), hop=st.integers(1, 65535))
def test_lengths_and_frames_go_together(n: int, rate: int, skip: int, hop: int) -> None:
    header = replace(HEADER, sample_rate=rate, pre_skip=skip, hop=hop)
    frames = header.frames_for(n)
    assert header.samples_in(frames) >= n > header.samples_in(frames - 1)
    assert frames * hop >= header.model_samples(n) + skip > (frames - 1) * hop


def test_framing_and_demands_cost_little() -> None:
    for coding in ("mono", "mid-side"):
        header = make_header(coding, total_n_q=16, frames_per_chunk=128)
        n_samples = 60 * 44100
        loud = bytes([15, 15, 14, 14, 14, 13]) * 22
        chunks = []
        for chunk in make_chunks(header, header.frames_for(n_samples)):
            rows = (loud[: chunk.frames],) + (b"",) * (header.channels - 1)
            wanted = Allocation(total=16 * chunk.frames, weights=tuple(int(bool(row)) for row in rows), demand=rows)
            codes = np.zeros((header.channels, 32, chunk.frames), np.uint16)
            chunks.append(Chunk.of(header, chunk.start_frame, wanted, list(codes)))
        data = write(header, chunks, n_samples)
        reader = Reader(io.BytesIO(data))
        assert sum(1 for _ in reader) == 18
        assert reader.payload_bytes == 16 * 10 * 2251 // 8
        assert (len(data) - reader.payload_bytes) / len(data) < 0.024  # demands that move often


@pytest.mark.parametrize(
    ("changes", "position"),
    [
        ({"sample_rate": 0}, 10), ({"sample_rate": 1 << 32}, 10), ({"hop": 0}, 18), ({"channels": 2}, 9),
        ({"coding": "quad"}, 8), ({"coding": "mid-side"}, 9), ({"coding": "discrete"}, 9), ({"total_n_q": 33}, 23),
        ({"frames_per_chunk": 1025}, 25), ({"n_samples": -1}, None), ({"weights_hash": b"short"}, 35),
        ({"model_id": "a/b"}, 47), ({"model_id": ""}, 47), ({"first": 33}, 43), ({"most": 65}, 43), ({"most": 0}, 43),
        ({"code_bits": 17}, 22), ({"pre_skip": -1}, 20),
        ({"first_frame": -1}, None), ({"first_frame": 1 << 32}, None),
        ({"speakers": -1}, None), ({"speakers": 3}, None), ({"speakers": 1 << 18}, None),
        ({"tags": (("", "x"),)}, None), ({"tags": (("A=B", "x"),)}, None), ({"tags": (("Ä", "x"),)}, None),
        ({"tags": (("A", "x\0"),)}, None), ({"tags": (("A", "\ud800"),)}, None),
        ({"tags": (("A", "x" * 65536),)}, None),
    ],
)  # fmt: skip
def test_a_writer_refuses_what_a_reader_would(changes: dict[str, Any], position: int | None) -> None:
    out = io.BytesIO()
    with pytest.raises(FormatError) as error:
        Writer(out, replace(HEADER, **changes))
    assert position is None or error.value.position == position
    assert not out.getvalue()


def test_a_writer_refuses_chunks_out_of_order_and_wrong_totals() -> None:
    header = replace(HEADER, n_samples=100)
    chunk = make_chunks(HEADER, 8)[0]
    writer = Writer(io.BytesIO(), header)
    with pytest.raises(ValueError, match="frame 3"):
        writer.write_chunk(replace(chunk, start_frame=3))
    for changes, message in (
        ({"frames": 7}, "shape"),
        ({"codes": [chunk.codes[0][:1]]}, "shape"),
        ({"n_q": chunk.n_q + 1, "codes": [np.zeros((32, 8), np.uint16)]}, "not what the allocation gives"),
        ({"angle": 3}, "angle 3"),
        ({"allocation": Allocation(total=0, weights=(1, 1))}, "weights"),
        ({"allocation": Allocation(total=0, weights=(256,))}, "weights"),
        ({"allocation": Allocation(total=0, weights=(1,), demand=(b"123",))}, "demands of"),
        ({"allocation": Allocation(total=0, weights=(1,), demand=(bytes([16]) * 8,))}, "demand is over 15"),
    ):
        with pytest.raises(ValueError, match=message):
            writer.write_chunk(replace(chunk, **changes))
    for wanted, message in (
        (constant((5,), 8), "more than 4 a frame"),
        (Allocation(total=9, weights=(1,)), "same number"),
        (Allocation(total=9, weights=(0,), demand=(b"",)), "more than the 0"),
        (Allocation(total=8 * 33, weights=(1,), demand=(bytes(8),), part=True), "more than 32 a frame"),
    ):
        with pytest.raises(FormatError, match=message):
            writer.write_chunk(replace(chunk, allocation=wanted))
    writer.write_chunk(chunk)
    with pytest.raises(FormatError, match="announced"):
        writer.close(101)
    with pytest.raises(FormatError, match="frames"):
        writer.close(100)


def test_a_writer_finishes_what_a_raw_file_takes_in_parts() -> None:
    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data[:7]))

    out = Slow()
    header = make_header("mid-side")
    writer = Writer(out, header)
    for chunk in make_chunks(header, 20):
        writer.write_chunk(chunk)
    writer.close(header.samples_in(20))
    assert out.getvalue() == make_file("mid-side", known=False)
    assert writer.total_bytes == len(out.getvalue())


def test_optional_blocks_are_skipped_and_counted_in_the_check() -> None:
    out = io.BytesIO()
    writer = Writer(out, HEADER)
    writer.write_other(b"x", b"\xd5C not a chunk \xd5E")
    chunks = make_chunks(HEADER, 8)
    writer.write_chunk(chunks[0])
    writer.write_other(b"y", b"")
    writer.close(HEADER.samples_in(8))
    for salvage in (False, True):
        reader = Reader(io.BytesIO(out.getvalue()), salvage=salvage)
        assert same(list(reader), chunks)
        assert not reader.damaged
    with pytest.raises(ValueError, match="kind"):
        writer.write_other(b"X", b"")


@pytest.mark.parametrize("coding", CHANNELS)
@pytest.mark.parametrize("frame", [0, 1, 7, 8, 15, 19, 20, 1000])
def test_seeking_gives_the_chunk_that_holds_a_frame(coding: str, frame: int) -> None:
    data = make_file(coding)
    wanted = [c for c in Reader(io.BytesIO(data)) if c.start_frame + c.frames > frame]
    for salvage in (False, True):
        for file in (io.BytesIO(data), Trickle(data)):
            reader = Reader(file, salvage=salvage)
            reader.seek_frame(frame)
            assert same(list(reader), wanted)
            assert reader.end is not None
            assert reader.end.frames == 20


def test_seeking_reads_fields_alone() -> None:
    data = make_file(frames=4000, total_n_q=32, frames_per_chunk=128)
    source = io.BytesIO(b"before" + data)
    source.seek(6)
    read = 0
    original = source.read

    def counted(n: int = -1) -> bytes:
        nonlocal read
        piece = original(n)
        read += len(piece)
        return piece

    source.read = counted  # type: ignore[method-assign, assignment]
    reader = Reader(source)
    reader.seek_frame(3900)
    chunk = next(reader.raw())
    assert not isinstance(chunk, Damage)
    assert chunk.start_frame == 3840
    assert read < 128 * 32 * 10 // 8 + 1000


def test_caps_hold_for_the_largest_file() -> None:
    header = make_header("discrete", channels=8, total_n_q=512, most=64, code_bits=16, frames_per_chunk=1024)
    wanted = Allocation(total=512 * 1024, weights=(1,) * 8, demand=(bytes([1, 15]) * 512,) * 8)
    chunk = Chunk.of(header, 0, wanted, [np.zeros((64, 1024), np.uint16)] * 8)
    data = write(header, [chunk], header.samples_in(1024))
    reader = Reader(io.BytesIO(data))
    raw = next(reader.raw())
    assert not isinstance(raw, Damage)
    assert MAX_BLOCK - 2100 < raw.size < MAX_BLOCK  # largest changes, up and down in turn, take two bits less each


def test_tags_from_elsewhere_are_kept_where_they_fit() -> None:
    tags = [
        ("TITLE", "ä"),
        ("", "x"),
        ("B=C", "x"),
        ("LYRICS", "x" * 70000),
        ("Z", "a\0b"),
        ("ARTIST", "\ud800"),
        ("E", ""),
    ]
    kept, dropped = usable_tags(tags)
    assert kept == (("TITLE", "ä"), ("E", ""))
    assert len(dropped) == 5
    Writer(io.BytesIO(), replace(HEADER, tags=kept))
    kept, _ = usable_tags([("A", "x" * 59990), ("B", "y" * 1000)])
    Writer(io.BytesIO(), replace(HEADER, tags=kept))
