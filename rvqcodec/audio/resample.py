"""Streaming sample-rate conversion of float32 [C, n] blocks: no delay, exact length, any cutting the same."""

import numpy as np
from numpy.typing import NDArray


def resampled_length(n_samples: int, rate_in: int, rate_out: int) -> int:
    """How many samples `n_samples` become: ceil(n_samples * rate_out / rate_in), in integers."""
    return -(-n_samples * rate_out // rate_in)


class Resampler:
    """Converts one recording from `rate_in` to `rate_out` Hz: push blocks, then flush once.

    Blocks are float32 [channels, n]; what comes out is float32 [channels, m], contiguous, with m >= 0. All
    outputs together have `resampled_length(n, rate_in, rate_out)` samples. Equal rates pass through
    untouched. Resampling is soxr's "HQ" (linear phase), which aligns output sample 0 with input sample 0.
    """

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        self.rate_in, self.rate_out, self.channels = rate_in, rate_out, channels
        self._taken = self._given = 0
        self._stream = None
        if rate_in != rate_out:
            import soxr  # here, so that `import rvqcodec.audio` stays light

            self._stream = soxr.ResampleStream(rate_in, rate_out, channels, dtype="float32", quality="HQ")

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take float32 [channels, n]; give float32 [channels, m], what is ready so far."""
        self._taken += samples.shape[1]
        if self._stream is None:
            return np.ascontiguousarray(samples)
        return self._step(samples, last=False)

    def flush(self) -> NDArray[np.float32]:
        """Give the rest, float32 [channels, m], so that the total is exact; push nothing afterwards."""
        if self._stream is None:
            return np.zeros((self.channels, 0), np.float32)
        # A little silence at the end lets the resampler make its last sample itself, whatever way it rounds.
        total = resampled_length(self._taken, self.rate_in, self.rate_out)
        silence = 2 + 2 * -(-self.rate_in // self.rate_out)
        return self._step(np.zeros((self.channels, silence), np.float32), last=True, limit=total)

    def _step(self, samples: NDArray[np.float32], *, last: bool, limit: int | None = None) -> NDArray[np.float32]:
        assert self._stream is not None
        assert samples.dtype == np.float32, samples.dtype
        assert samples.shape[0] == self.channels, samples.shape
        out = self._stream.resample_chunk(np.ascontiguousarray(samples.T), last=last)
        if limit is not None:
            out = out[: limit - self._given]
            assert self._given + len(out) == limit
        self._given += len(out)
        return np.ascontiguousarray(out.T)
