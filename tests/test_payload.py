"""Coded payloads of the shipped model: bytes that never change, exact numbers, any allocation, faults, budgets."""

import hashlib
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from rvqcodec.codes import filling
from rvqcodec.codes.edit import Joiner, cut_frames, pack, trim
from rvqcodec.codes.verify import verify
from rvqcodec.container import Allocation, Chunk, Damage, Header, Reader, Writer, coders
from rvqcodec.container.allocation import constant
from rvqcodec.container.chunks import fitting, pack_codes, shape_of
from rvqcodec.container.payloads import PAYLOADS
from rvqcodec.container.rangecoder import RangeDecoder
from rvqcodec.errors import FormatError, WeightsError
from rvqcodec.models import cards, coding
from rvqcodec.models.rvq44 import integers
from rvqcodec.models.rvq44.payload import PayloadCoder, decoding, frequencies

CARD = cards.find()
TABLES = coding.tables_hash(CARD.model_id, CARD.weights_hash)


def header(channels: int = 1, **changes: object) -> Header:
    plain = Header.of(CARD.facts, sample_rate=44100, channels=channels, total_n_q=12 * channels, frames_per_chunk=40)
    return replace(filling.coded(plain, TABLES, 0), **changes)  # type: ignore[arg-type]


class Dice(RangeDecoder):
    """Bytes without end, thrown: what is decoded of them are likely codes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(np.random.default_rng(list(data)).bytes(1 << 15))

    def finish(self) -> None:
        pass


def likely_codes(head: Header, found: Allocation, frames: int, seed: int) -> tuple[NDArray[np.uint16], ...]:
    """Codes that are as likely as the tables say; those of nobody would all be packed."""
    shape = shape_of(head, found, frames)
    assert shape.coder is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "RangeDecoder", Dice)
        [codes] = coders.coder(shape.coder).decode([(seed.to_bytes(2, "big"), shape)])
    assert not isinstance(codes, ValueError)
    return codes


def chunk_of(head: Header, seed: int, frames: int = 40, total: int | None = None, start: int = 0) -> Chunk:
    """Demands that move, channels or frames without codes at times, a constant chunk at others."""
    rng = np.random.default_rng(seed)
    channels = head.coded_channels
    weights = rng.integers(1, 3, channels)
    if channels > 1 and seed % 3 == 0:
        weights[seed % channels] = 0
    moves = np.cumsum(rng.integers(-1, 2, (channels, frames)), 1) + rng.integers(4, 12, (channels, 1))
    demand = tuple(
        row.tobytes() if w else b"" for row, w in zip(moves.clip(0, 15).astype(np.uint8), weights, strict=True)
    )
    found = Allocation(total=0, weights=tuple(weights.tolist()), demand=demand)
    if seed % 4 == 1:
        found = replace(constant([3 + seed % 5] * channels, frames), total=0)
    most = found.capacity(head.limits, frames)
    step = frames // found.columns(frames)
    total = min(head.total_n_q * frames if total is None else total, most) // step * step
    found = replace(found, total=total)
    return Chunk.of(head, start, found, likely_codes(head, found, frames, seed))


def file_of(head: Header, chunks: list[Chunk]) -> bytes:
    out = io.BytesIO()
    writer = Writer(out, head)
    for chunk in chunks:
        writer.write_chunk(chunk)
    writer.close(head.samples_in(writer.frames))
    return out.getvalue()


def some_chunks(head: Header, count: int, frames: int = 40) -> list[Chunk]:
    return [chunk_of(head, seed, frames, start=seed * frames) for seed in range(count)]


def same(ours: Chunk | Damage, theirs: Chunk) -> bool:
    return (
        isinstance(ours, Chunk)
        and ours.allocation == theirs.allocation
        and all(np.array_equal(x, y) for x, y in zip(ours.codes, theirs.codes, strict=True))
    )


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 2, 5, 40])
def test_codes_come_back(channels: int, frames: int) -> None:
    head = header(channels)
    chunks = some_chunks(head, 8, frames)
    data = file_of(head, chunks)
    assert verify(io.BytesIO(data)).ok
    for file in (io.BytesIO(data), Unseekable(data)):
        found = list(Reader(file))
        assert all(same(a, b) for a, b in zip(found, chunks, strict=True))


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False


GOLDEN = {
    1: "6a9549e7d6bd0c15",
    2: "8f34a3a1ffd3d4c7",
    3: "388120bde7fb8877",
}


@pytest.mark.parametrize("channels", GOLDEN)
def test_bytes_are_the_pinned_ones(channels: int) -> None:
    """The same on every machine; they change with the tables, and with nothing else."""
    head = header(channels)
    payloads = b"".join(pack_of(head, chunk) for chunk in some_chunks(head, 8))
    assert hashlib.sha256(payloads).hexdigest()[:16] == GOLDEN[channels]


def pack_of(head: Header, chunk: Chunk) -> bytes:
    return PAYLOADS[1].pack(chunk.codes, shape_of(head, chunk.allocation, chunk.frames))


def by_int64(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same product in whole numbers of 64 bits."""
    scale = 2.0**24
    whole = a.astype(np.int64) @ (b.astype(np.float64) * scale).astype(np.int64)
    return (whole / scale).astype(np.float32)


