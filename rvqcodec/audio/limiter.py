"""Turns samples down where they would go over full scale, smoothly, in place of cutting them; streaming.

All channels are turned down alike. What is quiet enough for long passes bit by bit, and how the samples are cut into
blocks does not matter.
"""

import numpy as np
from numpy.typing import NDArray

CEILING = 32767 / 32768  # the largest sample of 16 bits
STEP, REACH = 0.0015, 14  # seconds; steps before and after a peak in which the level goes down and comes back


class Limiter:
    """push, then flush once: as many samples come out as went in, 2 * REACH steps (42 ms) later.

    `limited` counts the values that lay over full scale.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self.limited = 0
        self._size = max(1, round(STEP * sample_rate))
        self._held = np.zeros((channels, 0), np.float32)
        # What each step of the samples held, and of the 2 * REACH before them, may be multiplied by.
        self._gains = np.ones(2 * REACH)
        # A weighted mean of as many minima as lie around an edge of a step is no more than either step may have.
        bell = np.sin(np.pi * (np.arange(2 * REACH) + 0.5) / (2 * REACH)) ** 2
        self._weights = bell / bell.sum()

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [C, n] -> what is ready, float32 [C, m]."""
        known = (len(self._gains) - 2 * REACH) * self._size  # samples held whose steps were measured
        self._held = np.concatenate([self._held, samples], axis=1)
        steps = (self._held.shape[1] - known) // self._size
        self._measure(self._held[:, known : known + steps * self._size])
        return self._give(len(self._gains) - 4 * REACH)

    def flush(self) -> NDArray[np.float32]:
        """The rest."""
        n = self._held.shape[1]
        padding = -n % self._size
        filled = np.pad(self._held, ((0, 0), (0, padding)))
        self._measure(filled[:, (len(self._gains) - 2 * REACH) * self._size :])
        self._held = filled
        self._gains = np.concatenate([self._gains, np.ones(2 * REACH)])
        return self._give(filled.shape[1] // self._size)[:, :n]

    def _measure(self, samples: NDArray[np.float32]) -> None:
        """Notes what whole steps may be multiplied by."""
        size = np.abs(samples)
        self.limited += int(np.count_nonzero(size > 1))
        peaks = size.max(axis=0).reshape(-1, self._size).max(axis=1, initial=0).astype(np.float64)
        self._gains = np.concatenate([self._gains, CEILING / np.maximum(peaks, CEILING)])

    def _give(self, steps: int) -> NDArray[np.float32]:
        """The first steps that are held, each going from the level at its first edge to that at the next."""
        if steps <= 0:
            return self._held[:, :0]
        # gains[i] is of step i - 2 * REACH; lows[i] the least of 2 * REACH + 1 steps around step i - REACH.
        lows = np.lib.stride_tricks.sliding_window_view(self._gains[: steps + 4 * REACH], 2 * REACH + 1).min(axis=1)
        around = np.lib.stride_tricks.sliding_window_view(lows, 2 * REACH)
        edges = 1 - (1 - around[: steps + 1]) @ self._weights
        place = (np.arange(self._size) + 0.5) / self._size
        gains = edges[:-1, None] + (edges[1:] - edges[:-1])[:, None] * place
        part = self._held[:, : steps * self._size]
        self._held, self._gains = self._held[:, steps * self._size :], self._gains[steps:]
        if (edges == 1).all():
            return part
        quieter: NDArray[np.float32] = (part * gains.reshape(-1)).astype(np.float32)
        return quieter
