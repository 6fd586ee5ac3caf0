"""How many codebooks the frames of a crop keep in training: any number, and in most crops more where it is loud."""

import numpy as np
import torch
from torch import Tensor

from rvqcodec.models.rvq44.network import Network
from rvqcodec.training.gpu_pool import onto

# Mean numbers of codebooks of a crop: every one, and those of 1.5, 3, 6 and 12 kbps often.
MEANS = (*range(1, 49), *(4, 6, 8, 12, 16, 24, 32) * 4, *(8, 16) * 8)
SLOPES = 0.15, 0.6  # codebooks per decibel of a frame's level
CONSTANT = 0.3  # share of the crops whose frames all have the same number
DEEPEST = 50.0  # dB under the loudest frame below which all count alike


@torch.no_grad()
def codebooks_kept(network: Network, x: Tensor, rng: np.random.Generator) -> Tensor:
    """x [B, N] -> n_q [B, T]: a random mean for each crop, in most of them more for loud frames, as in a file."""
    c, size = network.config, len(x)
    level = network.frame_level(network.amplitude(network.analyse(x)[0]))
    level = 20 * level.log10()
    level = level.maximum(level.amax(1, keepdim=True) - DEEPEST)
    means = np.minimum(rng.choice(MEANS, size), c.max_n_q)
    slopes = rng.uniform(*SLOPES, size) * (rng.random(size) > CONSTANT)
    least = np.where(means < 6, c.base_codebooks, c.envelope_codebooks)
    mean, slope, low = (onto(x.device, torch.from_numpy(v))[:, None] for v in (means, slopes, least))
    wanted = mean + slope * (level - level.mean(1, keepdim=True))
    wanted = torch.where(slope > 0, wanted.round().maximum(low), mean)
    return wanted.clamp_max(c.max_n_q).long()
