"""What a chunk's frames and channels ask for: demands for `container.allocation`, from the envelope's codes alone.

Reverse water-filling (Cover & Thomas, Elements of Information Theory, 10.3.3): the coded coefficients are Gaussian with
the variances that the quantized envelope lets expect, errors count less in loud frames, and a common level of noise is
sought at which all of them need REFERENCE codes a frame. What each frame then needs is its share. Codes are fewer or
more than that at other bitrates, shares stay: so a trimmed file is one encoded at the lower bitrate.
Figures: weights/MODEL_CARD.md, "What was tried".
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rvqcodec.container.allocation import MAX_DEMAND
from rvqcodec.models.rvq44.scales import Scales
from rvqcodec.models.rvq44.tables import Floats

REFERENCE = 5.0  # waveform codes of a frame of one channel or a pair, in the mean, at which shares are found
ADDED = 1.5  # codes that even a frame without need is reckoned to take, so that shares stay within 5 octaves
BITS = 10  # that a code is reckoned to be worth
MASKING = 0.45  # exponent of a frame's level by which its errors count less
STEPS = 2  # demands an octave of share
ROUNDS = 16  # of bisection
KEEP = 0.7  # steps that a share must have moved before its demand moves: saves a third of their bits and is not heard


def demands(scales: Scales, quantized: Sequence[Floats], needless: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Quantized envelopes [S, bands] of a chunk's C channels -> demands uint8 [C, T], 1 to MAX_DEMAND.

    needless [C, T]: frames that ask for nothing, demand 0.
    """
    variances = log_variances(scales, quantized, needless)
    variances[needless] = variances[~needless].min()
    found = from_shares(codes_needed(variances) + ADDED)
    found[needless] = 0
    return found


def log_variances(scales: Scales, quantized: Sequence[Floats], needless: NDArray[np.bool_]) -> Floats:
    """Quantized envelopes [S, bands] of C channels -> float32 [C, T, coefficients of a frame].

    Base-2 logarithms of the variances that coded coefficients are expected to have, weighted as their errors count.
    """
    c = scales.config
    spread = scales.spread[:, : c.coefficients] * np.float32(2 * c.flatten_exponent / np.log(2))
    importance = 2 * np.log2(scales.importance)
    flat = [scales.logarithms(one) @ spread + importance for one in quantized]
    count = np.float32(c.frame_sub_frames * c.coded_coefficients)
    power = np.stack([np.exp2(one).sum(1).reshape(-1, c.frame_sub_frames).sum(1) for one in flat]) / count
    power[needless] = 0
    level = np.float32(0.5) * np.log2(np.maximum(power.sum(0), np.float32(2.0**-20)))  # of a frame [T]
    rows = (np.take_along_axis(a, scales.each(scales.places(b)), 1) for a, b in zip(flat, quantized, strict=True))
    coded = np.stack([row.reshape(power.shape[1], -1) for row in rows])
    coded -= np.float32(2 * MASKING) * level[:, None]  # a channel's errors hide behind the others
    return coded


def codes_needed(variances: Floats) -> NDArray[np.floating]:
    """float32 [C, T, n] from `log_variances` -> waveform codes [C, T]: REFERENCE a frame in the mean."""
    wanted = REFERENCE * max(1.0, len(variances) / 2)
    low, high = float(variances.min()) - 8 * BITS, float(variances.max())
    for _ in range(ROUNDS):
        noise = (low + high) / 2
        needed: NDArray[np.floating] = np.maximum(variances - noise, 0).sum(2) / (2 * BITS)
        if needed.sum(0).mean() > wanted:
            low = noise
        else:
            high = noise
    return needed


def from_shares(shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Shares of frames and channels [C, T], above 0 -> demands uint8 [C, T], the largest MAX_DEMAND."""
    exact = STEPS * np.log2(shares / shares.max()) + MAX_DEMAND
    wanted = np.rint(exact).clip(1, MAX_DEMAND).tolist()
    for shown, row in zip(exact.tolist(), wanted, strict=True):
        for t in range(1, len(row)):
            if abs(shown[t] - row[t - 1]) <= KEEP:
                row[t] = row[t - 1]
    return np.array(wanted, np.uint8)
