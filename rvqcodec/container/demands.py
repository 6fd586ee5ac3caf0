"""The demand section of a chunk: demands to bytes and back, channel by channel as runs and changes.

A channel is 2 bits (k), 4 bits (the demand of its first frame), and then in turn: how many further frames keep it, as
a Rice code (n >> k ones, a zero, the k low bits of n), and unless the frames are at their end how it changes: a bit,
1 for up, and the change minus 1 as so many ones and a zero. k is the one that takes the fewest bits, the least of
equals.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rvqcodec.container.allocation import MAX_DEMAND

PARAMETERS = range(4)
_HEAD = 6  # bits of a channel's parameter and first demand
_FRAME = 2 + MAX_DEMAND  # bits that a frame can take at most: a run of none, and the largest change


def most_bytes(channels: int, frames: int) -> int:
    """Bytes of the longest section for that many channels with codes and frames."""
    return (channels * (_HEAD + _FRAME * frames) + 7) // 8


def pack(rows: Sequence[bytes]) -> bytes:
    """The demands of each channel that has codes, bytes [frames] with values 0 to MAX_DEMAND, as a section."""
    text = "".join(_packed(row) for row in rows)
    text += "0" * (-len(text) % 8)
    return int(text or "0", 2).to_bytes(len(text) // 8, "big")


def unpack(data: bytes, channels: int, frames: int) -> tuple[bytes, ...]:
    """The demands of `channels` channels, bytes [frames] each, from a whole section.

    Raises ValueError, with the reason, for anything that `pack` never writes.
    """
    text = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
    at, rows = 0, []
    for _ in range(channels):
        row, at = _unpacked(text, at, frames)
        rows.append(row)
    if len(text) - at > 7 or "1" in text[at:]:
        raise ValueError("demands are followed by bits that mean nothing")
    return tuple(rows)


def _packed(row: bytes) -> str:
    values = [(value, len(list(same))) for value, same in groupby(row)]
    runs = [n - 1 for _, n in values]
    k = _best(runs)
    parts = [f"{k:02b}{row[0]:04b}"]
    before = row[0]
    for i, (value, n) in enumerate(values):
        if i:
            parts.append(f"{value > before:b}{'1' * (abs(value - before) - 1)}0")
        low = f"{(n - 1) & ((1 << k) - 1):0{k}b}" if k else ""
        parts.append(f"{'1' * (n - 1 >> k)}0{low}")
        before = value
    return "".join(parts)


def _best(runs: list[int]) -> int:
    return min(PARAMETERS, key=lambda k: sum((n >> k) + 1 + k for n in runs))


def _unpacked(text: str, at: int, frames: int) -> tuple[bytes, int]:
    """A channel's demands and where the next channel begins."""
    if at + _HEAD > len(text):
        raise ValueError("demands are cut short")
    k, value = int(text[at : at + 2], 2), int(text[at + 2 : at + _HEAD], 2)
    at += _HEAD
    row, runs = bytearray(), []
    while True:
        ones, at = _unary(text, at)
        if k:
            low = text[at : at + k]
            if len(low) < k:
                raise ValueError("demands are cut short")
            run, at = ones << k | int(low, 2), at + k
        else:
            run = ones
        if len(row) + run + 1 > frames:
            raise ValueError("demands are given for more frames than there are")
        runs.append(run)
        row += bytes([value]) * (run + 1)
        if len(row) == frames:
            if k != _best(runs):
                raise ValueError(f"demands are coded with parameter {k}, but {_best(runs)} takes less")
            return bytes(row), at
        up = text[at : at + 1] == "1"
        ones, at = _unary(text, at + 1)
        value += ones + 1 if up else -ones - 1
        if not 0 <= value <= MAX_DEMAND:
            raise ValueError(f"demand {value} is not in 0 to {MAX_DEMAND}")


def _unary(text: str, at: int) -> tuple[int, int]:
    """How many ones stand here, and where it goes on behind the zero that ends them."""
    end = text.find("0", at)
    if end < 0:
        raise ValueError("demands are cut short")
    return end - at, end + 1
