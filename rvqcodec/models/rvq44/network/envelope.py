"""What the envelope decides, in torch: how its codes are searched, which coefficients are coded, in which order.

`emphasis` and `scales` are the same in numpy.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvqcodec.models.rvq44 import tables
from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.emphasis import (
    LESS_QUIET,
    LESS_SILENT,
    LOUD,
    MOST_LOUD,
    MOST_PROMINENT,
    NEIGHBOURS,
    PROMINENT,
    QUIET,
    SILENT,
)


def on_steps(entries: Tensor, step: float) -> Tensor:
    """Entries of envelope codebooks, rounded so that float16 holds them and float32 their sums, both exactly."""
    return (entries.half().double() / step).round().mul(step).to(entries.dtype)


def by_frame(x: Tensor, sub_frames: int) -> Tensor:
    """[B, S, D] -> [B, S / sub_frames, sub_frames * D]: the sub-frames of a frame side by side."""
    return x.reshape(x.shape[0], -1, sub_frames * x.shape[2])


def by_sub_frame(x: Tensor, sub_frames: int) -> Tensor:
    """The inverse of `by_frame`."""
    return x.reshape(x.shape[0], -1, x.shape[2] // sub_frames)


class Emphasis:
    """Weights of the squared errors in an envelope's search, as `emphasis.Emphasis` finds them."""

    def __init__(self, config: Config) -> None:
        self.bands, self.scale, self.sub_frames = config.bands, config.envelope_scale, config.frame_sub_frames

    def __call__(self, latent: Tensor, mean: Tensor) -> Tensor:
        """latent [B, T, sub_frames * bands], the envelope's mean [bands] -> weights, of the latent's shape."""
        levels = by_sub_frame(latent, self.sub_frames)
        wide = F.pad(levels, (NEIGHBOURS, NEIGHBOURS), mode="replicate")
        around = sum(wide[..., i : i + self.bands] for i in range(2 * NEIGHBOURS + 1)) / (2 * NEIGHBOURS + 1)
        decibels = 8.686 / self.scale
        prominent = ramp((levels - around) * decibels, PROMINENT)
        below = (levels.amax(-1, keepdim=True) - levels) * decibels
        heard = (1 - LESS_QUIET * ramp(below, QUIET)) * (1 - LESS_SILENT * ramp(below, SILENT))
        power = levels + mean * self.scale
        loud = 1 - ramp((power.amax(-1, keepdim=True) - power) * decibels, LOUD)
        weight = (1 + MOST_PROMINENT * prominent) * heard * (1 + MOST_LOUD * loud)
        return by_frame(weight, self.sub_frames)


def ramp(x: Tensor, bounds: tuple[float, float]) -> Tensor:
    """0 up to the lower bound, 1 from the upper bound on."""
    low, high = bounds
    return ((x - low) / (high - low)).clamp(0, 1)


class Order(nn.Module):
    """Sorts a sub-frame's coefficients by the size that the quantized envelope predicts, as `scales.Scales.places`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        c = config
        self.block_size, self.count = c.block_size, c.coded_coefficients // c.block_size
        self.scale, self.step, self.sub_frames = c.envelope_scale, c.envelope_step, c.frame_sub_frames
        made = tables.of(c)
        self.shares: Tensor
        self.importance: Tensor
        self.register_buffer("shares", torch.from_numpy(made.shares).clone(), persistent=False)
        self.register_buffer("importance", torch.from_numpy(made.block_importance).clone(), persistent=False)

    def forward(self, quantized: Tensor, mean: Tensor) -> Tensor:
        """quantized envelope [B, S, bands], its mean [bands] -> int64 [B, S, coded_coefficients], largest first.

        The same coefficients for all sub-frames of a frame.
        """
        whole = (quantized.double() / self.step).round() * self.step
        levels = by_frame(whole, self.sub_frames).unflatten(-1, (self.sub_frames, -1)).sum(2)
        offset = self.sub_frames * (self.scale * mean.double() @ self.shares + self.importance)
        sizes = levels @ self.shares + (offset / self.step).round() * self.step
        blocks = sizes.argsort(dim=-1, descending=True, stable=True)[..., : self.count]
        places: Tensor = blocks[..., None] * self.block_size + torch.arange(self.block_size, device=blocks.device)
        return places.flatten(2).repeat_interleave(self.sub_frames, 1)
