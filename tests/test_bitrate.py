"""Bitrates as people write them."""

from dataclasses import replace

import pytest
from rvqfiles import FACTS

from rvqcodec.codes import bitrate
from rvqcodec.errors import BitrateError


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("6kbps", 6000), ("6k", 6000), ("6", 6000), ("6000", 6000), ("4.5kbps", 4500), ("6000bps", 6000),
        (" 6 kbps ", 6000), ("6KBPS", 6000), ("6kbit/s", 6000), (".375", 375), ("0.375kbps", 375), ("12.", 12000),
        ("96", 96000), ("375bps", 375), ("1.5", 1500), ("97", 97000), ("300bps", 300), ("0", 0), ("0.1", 100),
    ],
)  # fmt: skip
def test_text_is_read_as_bits_per_second(text: str, bits: int) -> None:
    assert bitrate.parse_bitrate(text) == bits


@pytest.mark.parametrize(
    "text", ["", "fast", "-6", "6mbps", "1e3", "6,5", "nan", "inf", "6k6", "９９９９９９", "1" * 50]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(BitrateError, match="write for example 6kbps"):
        bitrate.parse_bitrate(text)


@pytest.mark.parametrize("bits", [0, 100, 300, 97_000])
def test_what_a_model_cannot_have_is_refused_with_the_legal_range(bits: int) -> None:
    for refuse in (lambda: bitrate.check_possible(bits, FACTS), lambda: bitrate.total_n_q(bits, 1, FACTS)):
        with pytest.raises(BitrateError, match=r"0\.375 to 12 kbps for 1 coded channel"):
            refuse()


@pytest.mark.parametrize(("bits", "meant"), [(6_000_000, "6kbps"), (4_500_000, "4.5kbps"), (6, "6kbps")])
def test_a_mistaken_unit_is_guessed(bits: int, meant: str) -> None:
    for refuse in (lambda: bitrate.check_possible(bits, FACTS), lambda: bitrate.total_n_q(bits, 1, FACTS)):
        with pytest.raises(BitrateError, match=f"did you mean {meant}"):
            refuse()


def test_the_largest_number_of_codebooks_that_fits_is_used() -> None:
    assert bitrate.total_n_q(6000, 1, FACTS) == 16
    assert bitrate.total_n_q(6374, 1, FACTS) == 16
    assert bitrate.total_n_q(375, 2, FACTS) == 1
    assert bitrate.total_n_q(24000, 2, FACTS) == 64
    assert bitrate.total_n_q(6000, 3, FACTS) == 16
    assert bitrate.total_n_q(24000, 2, replace(FACTS, side=(1, 32))) == 64


@pytest.mark.parametrize(("bits", "channels"), [(12001, 1), (374, 1), (24001, 2), (1124, 3), (6000, 0), (6000, 9)])
def test_a_bitrate_that_channels_cannot_have_is_refused(bits: int, channels: int) -> None:
    with pytest.raises(BitrateError):
        bitrate.total_n_q(bits, channels, FACTS)


def test_the_rate_of_a_codebook_is_the_models() -> None:
    """The first of two faults that were here: 375 bit/s a codebook, whatever the model."""
    fast = replace(FACTS, model_rate=24000, hop=320, code_bits=10)  # 75 frames a second
    assert (fast.frame_rate, fast.codebook_rate) == (75, 750)
    assert bitrate.total_n_q(6000, 1, fast) == 8
    assert bitrate.total_n_q(24000, 1, fast) == 32
    small = replace(fast, code_bits=6)
    assert bitrate.total_n_q(450, 1, small) == 1
    assert bitrate.legal_range(small) == "0.45 to 14.4 kbps for 1 coded channel"
    odd = replace(FACTS, hop=588, model_rate=22050, code_bits=7)
    assert bitrate.total_n_q(263, 1, odd) == 1  # 262.5 bit/s
    with pytest.raises(BitrateError):
        bitrate.total_n_q(262, 1, odd)


def test_a_model_with_fewer_codebooks_refuses_what_it_cannot_have() -> None:
    """The second: it ended in an AssertionError."""
    few = replace(FACTS, max_n_q=8)
    with pytest.raises(BitrateError, match=r"to 4\.5 kbps for 2 coded"):
        bitrate.total_n_q(6000, 2, replace(few, side=(1, 4)))
    assert bitrate.total_n_q(3000, 1, few) == 8
    for channels in (1, 2, 5):
        with pytest.raises(BitrateError, match=f"to {3 * channels} kbps for {channels} coded"):
            bitrate.total_n_q(3001 * channels, channels, few)


def test_a_model_may_have_single_bitrates_only() -> None:
    steps = replace(FACTS, model_rate=24000, hop=320, pairs=False, steps=(2, 4, 8, 16, 32))
    assert [bitrate.total_n_q(bits, 1, steps) for bits in (1500, 2999, 3000, 23_999, 24_000)] == [2, 2, 4, 16, 32]
    assert bitrate.total_n_q(7000, 2, steps) == 2 * 4, "4.5 a channel would be 3.5 kbps each: 3 are had"
    assert bitrate.legal_range(steps) == "1.5, 3, 6, 12, 24 kbps for 1 coded channel"
    for bits in (1499, 24_001):
        with pytest.raises(BitrateError, match=r"1\.5, 3, 6, 12, 24 kbps"):
            bitrate.total_n_q(bits, 1, steps)


def test_a_model_of_single_channels_needs_a_code_for_each() -> None:
    single = replace(FACTS, pairs=False)
    assert bitrate.total_n_q(750, 2, single) == 2
    with pytest.raises(BitrateError, match=r"0\.75 to 24 kbps for 2 coded"):
        bitrate.total_n_q(749, 2, single)


def test_limits_are_told_so_that_they_can_be_had() -> None:
    """861.328 bit/s a codebook: 0.861 kbps would be too little, and 7.751 for all nine."""
    dac = replace(FACTS, hop=512, max_n_q=9, pairs=False)
    assert bitrate.legal_range(dac) == "0.862 to 7.752 kbps for 1 coded channel"
    assert [bitrate.total_n_q(bits, 1, dac) for bits in (862, 7751, 7752)] == [1, 8, 9]


def test_the_default_is_what_comes_nearest() -> None:
    assert bitrate.total_n_q(None, 1, FACTS) == 16
    few = replace(FACTS, max_n_q=8)
    assert bitrate.total_n_q(None, 1, few) == 8
    assert bitrate.total_n_q(None, 8, replace(FACTS, hop=512, pairs=False)) == 8
    assert (bitrate.usual(1, FACTS), bitrate.usual(1, few)) == ([1500, 3000, 6000, 12000], [1500, 3000])
    assert bitrate.usual(1, replace(FACTS, hop=640, model_rate=32000, code_bits=11, steps=(4,))) == [2200]


@pytest.mark.parametrize(
    ("bits", "text"), [(6000, "6 kbps"), (375, "0.375 kbps"), (6047.99, "6.048 kbps"), (0, "0 kbps")]
)
def test_bitrates_as_text(bits: float, text: str) -> None:
    assert bitrate.format_kbps(bits) == text
