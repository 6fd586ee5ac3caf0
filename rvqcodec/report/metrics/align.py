"""How much later one recording is than another, by cross-correlation."""

import numpy as np

from rvqcodec.types import Samples

BLOCK = 1 << 17
LEAST_CORRELATION = 0.1  # below this the two have too little in common to tell a delay


def find_delay(reference: Samples, other: Samples, *, limit: int) -> int:
    """Samples (-limit..limit) by which `other` [n] is later than `reference` [m]; 0 if they do not correlate.

    Of lags that fit equally well (periodic signals) the one nearest to 0.
    """
    length = min(len(reference), len(other))
    if length == 0 or limit == 0:
        return 0
    total = np.zeros(2 * limit + 1)
    size = 1 << (BLOCK + 2 * limit - 1).bit_length()
    for start in range(0, length, BLOCK):
        a = reference[start : min(start + BLOCK, length)]
        # The other's samples from start - limit to start + len(a) + limit, zeros beyond its ends.
        first, last = start - limit, start + len(a) + limit
        b = np.zeros(last - first, np.float32)
        low, high = max(first, 0), min(last, len(other))
        b[low - first : high - first] = other[low:high]
        product = np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size))
        total += np.fft.irfft(product, size)[: 2 * limit + 1]
    energy = np.sqrt(_energy(reference[:length]) * _energy(other))
    best = float(total.max())
    if energy <= 0.0 or best < LEAST_CORRELATION * energy:
        return 0
    candidates = np.flatnonzero(total >= best - 1e-6 * energy) - limit
    return int(candidates[np.argmin(np.abs(candidates))])


def _energy(samples: Samples) -> float:
    return float(np.square(samples, dtype=np.float64).sum())


def shift_to_fit(reference: Samples, other: Samples, delay: int) -> tuple[Samples, Samples]:
    """Both [C, n] cut to the stretch that they share when `other` is `delay` samples late."""
    a = reference[:, max(0, -delay) :]
    b = other[:, max(0, delay) :]
    length = min(a.shape[1], b.shape[1])
    return a[:, :length], b[:, :length]
