"""How the frames and channels of a chunk share its codes: an integer rule of the format, which needs no model.

A *unit* is one frame of one coded channel. The encoder says a demand for each; the rule puts all codes that units could
have in one order, and a chunk holds the first `total` of them. So a lower total leaves every unit the same or less:
a trimmed file is the file that encoding at the lower bitrate gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHARES = (0, 100, 141, 200, 283, 400, 566, 800, 1131, 1600, 2263, 3200, 4525, 6400, 9051, 12800)
"""Share of a unit, by its demand: half an octave a step; 0 leaves it without codes."""

MAX_DEMAND = len(SHARES) - 1
MAX_WEIGHT = 255
SCALE = 1 << 16

Limits = tuple[tuple[int, int], ...]
"""Of each coded channel: codes that every unit gets before shares count, and codes that it has at most."""

Step = tuple[int, int, int]
"""Coded channel, demand, number of the code: the code that all units of that channel and demand get next."""

ANY = -1
"""In place of a step's demand: all units of the channel, but for those of demand 0."""


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """What a chunk says about its codes: how many, and who wants them.

    total    codes in all
    weights  of each coded channel, 0 to 255; 0 is a channel without codes
    demand   of each coded channel, a byte a frame, 0 to MAX_DEMAND, none for a channel of weight 0; None where every
             frame gets the same number of codes
    part     the frames were cut out of a longer chunk, so they may have more than their mean
    """

    total: int
    weights: tuple[int, ...]
    demand: tuple[bytes, ...] | None = None
    part: bool = False

    def with_total(self, total: int) -> Allocation:
        """The same demands with at most that many codes."""
        return replace(self, total=min(self.total, total))

    def trimmed(self, frames: int, total_n_q: int, before: int) -> Allocation:
        """What is left of `frames` frames when a file goes down from `before` to `total_n_q` codes a frame.

        Exactly what encoding with `total_n_q` gives, but for a part of a chunk, which keeps its proportion.
        """
        if total_n_q >= before:
            return self
        return self.with_total(self.total * total_n_q // before if self.part else total_n_q * frames)

    def columns(self, frames: int) -> int:
        """Frames that the rule looks at: one that stands for all where all get the same."""
        return 1 if self.demand is None else frames

    def rows(self, frames: int) -> tuple[bytes, ...]:
        """The demand of each unit that the rule looks at: bytes [columns] of each coded channel, 0 where it has none.

        `frames` is the chunk's number.
        """
        if self.demand is None:
            return tuple(bytes([min(weight, 1)]) for weight in self.weights)
        return tuple(row if weight else bytes(frames) for row, weight in zip(self.demand, self.weights, strict=True))

    def capacity(self, limits: Limits, frames: int) -> int:
        """The most codes that the units can take."""
        per_column = sum(
            (len(row) - row.count(0)) * most for row, (_, most) in zip(self.rows(frames), limits, strict=True)
        )
        return per_column * (frames // self.columns(frames))


def constant(n_q: Sequence[int], frames: int) -> Allocation:
    """The allocation that gives every frame of channel c exactly `n_q[c]` codes (0: none).

    Where `first` of the header is at most the least of them that is not 0.
    """
    # The last code of each channel then ranks above 1, the next below: (2n + 2) / (2n + 1) > 1 > (2n + 2) / (2n + 3).
    return Allocation(total=sum(n_q) * frames, weights=tuple(2 * n + 2 if n else 0 for n in n_q))


@lru_cache(maxsize=64)
def all_steps(limits: Limits, weights: tuple[int, ...]) -> tuple[Step, ...]:
    """All steps in the order in which codes are handed out."""
    live = [c for c, weight in enumerate(weights) if weight]
    first = [(k, c) for c in live for k in range(limits[c][0])]
    ranked = [
        (-(weights[c] * SHARES[d] * SCALE // (2 * k + 3)), k, c, d)
        for c in live
        for k in range(*limits[c])
        for d in range(1, MAX_DEMAND + 1)
    ]
    return tuple([(c, ANY, k) for k, c in sorted(first)] + [(c, d, k) for _, k, c, d in sorted(ranked)])


def steps(limits: Limits, allocation: Allocation, frames: int) -> list[tuple[Step, int]]:
    """The steps that a chunk of `frames` frames takes, in order, and how many units take each.

    All but the last take all units there are of that demand; the last may take only those of the first frames.
    Units are counted in `Allocation.columns`. Raises ValueError when there are more codes than units can take.
    """
    counts = {}
    for c, row in enumerate(allocation.rows(frames)):
        held = {d: row.count(d) for d in set(row) if d}
        counts[c, ANY] = sum(held.values())
        counts.update({(c, d): n for d, n in held.items()})
    left = allocation.total // (frames // allocation.columns(frames))
    taken: list[tuple[Step, int]] = []
    for step in all_steps(limits, allocation.weights):
        if not left:
            return taken
        n = min(left, counts.get(step[:2], 0))
        if n:
            taken.append((step, n))
            left -= n
    if left:
        raise ValueError(f"{allocation.total} codes are more than the units can take")
    return taken


def n_q_rows(limits: Limits, allocation: Allocation, frames: int) -> tuple[bytes, ...]:
    """The number of codes of each unit: bytes [frames] of each coded channel. ValueError as `steps`."""
    rows = allocation.rows(frames)
    tables = [bytearray(256) for _ in rows]
    last: tuple[Step, int] | None = None
    for last in steps(limits, allocation, frames):
        (c, d, k), _ = last
        for demand in range(1, MAX_DEMAND + 1) if d == ANY else (d,):
            tables[c][demand] = k + 1
    result = [bytearray(row.translate(table)) for row, table in zip(rows, tables, strict=True)]
    if last is not None:
        (c, d, k), n = last
        for t, demand in enumerate(rows[c]):
            if demand and d in (ANY, demand):
                result[c][t] = k + (n > 0)
                n -= 1
    return tuple(bytes(row) * (frames // len(row)) for row in result)


def n_q(limits: Limits, allocation: Allocation, frames: int) -> NDArray[np.uint8]:
    """The number of codes of each unit, uint8 [C, T]. ValueError as `steps`."""
    import numpy as np  # not above: `rvq info` starts without it

    return np.frombuffer(b"".join(n_q_rows(limits, allocation, frames)), np.uint8).reshape(len(limits), frames)


def places(limits: Limits, allocation: Allocation, frames: int) -> tuple[NDArray[np.intp], ...]:
    """Channel, codebook and frame of each code, in the order in which they are handed out: three arrays [total].

    Where all frames get the same, a step's codes stand frame by frame.
    """
    import numpy as np

    repeat = frames // allocation.columns(frames)
    units: dict[tuple[int, int], NDArray[np.intp]] = {}
    for c, row in enumerate(allocation.rows(frames)):
        demand = np.repeat(np.frombuffer(row, np.uint8), repeat)
        units[c, ANY] = np.flatnonzero(demand)
        units.update({(c, d): np.flatnonzero(demand == d) for d in set(row)})
    taken = steps(limits, allocation, frames)
    counts = [n * repeat for _, n in taken]
    channel = np.repeat(np.array([c for (c, _, _), _ in taken], np.intp), counts)
    codebook = np.repeat(np.array([k for (_, _, k), _ in taken], np.intp), counts)
    empty = np.zeros(0, np.intp)
    frame = np.concatenate([empty, *(units[c, d][:n] for ((c, d, _), _), n in zip(taken, counts, strict=True))])
    return channel, codebook, frame
