"""Bitrates as people write them, and how mid and side share codebooks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rvqcodec import bitrate
from rvqcodec.errors import BitrateError

BALANCES = st.integers(-128, 127)


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("6kbps", 6000), ("6k", 6000), ("6", 6000), ("6000", 6000), ("4.5kbps", 4500), ("6000bps", 6000),
        (" 6 kbps ", 6000), ("6KBPS", 6000), ("6kbit/s", 6000), (".375", 375), ("0.375kbps", 375), ("12.", 12000),
        ("96", 96000), ("375bps", 375), ("1.5", 1500),
    ],
)  # fmt: skip
def test_text_is_read_as_bits_per_second(text: str, bits: int) -> None:
    assert bitrate.parse_bitrate(text) == bits


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fast",
        "-6",
        "6mbps",
        "1e3",
        "6,5",
        "nan",
        "inf",
        "0",
        "0.1",
        "97",
        "300bps",
        "6k6",
        "９９９９９９",
        "1" * 50,
    ],
)
def test_other_text_is_refused_with_the_legal_range(text: str) -> None:
    with pytest.raises(BitrateError, match=r"0\.375 to 12 kbps"):
        bitrate.parse_bitrate(text)


@pytest.mark.parametrize(
    ("text", "meant"), [("6000kbps", "6kbps"), ("4500k", "4.5kbps"), ("6bps", "6kbps"), ("12000kbps", "12kbps")]
)
def test_a_mistaken_unit_is_guessed(text: str, meant: str) -> None:
    with pytest.raises(BitrateError, match=f"did you mean {meant}"):
        bitrate.parse_bitrate(text)


def test_the_largest_number_of_codebooks_that_fits_is_used() -> None:
    assert bitrate.total_n_q(6000, 1) == 16
    assert bitrate.total_n_q(6374, 1) == 16
    assert bitrate.total_n_q(375, 2) == 1
    assert bitrate.total_n_q(24000, 2) == 64
    assert bitrate.total_n_q(6000, 3) == 15
    assert bitrate.total_n_q(6000, 5) == 15


@pytest.mark.parametrize(("bits", "channels"), [(12001, 1), (374, 1), (24001, 2), (1124, 3), (6000, 0), (6000, 9)])
def test_a_bitrate_that_channels_cannot_have_is_refused(bits: int, channels: int) -> None:
    with pytest.raises(BitrateError):
        bitrate.total_n_q(bits, channels)


@given(total=st.integers(0, 64), balance=BALANCES)
def test_split_gives_all_and_never_takes_back(total: int, balance: int) -> None:
    mid, side = bitrate.split(total, balance)
    assert 0 <= mid <= 32
    assert 0 <= side <= 32
    if balance not in (bitrate.SIDE_SILENT, bitrate.MID_SILENT):
        assert mid + side == total
    more = bitrate.split(total + 1, balance)
    assert more[0] >= mid
    assert more[1] >= side


@given(total=st.integers(0, 64), balance=st.integers(-126, 125))
def test_a_louder_channel_gets_no_fewer(total: int, balance: int) -> None:
    assert bitrate.split(total, balance + 1)[0] >= bitrate.split(total, balance)[0]


def test_split_at_its_ends() -> None:
    assert bitrate.split(16, bitrate.SIDE_SILENT) == (16, 0)
    assert bitrate.split(40, bitrate.SIDE_SILENT) == (32, 0)
    assert bitrate.split(16, bitrate.MID_SILENT) == (0, 16)
    assert bitrate.split(16, 0) == (8, 8)
    assert bitrate.split(1, 0) == (1, 0)
    assert bitrate.split(40, 126) == (32, 8)
    assert bitrate.split(0, 5) == (0, 0)
    with pytest.raises(ValueError, match="split"):
        bitrate.split(16, 128)


def test_shares_follow_the_coding() -> None:
    assert bitrate.shares("mono", 16, 1, 0) == (16,)
    assert bitrate.shares("mid-side", 16, 2, 3) == bitrate.split(16, 3)
    assert bitrate.shares("discrete", 17, 3, 0) == (5, 5, 5)


@pytest.mark.parametrize(
    ("bits", "text"), [(6000, "6 kbps"), (375, "0.375 kbps"), (6047.99, "6.048 kbps"), (0, "0 kbps")]
)
def test_bitrates_as_text(bits: float, text: str) -> None:
    assert bitrate.format_kbps(bits) == text
