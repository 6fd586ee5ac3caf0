"""Damage to a file: always noticed and named with its place, and salvage gives the full length."""

import io
import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rvqfiles import HEADER, make_chunks, make_file, make_header, write

from rvqcodec.codes.verify import verify
from rvqcodec.container import Chunk, Damage, Reader, Writer
from rvqcodec.container.blocks import END_SIZE
from rvqcodec.container.chunks import MAX_BLOCK
from rvqcodec.container.reader import MAX_GAP
from rvqcodec.errors import FormatError

FRAMES = 20


def layout(data: bytes) -> tuple[int, list[bytes], bytes]:
    """Bytes of the header, the chunks' bytes, the end's bytes."""
    reader = Reader(io.BytesIO(data))
    parts = [data[raw.position : raw.position + raw.size] for raw in reader.raw() if not isinstance(raw, Damage)]
    return reader.header_bytes, parts, data[-END_SIZE:]


def covered(items: list[Chunk | Damage], frames: int) -> bool:
    """Whether chunks and damage follow one another from frame 0 to the last, without gap or overlap."""
    at = 0
    for item in items:
        if item.start_frame != at:
            return False
        at += item.frames
    return at == frames


def salvage(data: bytes) -> tuple[list[Chunk | Damage], Reader]:
    reader = Reader(io.BytesIO(data), salvage=True)
    return list(reader), reader


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("coding", ["mono", "mid-side"])
def test_every_single_byte_that_changes_is_noticed(coding: str, known: bool) -> None:
    data = make_file(coding, known=known)
    header_bytes, parts, _ = layout(data)
    good = {c.start_frame: c for c in Reader(io.BytesIO(data)) if isinstance(c, Chunk)}
    starts = [header_bytes + sum(map(len, parts[:i])) for i in range(len(parts) + 1)]
    rng = random.Random(1)
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= rng.randrange(1, 256)
        with pytest.raises(FormatError) as error:
            list(Reader(io.BytesIO(bytes(bad))))
        assert error.value.position is not None
        if at < header_bytes:
            items, reader = salvage(bytes(bad))
            assert [(i.start_frame, i.frames, i.position) for i in items if isinstance(i, Damage)] == [(0, 0, at)]
            assert reader.header == Reader(io.BytesIO(data)).header
            assert covered(items, FRAMES)
            assert reader.n_samples == HEADER.samples_in(FRAMES)
            continue
        damaged = max(i for i, start in enumerate(starts) if start <= at)
        assert starts[damaged] <= error.value.position <= at
        items, reader = salvage(bytes(bad))
        assert covered(items, FRAMES)
        assert reader.n_samples == HEADER.samples_in(FRAMES)
        lost = [d for d in items if isinstance(d, Damage)]
        assert len(lost) == 1
        assert starts[damaged] <= lost[0].position <= at
        kept = [c for c in items if isinstance(c, Chunk)]
        assert len(kept) == len(parts) - (damaged < len(parts))
        for chunk in kept:
            assert all(np.array_equal(x, y) for x, y in zip(chunk.codes, good[chunk.start_frame].codes, strict=True))
        if damaged < len(parts):
            assert (lost[0].start_frame, lost[0].frames) == (damaged * 8, min(8, FRAMES - damaged * 8))


def test_a_header_with_more_damage_is_not_guessed() -> None:
    data = make_file(tags=(("TITLE", "x" * 2000),))
    rng = random.Random(2)
    for _ in range(300):
        bad = bytearray(data)
        for at in rng.sample(range(2050), 2):
            bad[at] ^= rng.randrange(1, 256)
        with pytest.raises(FormatError):
            Reader(io.BytesIO(bytes(bad)), salvage=True)
    bad = bytearray(data)
    bad[1000] ^= 0x20
    assert salvage(bytes(bad))[1].header == Reader(io.BytesIO(data)).header


