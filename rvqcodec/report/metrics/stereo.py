"""How well the image between two channels was kept: their difference in level, and their coherence. numpy only.

Both per mel-spaced band over 8 sub-frames of the codec's transform (107 ms), averaged with weights of power^0.35.
The mean of the channels' own distances cannot hear that an image is lost: it hardly moves when both are the middle.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

SIZE = 588  # coefficients of a sub-frame, 13.3 ms at 44.1 kHz
BANDS = 24
TOP_HERTZ = 20000.0
SPAN = 8  # sub-frames
WEIGHT = 0.35  # exponent of the power
LIMIT = 30.0  # dB: a channel that is weaker by more is not heard beside the other
FLOOR = 1e-9  # of a coefficient's power
BLOCK = 1024  # sub-frames at a time: memory does not grow


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sine window [2 * SIZE] and DCT-IV [SIZE, SIZE]."""
    n = np.arange(SIZE) + 0.5
    window = np.sin(np.pi / (2 * SIZE) * (np.arange(2 * SIZE) + 0.5))
    return window.astype(np.float32), (np.cos(np.pi / SIZE * n[:, None] * n) * np.sqrt(2 / SIZE)).astype(np.float32)


@lru_cache(maxsize=4)
def _bands(sample_rate: int) -> NDArray[np.float32]:
    """[SIZE, BANDS]: triangles, evenly spaced in mel; each row sums to 1."""
    mel = 2595 * np.log10(1 + TOP_HERTZ / 700)
    centres = 700 * (10 ** (np.linspace(0, mel, BANDS) / 2595) - 1)
    hertz = (np.arange(SIZE) + 0.5) * sample_rate / 2 / SIZE
    rows = [np.interp(hertz, centres, unit) for unit in np.eye(BANDS)]
    return np.stack(rows, 1).astype(np.float32)


def _coefficients(samples: Samples, first: int, count: int) -> NDArray[np.float32]:
    """MDCT [count, SIZE] of sub-frames first .. first + count - 1; silence before and after the samples [n]."""
    window, dct = _tables()
    begin, end = (first - 1) * SIZE, (first + count) * SIZE
    part = samples[max(0, begin) : max(0, end)]
    padded = np.zeros(end - begin, np.float32)
    padded[max(0, -begin) : max(0, -begin) + len(part)] = part
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * SIZE)[::SIZE] * window
    a, b, c, d = np.split(frames, 4, axis=1)
    return np.asarray(np.concatenate([-c[:, ::-1] - d, a - b[:, ::-1]], 1) @ dct)


def _powers(samples: Samples, first: int, count: int, sample_rate: int) -> NDArray[np.float64]:
    """[3, count / SPAN, BANDS]: means of <l, l>, <r, r>, <l, r> of samples [2, n]."""
    left, right = (_coefficients(channel, first, count) for channel in samples)
    products = np.stack([left * left, right * right, left * right]) @ _bands(sample_rate)
    return np.asarray(products.reshape(3, -1, SPAN, BANDS).mean(2, dtype=np.float64))


def _image(powers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Level of the left over the right channel in dB, and coherence, -1 to 1, of powers [3, ...]."""
    left, right, both = powers
    level = 10 * np.log10((left + FLOOR) / (right + FLOOR))
    return np.clip(level, -LIMIT, LIMIT), both / (np.sqrt(left * right) + FLOOR)


def image_errors(reference: Samples, other: Samples, sample_rate: int = 44100) -> tuple[float, float] | None:
    """Errors of the level difference (dB) and of the coherence between the channels of float32 [2, n] pairs.

    Mean absolute differences between `reference` and `other`. None when the reference is silent.
    """
    if reference.shape != other.shape or reference.shape[:1] != (2,):
        raise ValueError(f"channels {list(reference.shape)} and {list(other.shape)}: must both be [2, n]")
    count = -(-(reference.shape[1] // SIZE + 1) // SPAN) * SPAN
    level = coherence = total = 0.0
    for first in range(0, count, BLOCK):
        n = min(BLOCK, count - first)
        a, b = (_powers(np.asarray(x, np.float32), first, n, sample_rate) for x in (reference, other))
        weight = (a[0] + a[1]) ** WEIGHT
        (level_a, coherence_a), (level_b, coherence_b) = _image(a), _image(b)
        level += float((weight * np.abs(level_a - level_b)).sum())
        coherence += float((weight * np.abs(coherence_a - coherence_b)).sum())
        total += float(weight.sum())
    return (level / total, coherence / total) if total > 0 else None
