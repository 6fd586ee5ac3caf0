"""Bitrates: text <-> bits per second <-> numbers of codebooks of a model whose facts are given."""

import math
import re
from fractions import Fraction

from rvqcodec.container import MAX_CHANNELS, ModelFacts
from rvqcodec.errors import BitrateError

DEFAULT = 6000  # bits per second, where nobody asks for another
USUAL = (1500, 3000, 6000, 12000)

_NUMBER = re.compile(
    r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*(kbps|kbit/s|kb/s|k|bps|bit/s|b/s)?", re.IGNORECASE | re.ASCII
)


def format_kbps(bits_per_second: float) -> str:
    """Bits per second as text in kbps with at most three decimals: 6000 -> "6 kbps", 375 -> "0.375 kbps"."""
    return f"{bits_per_second / 1000:.3f}".rstrip("0").rstrip(".") + " kbps"


def parse_bitrate(text: str) -> int:
    """A bitrate as people write it, in bits per second.

    "6kbps", "6k", "6", "6000", "4.5kbps" and "6000bps" are understood; a bare number below 200 is kbps.
    Raises BitrateError for anything else. Whether a model can have it is checked by `total_n_q`.
    """
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        raise BitrateError(f"bitrate {text!r} is not a number; write for example 6kbps")
    value, unit = Fraction(match[1].rstrip(".")), (match[2] or "").lower()
    kilo = unit.startswith("k") or (not unit and value < 200)
    return int(value * 1000) if kilo else int(value)


def legal_range(facts: ModelFacts, channels: int = 1) -> str:
    """The bitrates that `channels` coded channels of a model can have, as text for messages."""
    low, high = _limits(facts, channels)
    text = f"{low / 1000:g} to {high / 1000:g}"
    if facts.steps:
        text = ", ".join(f"{math.ceil(facts.codebook_rate * channels * n) / 1000:g}" for n in facts.steps)
    plural = "" if channels == 1 else "s"
    return f"{text} kbps for {channels} coded channel{plural}"


def total_n_q(bitrate: int | None, channels: int, facts: ModelFacts) -> int:
    """Codebooks a frame, over all coded channels, of the largest payload that fits `bitrate` bits per second.

    `channels` counts coded channels: 1 mono, 2 mid and side, more than 2 each for itself. Raises
    BitrateError below one codebook (one a channel, where each is coded for itself) and above the model's codebooks
    for every channel: the message names the legal range and, where the unit looks mistaken, what was meant.
    None is the default, or what comes nearest to it.
    """
    if not 1 <= channels <= MAX_CHANNELS:
        raise BitrateError(f"{channels} channels: a file has 1 to {MAX_CHANNELS}")
    low, high = _limits(facts, channels)
    bitrate = asked(bitrate, channels, facts)
    if not low <= bitrate <= high:
        raise _out_of_range(bitrate, low, high, legal_range(facts, channels))
    most = int(bitrate // facts.codebook_rate)
    return channels * max(n for n in facts.steps if n * channels <= most) if facts.steps else most


def asked(bitrate: int | None, channels: int, facts: ModelFacts) -> int:
    """A bitrate in bits per second; for None the default, or what of the model's comes nearest to it."""
    if bitrate is not None:
        return bitrate
    low, high = _limits(facts, channels)
    return int(min(max(DEFAULT, low), high))


def possible(bitrate: int, channels: int, facts: ModelFacts) -> bool:
    """Whether `channels` coded channels of a model can have a bitrate."""
    low, high = _limits(facts, channels)
    return low <= bitrate <= high


def usual(channels: int, facts: ModelFacts) -> list[int]:
    """Bitrates to compare a model at: those of `USUAL` that it can have, or else its highest."""
    return [bitrate for bitrate in USUAL if possible(bitrate, channels, facts)] or [_limits(facts, channels)[1]]


def check_possible(bitrate: int, facts: ModelFacts) -> None:
    """Refuse a bitrate that a model can have with no number of channels, before any audio is read. BitrateError."""
    low, high = _limits(facts, 1)[0], _limits(facts, MAX_CHANNELS)[1]
    if not low <= bitrate <= high:
        raise _out_of_range(bitrate, low, high, legal_range(facts))


def _limits(facts: ModelFacts, channels: int) -> tuple[int, int]:
    """The lowest and the highest bitrate, up to the next whole bit per second: so each can be had."""
    rate = facts.codebook_rate
    least, most = facts.least(channels), facts.capacity(channels)
    if facts.steps:
        least, most = channels * facts.steps[0], channels * facts.steps[-1]
    return math.ceil(rate * least), math.ceil(rate * most)


def _out_of_range(bitrate: int, low: int, high: int, legal: str) -> BitrateError:
    meant = bitrate // 1000 if bitrate > high else bitrate * 1000
    hint = f"; did you mean {format_kbps(meant).replace(' ', '')}?" if low <= meant <= high else ""
    return BitrateError(f"bitrate {format_kbps(bitrate)} is out of range: {legal}{hint}")