@pytest.mark.parametrize("known", [True, False])
def test_every_prefix_is_noticed_and_gives_its_whole_chunks(known: bool) -> None:
    data = make_file(known=known)
    header_bytes, parts, _ = layout(data)
    for size in range(len(data)):
        with pytest.raises(FormatError) as error:
            list(Reader(io.BytesIO(data[:size])))
        assert error.value.position is not None
        assert error.value.position <= size
        if size < header_bytes:
            continue
        items, reader = salvage(data[:size])
        whole = sum(header_bytes + sum(map(len, parts[: i + 1])) <= size for i in range(len(parts)))
        assert sum(isinstance(item, Chunk) for item in items) == whole
        assert reader.damaged
        assert covered(items, FRAMES if known else min(FRAMES, whole * 8))
        if known:
            assert reader.n_samples == HEADER.samples_in(FRAMES)


@pytest.mark.parametrize(
    "order", [(0, 2, 1), (1, 0, 2), (0, 0, 1, 2), (0, 1, 1, 2), (0, 1, 2, 2), (0, 2), (1, 2), (0, 1), ()]
)
def test_chunks_swapped_doubled_dropped(order: tuple[int, ...]) -> None:
    data = make_file()
    header_bytes, parts, end = layout(data)
    bad = data[:header_bytes] + b"".join(parts[i] for i in order) + end
    with pytest.raises(FormatError) as error:
        list(Reader(io.BytesIO(bad)))
    assert error.value.position is not None
    items, reader = salvage(bad)
    assert covered(items, FRAMES)
    assert reader.end is not None
    assert reader.n_samples == HEADER.samples_in(FRAMES)
    assert any(isinstance(item, Damage) for item in items)


