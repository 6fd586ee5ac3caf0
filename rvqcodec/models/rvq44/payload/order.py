"""`Order`: when each code of a chunk comes, and what is known of the frames around it by then."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rvqcodec.container import allocation
from rvqcodec.container.allocation import ANY, MAX_DEMAND, Limits
from rvqcodec.container.shapes import Shape
from rvqcodec.models.rvq44.likely import ENVELOPE, USUAL_DEMAND

Codes = NDArray[np.uint16]
"""Codes [K, T] of one channel."""
Ints = NDArray[np.int64]


class Order:
    """Of one chunk. paired: of two coded channels the second is the second one of a pair."""

    def __init__(self, shape: Shape, *, paired: bool) -> None:
        self.shape, self._paired = shape, paired
        self.channels = range(len(shape.limits))
        self.n_q = shape.n_q().astype(np.int64)
        self._repeat = shape.step
        # demands as the rule sees them [T] of each channel, and as contexts do
        rows = shape.allocation.rows(shape.frames)
        self._ranked = [np.repeat(np.frombuffer(row, np.uint8), self._repeat) for row in rows]
        usual = [np.where(row > 0, USUAL_DEMAND, 0).astype(np.uint8) for row in self._ranked]
        self.demand = self._ranked if shape.allocation.demand is not None else usual
        self._known = known_levels(shape.limits, shape.allocation.weights)

    @property
    def at(self) -> Ints:
        """Place of each code [C, K, T]; beyond all where there is none."""
        channel, codebook, frame = self.shape.places()
        at = np.full((len(self.n_q), int(self.n_q.max(initial=0)), self.shape.frames), self.shape.count, np.int64)
        at[channel, codebook, frame] = np.arange(self.shape.count)
        return at

    def second(self, channel: int) -> bool:
        """Whether a channel is the second one of a pair."""
        return self._paired and channel == 1

    def level(self, channel: int, k: int, frames: Ints, offset: int) -> Ints:
        """How many codes of the envelope are known of the frames `offset` away from these when their code k comes."""
        if not offset:
            return np.full(len(frames), k)
        ranked, near = self._ranked[channel], frames + offset
        inside = (near >= 0) & (near < len(ranked))
        own, theirs = ranked[frames], np.where(inside, ranked[near.clip(0, len(ranked) - 1)], 0)
        same = (k < self.shape.limits[channel][0]) | (theirs == own)
        return np.where(theirs > 0, self._known[channel, own, k, theirs] + (same & (offset < 0)), 0)

    def steps(self) -> Iterator[tuple[int, int, list[int]]]:
        """Channel, codebook, frames that get a code of it one after the other; in the order of codes."""
        shape = self.shape
        for (c, demand, k), count in allocation.steps(shape.limits, shape.allocation, shape.frames):
            ranked = self._ranked[c]
            chosen = np.flatnonzero(ranked if demand == ANY else ranked == demand)
            yield c, k, chosen[: count * self._repeat].tolist()


@lru_cache(maxsize=64)
def known_levels(limits: Limits, weights: tuple[int, ...]) -> Ints:
    """[channel, demand, codebook, demand of another frame]: codes of its envelope that the latter has before this one.

    Of earlier steps; of the same step the frames before have one more.
    """
    known = np.zeros((len(limits), MAX_DEMAND + 1, ENVELOPE, MAX_DEMAND + 1), np.int64)
    has = np.zeros((len(limits), MAX_DEMAND + 1), np.int64)
    for c, demand, k in allocation.all_steps(limits, weights):
        if k < ENVELOPE:
            some = slice(None) if demand == ANY else demand
            known[c, some, k] = has[c]
            has[c, some] = k + 1
    return known
