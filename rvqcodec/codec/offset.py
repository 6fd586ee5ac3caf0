"""Takes a constant offset (DC) out of what is coded, where there is one: nobody hears it, but it costs codes.

Where there is none the samples pass bit by bit. What is taken away follows the mean of the last second or so, and comes
and goes smoothly; how the samples are cut into blocks does not matter, and only the start waits for some.
"""

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
        self._keep = np.exp(-BLOCK / MEMORY)
        self._waiting: Samples | None = np.zeros((channels, 0), np.float32)  # before the first mean is known
        self._block = np.zeros((channels, 0), np.float32)  # the samples so far of the block that is not complete
        self._mean = np.zeros(channels)
        self._power = np.zeros(channels)
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
            self._mean, self._power = _moments(waiting[:, : self._start])
            self._from = self._to = self._wanted()
        return self._given(waiting)

    def _given(self, samples: Samples) -> Samples:
        parts = [samples[:, :0]]
        while samples.shape[1]:
            at = self._block.shape[1]
            part, samples = samples[:, : self._size - at], samples[:, self._size - at :]
            parts.append(self._less(part, at))
            self._block = np.concatenate([self._block, part], axis=1)
            if self._block.shape[1] == self._size:
                self._next()
        return np.concatenate(parts, axis=1)

    def _less(self, part: Samples, at: int) -> Samples:
        """Samples that begin at a place of the block, without the offset."""
        if not self._from.any() and not self._to.any():
            return part
        place = (np.arange(at, at + part.shape[1]) + 0.5) / self._size
        taken = self._from[:, None] + (self._to - self._from)[:, None] * place
        return (part - taken).astype(np.float32)

    def _next(self) -> None:
        """The block is complete: the next one goes from what is taken away now to what its mean says."""
        mean, power = _moments(self._block)
        self._mean = mean + (self._mean - mean) * self._keep
        self._power = power + (self._power - power) * self._keep
        self._from, self._to = self._to, self._wanted()
        self._block = self._block[:, :0]

    def _wanted(self) -> NDArray[np.float64]:
        size = np.abs(self._mean)
        level = np.sqrt(np.maximum(self._power, 1e-20))
        share = np.clip((size / level - LEAST) / (HEARD - LEAST), 0, 1) * (size >= NOTHING)
        self.removed = max(self.removed, float((share * size).max()))
        wanted: NDArray[np.float64] = self._mean * share
        return wanted


def _moments(samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and mean square of each channel; the same whatever the samples were cut from."""
    exact = np.ascontiguousarray(samples, np.float64)
    return exact.mean(axis=1), np.square(exact).mean(axis=1)
