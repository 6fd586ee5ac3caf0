"""`Missing`: where noise goes in torch, and how much of it; `cpu.head.Missing` is the same in numpy."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvqcodec.models.rvq44 import tables
from rvqcodec.models.rvq44.config import Config


class Missing(nn.Module):
    """Power that is missing where coefficients should have more than is coded of it. Holds fixed tables alone."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        made = tables.of(config)
        self.band_weights: Tensor
        self.smooth: Tensor
        self.register_buffer("band_weights", torch.from_numpy(made.band_weights).clone(), persistent=False)
        self.register_buffer("smooth", torch.from_numpy(made.smooth).clone(), persistent=False)

    def forward(self, wanted: Tensor, power: Tensor) -> Tensor:
        """Power that coefficients should have, and what is coded of it [B, S, sub_frame] -> power that is missing.

        It lies where little is coded, and is in a band never more than the band lacks: so a tone that is coded gets no
        noise around it, and noise gets all its power.
        """
        empty = (wanted - self.smoothed(power)).clamp_min(0)
        bands = self.band_weights
        lacking = ((wanted - power) @ bands).clamp_min(0) / (empty @ bands + 1e-12)
        return empty * (lacking.clamp_max(1) @ bands.t())

    def smoothed(self, power: Tensor) -> Tensor:
        """[B, S, sub_frame] -> the same, averaged over neighbouring coefficients (Hann window)."""
        half, size = len(self.smooth) // 2, power.shape[2]
        wide = F.pad(power, (half - 1, half))  # the window is a periodic one: 0, then pairs of equal weight
        pairs = (wide[..., i : i + size] + wide[..., 2 * half - 1 - i :][..., :size] for i in range(half))
        sums = torch.zeros_like(power)
        for weight, pair in zip(self.smooth[1 : half + 1], pairs, strict=True):  # twice as fast as a convolution
            sums = torch.addcmul(sums, pair, weight)
        return sums
