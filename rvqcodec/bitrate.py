"""Bitrates: text to integer bits per second to numbers of codebooks, and how two channels share them."""

import re
from fractions import Fraction
from functools import lru_cache

from rvqcodec.errors import BitrateError

CODEBOOK_BITRATE = 375
"""Bits per second of one codebook of one coded channel: 10 bits, 37.5 frames a second."""

MAX_N_Q = 32
"""Codebooks of one coded channel, at most."""

MAX_CHANNELS = 8

STEP = 5
"""Tenths of a decibel by which each codebook is reckoned to lower what is left of its channel (`split`)."""

SIDE_SILENT = 127
MID_SILENT = -128

_NUMBER = re.compile(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*(kbps|kbit/s|kb/s|k|bps|bit/s|b/s)?", re.IGNORECASE)


def format_kbps(bits_per_second: float) -> str:
    """Bits per second as text in kbps with at most three decimals: 6000 -> "6 kbps", 375 -> "0.375 kbps"."""
    return f"{bits_per_second / 1000:.3f}".rstrip("0").rstrip(".") + " kbps"


def legal_range(channels: int = 1) -> str:
    """The bitrates that `channels` coded channels can have, as text for messages."""
    low = CODEBOOK_BITRATE * (channels if channels > 2 else 1)
    high = CODEBOOK_BITRATE * MAX_N_Q * channels
    plural = "" if channels == 1 else "s"
    return f"{low / 1000:g} to {high / 1000:g} kbps for {channels} coded channel{plural}"


def parse_bitrate(text: str) -> int:
    """A bitrate as people write it, in bits per second.

    "6kbps", "6k", "6", "6000", "4.5kbps" and "6000bps" are understood; a bare number below 200 is kbps.
    Raises BitrateError for anything else and for what no file can have: the message names the legal range
    and, where the unit looks mistaken, what may have been meant. How much a given number of channels can
    use is checked by `total_n_q`.
    """
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        raise BitrateError(f"bitrate {text!r} is not a number; write for example 6kbps ({legal_range()})")
    value, unit = Fraction(match[1].rstrip(".")), (match[2] or "").lower()
    kilo = unit.startswith("k") or (not unit and value < 200)
    bits = int(value * 1000) if kilo else int(value)
    highest = CODEBOOK_BITRATE * MAX_N_Q * MAX_CHANNELS
    if CODEBOOK_BITRATE <= bits <= highest:
        return bits
    hint = ""
    if bits > highest and kilo and CODEBOOK_BITRATE <= bits // 1000 <= highest:
        hint = f"; did you mean {format_kbps(bits // 1000).replace(' ', '')}?"
    elif 0 < bits < CODEBOOK_BITRATE and not kilo and CODEBOOK_BITRATE <= bits * 1000 <= highest:
        hint = f"; did you mean {format_kbps(bits * 1000).replace(' ', '')}?"
    raise BitrateError(f"bitrate {text.strip()} is out of range: {legal_range()}{hint}")


def total_n_q(bitrate: int, channels: int) -> int:
    """Codebooks a frame, over all coded channels, of the largest payload that fits `bitrate` bits per
    second.

    `channels` counts coded channels: 1 mono, 2 mid and side; more than 2 share equally, so that the
    result is a multiple of `channels`. Raises BitrateError below one codebook and above 32 codebooks a
    channel.
    """
    if not 1 <= channels <= MAX_CHANNELS:
        raise BitrateError(f"{channels} channels: a file has 1 to {MAX_CHANNELS}")
    total = bitrate // CODEBOOK_BITRATE
    if channels > 2:
        total -= total % channels
    if total < 1 or bitrate > CODEBOOK_BITRATE * MAX_N_Q * channels:
        raise BitrateError(f"bitrate {format_kbps(bitrate)} is out of range: {legal_range(channels)}")
    return total


@lru_cache(maxsize=4096)
def split(total: int, balance: int) -> tuple[int, int]:
    """How many of `total` codebooks mid and side get in a chunk: (n_mid, n_side), each at most 32.

    `balance` is the level of mid minus the level of side in dB (-126..126); 127: side is silent and gets
    nothing, -128: mid is silent and gets nothing. Water-filling in integers: each next codebook goes to
    the channel of which more is left (mid when equal) and lowers it by STEP. Both results never fall when
    `total` grows, so a file that lost codebooks is the file that encoding at the lower bitrate gives.
    """
    if total < 0 or not MID_SILENT <= balance <= SIDE_SILENT:
        raise ValueError(f"split({total}, {balance})")
    if balance == SIDE_SILENT:
        return min(total, MAX_N_Q), 0
    if balance == MID_SILENT:
        return 0, min(total, MAX_N_Q)
    n_mid = n_side = 0
    for _ in range(min(total, 2 * MAX_N_Q)):
        mid_first = 10 * balance - STEP * n_mid >= -STEP * n_side
        if (mid_first and n_mid < MAX_N_Q) or n_side == MAX_N_Q:
            n_mid += 1
        else:
            n_side += 1
    return n_mid, n_side


def shares(coding: str, total: int, channels: int, balance: int) -> tuple[int, ...]:
    """Codebooks of each coded channel of a chunk; `coding` as in the container's header.

    Mid and side share by `split`, discrete channels equally, and a mono channel takes all, up to 32.
    """
    if coding == "mid-side":
        return split(total, balance)
    return (min(total // channels, MAX_N_Q),) * channels