def backwards(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Added up from the other end, one by one, each product rounded."""
    result = np.zeros((len(a), b.shape[1]), np.float32)
    for i in reversed(range(a.shape[1])):
        result += a[:, i : i + 1] * b[i]
    return result


@pytest.mark.parametrize("product", [by_int64, backwards])
def test_another_arithmetic_gives_the_same_bytes(product: object, monkeypatch: pytest.MonkeyPatch) -> None:
    head = header(2)
    chunks = some_chunks(head, 4)
    before = [pack_of(head, chunk) for chunk in chunks]
    coders_key = head.coder
    assert coders_key is not None
    monkeypatch.setattr(integers, "product", product)
    coding.coder.cache_clear()  # it keeps frequencies
    assert [pack_of(head, chunk) for chunk in chunks] == before
    found = PAYLOADS[1].unpack(
        [(data, shape_of(head, c.allocation, c.frames)) for data, c in zip(before, chunks, strict=True)]
    )
    for codes, chunk in zip(found, chunks, strict=True):
        assert not isinstance(codes, FormatError)
        assert all(np.array_equal(x, y) for x, y in zip(codes, chunk.codes, strict=True))
    coding.coder.cache_clear()


def test_what_is_kept_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    head = header(3)
    chunks = some_chunks(head, 8)
    before = [pack_of(head, chunk) for chunk in chunks]
    monkeypatch.setattr(frequencies, "KEPT", 50)
    coding.coder.cache_clear()
    assert [pack_of(head, chunk) for chunk in chunks] == before
    assert all(same(a, b) for a, b in zip(Reader(io.BytesIO(file_of(head, chunks))), chunks, strict=True))


def test_the_largest_numbers_stay_exact() -> None:
    """Every layer at the largest activations: what float32 gives is what whole numbers give."""
    coder = coders.coder(header().coder)  # type: ignore[arg-type]
    assert isinstance(coder, PayloadCoder)
    nets = coder._likely.envelope
    layers = [layer for net in nets for layer in (net.first, net.second, net.last, net.head.layer)]
    for layer in [*layers, *(chain.head.layer for chain in coder._likely.chains)]:
        x = (np.sign(layer.weight[:, :8].T) * integers.MOST).astype(np.float32)
        assert np.array_equal(integers.product(x, layer.weight), by_int64(x, layer.weight))


@pytest.mark.parametrize("channels", [1, 2])
def test_the_first_codes_are_coded_as_if_they_were_all(channels: int) -> None:
    head = header(channels)
    chunk = chunk_of(head, 2)
    shape = shape_of(head, chunk.allocation, chunk.frames)
    assert shape.coder is not None
    coder = coders.coder(shape.coder)
    for total in range(1, shape.count, 37):
        less = Chunk.of(head, 0, chunk.allocation.with_total(total), chunk.codes)
        data, count = coder.encode(less.codes, shape_of(head, less.allocation, less.frames))
        assert count == total
        assert coder.encode(chunk.codes, shape, 0, total) == (data, total)
        most, count = coder.encode(chunk.codes, shape, len(data))
        assert count >= total
        assert len(most) == len(data)


def test_chunks_that_fit_carry_what_packing_them_gives() -> None:
    """Whatever fits, and whichever payload is shorter: likely codes, unlikely ones, the same number for all frames."""
    head, rng = header(2), np.random.default_rng(1)
    likely = chunk_of(head, 2)
    unlikely = Chunk.of(
        head, 0, likely.allocation, [rng.integers(0, 1024, rows.shape, np.uint16) for rows in likely.codes]
    )
    even = Chunk.of(head, 0, constant((9, 7), 40), [rng.integers(0, 1024, (9, 40), np.uint16) for _ in range(2)])
    for chunk in (likely, unlikely, even):
        for size in range(-3, 1000, 61):
            for least in (0, 3 * chunk.frames):
                found = fitting(head, chunk, size, least)
                fresh = replace(found)
                assert fresh.packed is None
                assert found.packed is not None
                assert pack_codes(head, found) == found.packed[1] == pack_codes(head, fresh)
                assert found.allocation.total == least or len(found.packed[1]) <= size
                assert pack_codes(filling.plain(head), found) == pack_codes(filling.plain(head), fresh)
                total = found.allocation.total + shape_of(head, chunk.allocation, chunk.frames).step
                if total <= chunk.allocation.total:
                    more = Chunk.of(head, 0, chunk.allocation.with_total(total), chunk.codes)
                    assert len(pack_of(head, more)) > size
                with pytest.raises(ValueError, match="read-only"):
                    found.codes[0][:] = 1


def test_a_payload_is_never_longer_than_packed_codes() -> None:
    """Codes that are the least likely: a payload of that length is packed codes."""
    head, rng = header(), np.random.default_rng(1)
    demand = (bytes([9]) * 8,)
    codes = np.full((48, 8), 1023, np.uint16)
    for _ in range(20):
        codes[:] = rng.integers(0, 1024, codes.shape)
        chunk = Chunk.of(head, 0, Allocation(total=96, weights=(1,), demand=demand), [codes])
        data = pack_of(head, chunk)
        assert len(data) <= 120
        if len(data) == 120:
            break
    else:
        pytest.fail("no codes were unlikely")
    assert same(next(iter(Reader(io.BytesIO(file_of(head, [chunk]))))), chunk)


# ---- what else can be done with such files


def test_trim_cut_join_and_pack() -> None:
    head = header(2)
    chunks = some_chunks(head, 6)
    plain_head = filling.plain(head)
    data, plain = file_of(head, chunks), file_of(plain_head, chunks)

    def edited(edit: object, source: bytes, *args: object) -> bytes:
        out = io.BytesIO()
        edit(Reader(io.BytesIO(source)), out, *args)  # type: ignore[operator]
        return out.getvalue()

    assert edited(pack, plain, head) == data
    assert edited(pack, data, plain_head) == plain
    for n in (20, 9, 2):
        assert edited(pack, edited(trim, data, n), filling.plain(replace(head, total_n_q=n))) == edited(trim, plain, n)
    assert edited(trim, data, 93) == data
    parts = [edited(cut_frames, data, 0, 57), edited(cut_frames, data, 57, None)]
    assert edited(pack, parts[1], filling.plain(Reader(io.BytesIO(parts[1])).header)) == edited(
        cut_frames, plain, 57, None
    )
    out = io.BytesIO()
    joiner = Joiner([Reader(io.BytesIO(p)).header for p in (parts[0], parts[1])], ["a", "b"], out)
    for part in parts:
        joiner.append(Reader(io.BytesIO(part)))
    joiner.close()
    joined = list(Reader(io.BytesIO(out.getvalue())))
    assert [c.frames for c in joined] == [40, 17, 23, 40, 40, 40, 40]
    assert np.array_equal(joined[3].codes[0], chunks[2].codes[0])  # type: ignore[union-attr]


def test_trimmed_budgets_are_those_of_encoding() -> None:
    """Chunks that fill a budget, trimmed to lower ones: what filling the lower one gives at once."""
    most = header(1, total_n_q=40)
    chunks = [chunk_of(most, seed, start=40 * i) for i, seed in enumerate((2, 3, 4, 6, 7))]

    def encoded(budget: int) -> bytes:
        head = filling.coded(filling.plain(most), TABLES, budget)
        kept = []
        for c in chunks:
            wanted = c.allocation.with_total(head.total_n_q * c.frames)
            found = filling.filled(head, Chunk.of(head, c.start_frame, wanted, c.codes))
            assert found.allocation.total >= min(wanted.total, filling.least_n_q(head) * c.frames)
            kept.append(found)
        return file_of(head, kept)

    high = encoded(9000)
    for budget in (9000, 6000, 4100, 3000, 1500, 800, 700, 375):
        out = io.BytesIO()
        trim(Reader(io.BytesIO(high)), out, budget * 1176 // 441000, budget)
        assert out.getvalue() == encoded(budget), budget
        high = out.getvalue()


def test_other_tables_are_refused() -> None:
    data = file_of(header(), some_chunks(header(), 2))
    changed = bytearray(data)
    at = data.index(b"c\x07\x00")
    changed[at + 3] ^= 1
    changed = bytearray(resealed(bytes(changed)))
    assert verify(io.BytesIO(bytes(changed))).ok
    with pytest.raises(WeightsError, match=f"tables .*installed are {TABLES.hex()}"):
        list(Reader(io.BytesIO(bytes(changed))))


def resealed(data: bytes) -> bytes:
    """Right checksums of the header and of the end."""
    import struct
    import zlib

    size = int.from_bytes(data[5:7], "little")
    head = data[: size - 4]
    body = bytearray(head + struct.pack("<I", zlib.crc32(head)) + data[size:])
    reader = Reader(io.BytesIO(bytes(body)), salvage=True)
    check = zlib.crc32(bytes(body[size - 4 : size]))
    for raw in reader.raw():
        assert not isinstance(raw, Damage) or not raw.frames
        if not isinstance(raw, Damage):
            end = raw.position + raw.size
            check = zlib.crc32(bytes(body[end - 4 : end]), check)
    at = len(body) - 26
    body[at + 18 : at + 22] = struct.pack("<I", check)
    body[at + 22 :] = struct.pack("<I", zlib.crc32(bytes(body[at : at + 22])))
    return bytes(body)


WRONG = "payload: (the codes run out|.* bytes are left|the last byte is not)"


@pytest.mark.parametrize("salvage", [False, True])
def test_codes_that_make_no_sense_are_one_chunks_damage(salvage: bool) -> None:
    """Right checksums, wrong codes: the chunk is lost and named, the others are there."""
    head = header()
    chunks = some_chunks(head, 6)
    out = io.BytesIO()
    writer = Writer(out, head)
    for i, chunk in enumerate(chunks):
        if i == 3:
            codes = pack_of(head, chunk)
            raw = next(r for r in Reader(io.BytesIO(file_of(head, chunks))).raw() if r.start_frame == 120)
            assert not isinstance(raw, Damage)
            writer.write_raw(replace(raw, payload=codes[:-3]))
        else:
            writer.write_chunk(chunk)
    writer.close(head.samples_in(240))
    data = out.getvalue()
    assert verify(io.BytesIO(data)).ok, "whoever has no model sees nothing wrong"
    for file in (io.BytesIO(data), Unseekable(data)):
        reader = Reader(file, salvage=salvage)
        found: list[Chunk | Damage] = []
        if salvage:
            found += reader
            assert isinstance(found[3], Damage)
            assert (found[3].start_frame, found[3].frames) == (120, 40)
            assert re.search(WRONG, found[3].reason)
            assert all(same(a, b) for a, b in zip(found[:3] + found[4:], chunks[:3] + chunks[4:], strict=True))
        else:
            with pytest.raises(FormatError, match=f"chunk from frame 120: {WRONG}"):
                found.extend(chunk for chunk in reader)
            assert all(same(a, b) for a, b in zip(found, chunks[:3], strict=True))


def test_any_bytes_are_codes_or_refused() -> None:
    """What is taken for codes is what an encoder makes of them."""
    head = header()
    chunk = chunk_of(head, 2)
    shape, right = shape_of(head, chunk.allocation, chunk.frames), pack_of(head, chunk)
    rng, taken = np.random.default_rng(5), 0
    for _ in range(150):
        data = bytearray(right)
        match rng.integers(3):
            case 0:
                data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            case 1:
                del data[rng.integers(len(data)) :]
            case _:
                data = bytearray(rng.bytes(int(rng.integers(1, len(data) + 9))))
        if PAYLOADS[1].fault(bytes(data), shape):
            continue
        [found] = PAYLOADS[1].unpack([(bytes(data), shape)])
        if not isinstance(found, FormatError):
            taken += 1
            assert len(data) == 600 or PAYLOADS[1].pack(found, shape) == bytes(data)
    assert taken < 150


def test_more_codes_than_tables_know_are_refused() -> None:
    head = header(most=64, total_n_q=64)
    codes = np.zeros((64, 4), np.uint16)
    chunk = Chunk.of(head, 0, Allocation(total=256, weights=(1,), demand=(bytes([5]) * 4,)), [codes])
    with pytest.raises(FormatError, match="codes cannot be coded: more codes of a frame"):
        file_of(head, [chunk])
