"""The range coder: pinned bytes, round trips, sizes of prefixes, and what it refuses."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvqcodec.container.rangecoder import RangeDecoder, RangeEncoder

Symbols = list[tuple[int, int, int]]


def coded(symbols: Symbols) -> tuple[bytes, list[int]]:
    """The bytes of symbols, and how many the first of them took."""
    coder, sizes = RangeEncoder(), [1]
    for symbol in symbols:
        assert coder.put([symbol]) == 1
        sizes.append(coder.size)
    return coder.finish(), sizes


def exact(symbols: Symbols) -> bytes:
    """The same by one number as long as it takes: no carry, no register."""
    low, width, bits = 0, 1 << 56, 56
    for first, last, total in symbols:
        step = width // total
        low, width = low + first * step, (last - first) * step
        while width <= 1 << 48:
            low, width, bits = low << 8, width << 8, bits + 8
    return (-(-low >> 48)).to_bytes((bits - 48) // 8, "big") if bits > 48 else b""


def test_pinned_bytes() -> None:
    assert coded([])[0].hex() == "00"
    assert coded([(1, 2, 2)])[0].hex() == "80"
    assert coded([(0, 1, 256), (255, 256, 256), (3, 4, 1000)])[0].hex() == "00ff00c5"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(0, 300))
def test_round_trip_and_sizes(seed: int, count: int) -> None:
    rng = random.Random(seed)
    symbols = []
    for _ in range(count):
        total = rng.choice((2, 1000, 1 << 20, 1 << 26))
        low = rng.choice((0, total - 1, rng.randrange(total)))
        symbols.append((low, rng.randint(low + 1, total), total))
    data, sizes = coded(symbols)
    assert data == exact(symbols)
    assert sizes == sorted(sizes)
    assert len(data) == sizes[-1]
    for n in {0, count // 2, count}:
        part, _ = coded(symbols[:n])
        assert len(part) == sizes[n]
        coder = RangeEncoder()
        assert coder.put(symbols, sizes[n]) == max(i for i, size in enumerate(sizes) if size == sizes[n])
        assert coder.put([(0, 1, 2)] * 100, sizes[n]) < 8
        assert coder.size <= sizes[n]
        decoder = RangeDecoder(part)
        for low, high, total in symbols[:n]:
            assert low <= decoder.get(total) < high
            decoder.take(low, high)
        decoder.finish()


def test_carry_runs_through_bytes_of_255() -> None:
    symbols = [(255, 256, 256)] * 20 + [(9, 10, 10)] * 8 + [(1, 2, 2)] * 3
    assert coded(symbols)[0] == exact(symbols)


def test_symbols_of_one_table_are_those_one_by_one() -> None:
    cumulative = [5, 6, 1000, 1024]
    data, _ = coded([(6, 1000, 1024), (0, 5, 1024), (1000, 1024, 1024)])
    decoder = RangeDecoder(data)
    assert decoder.symbols(cumulative, 3) == [2, 0, 3]
    decoder.finish()


def test_bytes_too_few_too_many_or_others() -> None:
    symbols = [(7, 8, 256)] * 30
    data, _ = coded(symbols)

    def read(data: bytes) -> None:
        decoder = RangeDecoder(data)
        for low, high, total in symbols:
            decoder.get(total)
            decoder.take(low, high)
            decoder.check()
        decoder.finish()

    read(data)
    for bad, reason in (
        (b"", "no bytes"),
        (data[:-1], "run out"),
        (data[:5], "run out"),
        (data + b"\0", "1 bytes are left"),
        (data[:-1] + bytes([data[-1] + 1]), "not the least"),
        (b"\xff" * len(data), "not the least"),
    ):
        with pytest.raises(ValueError, match=reason):
            read(bad)
    with pytest.raises(ValueError, match="run out"):
        RangeDecoder(data[:4]).symbols(range(1, 257), 40)
