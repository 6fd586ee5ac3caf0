"""What a chunk's frames and channels ask for: demands for `container.allocation`, from the envelope's codes alone.

Reverse water-filling (Cover & Thomas, Elements of Information Theory, 10.3.3): the coded coefficients are Gaussian with
the variances that the quantized envelope lets expect, errors count less in loud frames, and a common level of noise is
sought at which all of them need REFERENCE codes a frame. What each frame then needs is its share. Codes are fewer or
more than that at other bitrates, shares stay: so a trimmed file is one encoded at the lower bitrate.
Figures: weights/MODEL_CARD.md, "What was tried".
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from rvqcodec.container.allocation import MAX_DEMAND

if TYPE_CHECKING:
    from rvqcodec.models.rvq44.network import Network

REFERENCE = 5.0  # waveform codes of a frame of one channel or a pair, in the mean, at which shares are found
ADDED = 1.5  # codes that even a frame without need is reckoned to take, so that shares stay within 5 octaves
BITS = 10  # that a code is reckoned to be worth
MASKING = 0.45  # exponent of a frame's level by which its errors count less
STEPS = 2  # demands an octave of share
ROUNDS = 16  # of bisection
KEEP = 0.7  # steps that a share must have moved before its demand moves: saves a third of their bits and is not heard


@torch.inference_mode()
def demands(network: "Network", quantized: torch.Tensor, needless: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Quantized envelope [C, S, bands] of one chunk -> demands uint8 [C, T], 1 to MAX_DEMAND.

    needless [C, T]: frames that ask for nothing, demand 0.
    """
    variances = log_variances(network, quantized, needless)
    variances[needless] = variances[~needless].min()
    found = from_shares(codes_needed(variances) + ADDED)
    found[needless] = 0
    return found


def log_variances(network: "Network", quantized: torch.Tensor, needless: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Quantized envelope [C, S, bands] -> [C, T, coefficients of a frame].

    Base-2 logarithms of the variances that coded coefficients are expected to have, weighted as their errors count.
    """
    c = network.config
    amplitude = network.amplitude(quantized)[..., : c.coefficients]
    importance = network.importance[: c.coefficients]
    flat = 2 * c.flatten_exponent * amplitude.log2() + 2 * importance.log2()
    power = flat.exp2().unflatten(1, (-1, c.frame_sub_frames)).sum((2, 3)) / (c.frame_sub_frames * c.coded_coefficients)
    power[torch.from_numpy(needless).to(power.device)] = 0
    level = 0.5 * power.sum(0).log2().clamp_min(-20)  # of a frame [T]: a channel's errors hide behind the others
    coded = flat.gather(-1, network.places(quantized)).unflatten(1, (-1, c.frame_sub_frames)).flatten(2)
    weighted: NDArray[np.float64] = (coded - 2 * MASKING * level[..., None]).cpu().numpy()
    return weighted


def codes_needed(variances: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [C, T, n] from `log_variances` -> waveform codes [C, T]: REFERENCE a frame in the mean."""
    wanted = REFERENCE * max(1.0, len(variances) / 2)
    low, high = float(variances.min()) - 8 * BITS, float(variances.max())
    for _ in range(ROUNDS):
        noise = (low + high) / 2
        needed: NDArray[np.float64] = np.maximum(variances - noise, 0).sum(2) / (2 * BITS)
        if needed.sum(0).mean() > wanted:
            low = noise
        else:
            high = noise
    return needed


def from_shares(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Shares of frames and channels, float64 [C, T], above 0 -> demands uint8 [C, T], the largest MAX_DEMAND."""
    exact = STEPS * np.log2(shares / shares.max()) + MAX_DEMAND
    wanted = np.rint(exact).clip(1, MAX_DEMAND)
    for t in range(1, wanted.shape[1]):
        kept = np.abs(exact[:, t] - wanted[:, t - 1]) <= KEEP
        wanted[:, t] = np.where(kept, wanted[:, t - 1], wanted[:, t])
    found: NDArray[np.uint8] = wanted.astype(np.uint8)
    return found
