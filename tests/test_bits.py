"""Packing codes: pinned bytes, round trips, and what unpacking refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvqcodec.container import bits
from rvqcodec.errors import FormatError


@pytest.mark.parametrize(
    ("codes", "width", "data"),
    [
        ([], 10, ""),
        ([1], 1, "80"),
        ([1, 0, 1], 1, "a0"),
        ([0x3FF], 10, "ffc0"),
        ([0, 11, 37, 48], 10, "0000b09430"),
        ([0xABCD, 0x0001], 16, "abcd0001"),
        ([1, 2, 3], 12, "001002003 0".replace(" ", "")),
    ],
)
def test_pinned_bytes(codes: list[int], width: int, data: str) -> None:
    packed = bits.pack(np.array(codes, np.uint16), width)
    assert packed.hex() == data
    assert bits.unpack(packed, width, len(codes)).tolist() == codes


@settings(max_examples=50, deadline=None)
@given(data=st.data(), width=st.integers(1, 16))
def test_round_trip(data: st.DataObject, width: int) -> None:
    codes = np.array(data.draw(st.lists(st.integers(0, (1 << width) - 1), max_size=40)), np.uint16)
    packed = bits.pack(codes, width)
    assert len(packed) == bits.packed_size(width, codes.size)
    back = bits.unpack(packed, width, codes.size)
    assert back.dtype == np.uint16
    assert back.tolist() == codes.tolist()


def test_a_table_is_packed_codebook_by_codebook() -> None:
    table = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert bits.pack(table, 10) == bits.pack(table.reshape(-1), 10)
    assert bits.pack(table.T, 10) == bits.pack(np.ascontiguousarray(table.T), 10)


@pytest.mark.parametrize("width", range(1, 16))
def test_every_padding_bit_is_checked(width: int) -> None:
    packed = bits.pack(np.zeros(1, np.uint16), width)
    for bit in range(-width % 8):
        bad = packed[:-1] + bytes([packed[-1] | 1 << bit])
        assert not bits.padding_is_zero(bad, width, 1)
        with pytest.raises(FormatError, match="padding"):
            bits.unpack(bad, width, 1)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(FormatError, match="2 bytes"):
        bits.unpack(bytes(size), 10, 1)


def test_a_code_that_does_not_fit_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="1024"):
        bits.pack(np.array([1024], np.uint16), 10)
