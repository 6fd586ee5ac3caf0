"""Takes a constant offset (DC) out of what is coded, where there is one: nobody hears it, but it costs codes.

Where there is none the samples pass bit by bit. What is taken away follows the mean of the last second or so, and comes
and goes smoothly; how the samples are cut into blocks does not matter, and only the start waits for some.
"""

import math

import numpy as np
from numpy.typing import NDArray

from rvqcodec.types import Samples

BLOCK, MEMORY, START = 0.025, 1.0, 0.25  # seconds: a step of the mean, how far it reaches back, what it starts with
LEAST, HEARD = 0.15, 0.25  # of the level (RMS): up to here it costs nothing, from here on all of it is taken away
NOTHING = 1e-4  # of full scale


class Offset:
    """push, then flush once: as many samples come out as went in. `removed`: the largest offset, of full scale."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self.removed = 0.0
        self._size = max(1, round(BLOCK * sample_rate))
        self._start = round(START * sample_rate)
        self._keep = math.exp(-BLOCK / MEMORY)
        self._waiting: Samples | None = np.zeros((channels, 0), np.float32)  # before the first mean is known
        self._block = np.zeros((channels, 0), np.float32)  # the samples so far of the block that is not complete
        self._mean, self._power = [0.0] * channels, [0.0] * channels
        self._from = self._to = np.zeros(channels)  # what is taken away at the block's begin and end

    def push(self, samples: Samples) -> Samples:
        """float32 [C, n] -> what is ready, float32 [C, m]."""
        if self._waiting is None:
            return self._given(samples)
        self._waiting = np.concatenate([self._waiting, samples], axis=1)
        return self._begin() if self._waiting.shape[1] >= self._start else samples[:, :0]

    def flush(self) -> Samples:
        """The rest."""
        return self._begin() if self._waiting is not None else self._block[:, :0]

    def _begin(self) -> Samples:
        """Everything that waits, by the mean of the first of it."""
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        if waiting.shape[1]:
            self._mean, self._power = (x.tolist() for x in _moments(waiting[:, : self._start]))
            self._from = self._to = self._wanted()
        return self._given(waiting)

    def _given(self, samples: Samples) -> Samples:
        size, before = self._size, self._block.shape[1]
        joined = np.concatenate([self._block, samples], axis=1)
        count = joined.shape[1] // size
        whole = joined[:, : count * size].reshape(len(joined), count, size)
        parts = [samples[:, :0]]
        for i, (mean, power) in enumerate(zip(*(x.T.tolist() for x in _moments(whole)), strict=True)):
            begin = before if i == 0 else 0
            parts.append(self._less(whole[:, i, begin:], begin))
            self._next(mean, power)
        self._block = joined[:, count * size :].copy()
        begin = before if count == 0 else 0
        parts.append(self._less(self._block[:, begin:], begin))
        return np.concatenate(parts, axis=1)

    def _less(self, part: Samples, at: int) -> Samples:
        """Samples that begin at a place of the block, without the offset."""
        if not self._from.any() and not self._to.any():
            return part
        place = (np.arange(at, at + part.shape[1]) + 0.5) / self._size
        taken = self._from[:, None] + (self._to - self._from)[:, None] * place
        return (part - taken).astype(np.float32)

    def _next(self, mean: list[float], power: list[float]) -> None:
        """The block is complete: the next one goes from what is taken away now to what its mean says."""
        self._mean = [new + (old - new) * self._keep for old, new in zip(self._mean, mean, strict=True)]
        self._power = [new + (old - new) * self._keep for old, new in zip(self._power, power, strict=True)]
        self._from, self._to = self._to, self._wanted()

    def _wanted(self) -> NDArray[np.float64]:
        wanted = []  # one by one: arrays of so few take ten times as long
        for mean, power in zip(self._mean, self._power, strict=True):
            size = abs(mean)
            share = (size / math.sqrt(max(power, 1e-20)) - LEAST) / (HEARD - LEAST) if size >= NOTHING else 0.0
            share = min(max(share, 0.0), 1.0)
            self.removed = max(self.removed, share * size)
            wanted.append(mean * share)
        return np.array(wanted)


def _moments(samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and mean square along the last axis; the same whatever the samples were cut from."""
    exact = np.ascontiguousarray(samples, np.float64)
    return exact.mean(axis=-1), np.square(exact).mean(axis=-1)