def test_a_chunk_of_another_file_is_noticed() -> None:
    one = make_file(seed=1)
    _, parts, _ = layout(one)
    other = layout(make_file(seed=2))[1][1]
    bad = one.replace(parts[1], other)
    with pytest.raises(FormatError, match="exchanged") as error:
        list(Reader(io.BytesIO(bad)))
    assert error.value.position == len(bad) - END_SIZE
    items, reader = salvage(bad)
    assert covered(items, FRAMES)
    assert reader.damaged


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_junk_put_in_anywhere_costs_one_chunk_at_most(data: st.DataObject) -> None:
    file = make_file("mid-side", frames=40)
    header_bytes, _, _ = layout(file)
    at = data.draw(st.integers(header_bytes, len(file)))
    junk = data.draw(
        st.binary(min_size=1, max_size=300) | st.sampled_from([b"\xd5C", b"\xd5E", b"\xd5C\0\0\0\0\x08\0\0\4"])
    )
    items, reader = salvage(file[:at] + junk + file[at:])
    assert covered(items, 40)
    assert sum(item.frames for item in items if isinstance(item, Damage)) <= 8
    assert reader.n_samples == HEADER.samples_in(40)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_whatever_is_cut_out_the_rest_is_found_again(data: st.DataObject) -> None:
    file = make_file(frames=40)
    header_bytes, parts, _ = layout(file)
    first = data.draw(st.integers(header_bytes, len(file) - 1))
    last = data.draw(st.integers(first + 1, len(file)))
    items, _ = salvage(file[:first] + file[last:])
    assert covered(items, 40)
    starts = [header_bytes + sum(map(len, parts[:i])) for i in range(len(parts) + 1)]
    whole = sum(b <= first or a >= last for a, b in pairwise(starts))
    assert sum(isinstance(item, Chunk) for item in items) == whole


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_mutation_ends_in_chunks_damage_or_a_format_error(data: st.DataObject) -> None:
    file = bytearray(make_file(data.draw(st.sampled_from(["mono", "mid-side", "discrete"]))))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(file) - 1))
        file[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    for strict in (True, False):
        try:
            reader = Reader(io.BytesIO(bytes(file)), salvage=not strict)
            items = list(reader)
        except FormatError as fault:
            error: FormatError | None = fault
        else:
            error = None
            assert covered(items, reader.frames)
        assert error is None or error.position is not None


def test_a_gap_that_no_file_has_is_not_believed() -> None:
    """Else 13 bytes order three years of silence."""
    header = HEADER
    data = make_file(known=False)
    header_bytes, parts, _ = layout(data)
    out = io.BytesIO()
    writer = Writer(out, header)
    writer.frames = 1 << 31
    chunk = replace(make_chunks(header, 8)[0], start_frame=1 << 31)
    writer.write_chunk(chunk)
    far = out.getvalue()[header_bytes:]
    items, reader = salvage(data[:header_bytes] + parts[0] + far)
    assert [(i.start_frame, i.frames) for i in items] == [(0, 8), (8, 0)]
    assert reader.frames < MAX_GAP
    header = replace(header, n_samples=header.samples_in(1 << 31))
    out = io.BytesIO()
    Writer(out, header)
    items, reader = salvage(out.getvalue() + parts[0])
    assert sum(item.frames for item in items) == 8


def test_millions_of_faults_are_not_kept() -> None:
    """13 bytes make one, so a file of 100 MB could make a list of gigabytes."""
    data = make_file(known=False, total_n_q=1)
    header_bytes, parts, _ = layout(data)
    verdict = verify(io.BytesIO(data[:header_bytes] + parts[0] * 12_000))
    assert len(verdict.faults) == 10_001
    assert "too many" in verdict.faults[-1].reason


def hostile_marks() -> Iterator[bytes]:
    header = make_header("discrete", channels=8, total_n_q=256, code_bits=16, frames_per_chunk=1024)
    out = io.BytesIO()
    Writer(out, header)
    head = out.getvalue()
    fields = b"\xd5C" + bytes(4) + b"\x00\x04" + b"\0\0\x04" + b"\1" + bytes([9] * 8) + bytes(2)
    yield head + fields * 60000
    yield head + b"\xd5C" * 500000
    yield head + b"\xd5E" * 500000
    yield head + b"\xd5x\xff\xff\x07" * 100000


@pytest.mark.parametrize("data", list(hostile_marks()), ids=["chunks", "marks", "ends", "others"])
def test_false_starts_cannot_make_salvage_slow_or_large(data: bytes) -> None:
    """Every position claims a chunk of half a megabyte or more: the work is bounded by the size of the file."""
    tracemalloc.start()
    verdict = verify(io.BytesIO(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not verdict.ok
    assert peak < 5 * MAX_BLOCK


def test_nothing_is_allocated_on_the_word_of_a_length_field() -> None:
    header = make_header("discrete", channels=8, total_n_q=256, code_bits=16, frames_per_chunk=1024)
    data = write(header, make_chunks(header, 1024), header.samples_in(1024))
    header_bytes = Reader(io.BytesIO(data)).header_bytes
    for cut in (10, header_bytes, header_bytes + 30):
        tracemalloc.start()
        with pytest.raises(FormatError):
            list(Reader(io.BytesIO(data[:cut])))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100_000


def test_verify_lists_every_fault() -> None:
    data = bytearray(make_file(frames=40, tags=(("A", "b"),)))
    header_bytes, parts, _ = layout(bytes(data))
    good = verify(io.BytesIO(bytes(data)))
    assert good.ok
    assert (good.chunks, good.frames, good.n_samples, good.total_bytes) == (5, 40, HEADER.samples_in(40), len(data))
    assert good.lost_seconds == 0
    for chunk in (1, 3):
        data[header_bytes + sum(map(len, parts[:chunk])) + 20] ^= 1
    verdict = verify(io.BytesIO(bytes(data) + b"x"))
    assert [(f.start_frame, f.frames) for f in verdict.faults] == [(8, 8), (24, 8), (40, 0)]
    assert verdict.faults[-1].position == len(data)
    assert verdict.lost_seconds == pytest.approx(16 / 37.5)
    assert verdict.n_samples == HEADER.samples_in(40)
    broken = verify(io.BytesIO(b"RIFF....WAVE"))
    assert broken.header is None
    assert not broken.ok
    assert broken.faults[0].position == 0
