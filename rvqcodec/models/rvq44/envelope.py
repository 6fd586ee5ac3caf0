"""What the envelope decides: how its codes are searched, and which coefficients are coded, in which order."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvqcodec.models.rvq44.config import Config

NEIGHBOURS = 4  # bands on either side that a band is compared with
# Between which dB a band's weight in the search changes, and by how much at most.
PROMINENT, MOST_PROMINENT = (18.0, 30.0), 4.0  # above its neighbours
QUIET, LESS_QUIET = (10.0, 50.0), 0.75  # below the loudest band, levels against the corpus' mean spectrum
LOUD, MOST_LOUD = (0.0, 10.0), 2.0  # below the band of most power


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
    """Weights of the squared errors in an envelope's search: what is loud or stands out must have the right level.

    With equal weights a pure tone's band came out up to 16 dB wrong and loud noise with steep edges 3 to 11 dB too
    quiet, because the search favoured the many silent bands beside them.
    """

    def __init__(self, config: Config) -> None:
        self.bands, self.scale, self.sub_frames = config.bands, config.envelope_scale, config.frame_sub_frames

    def __call__(self, latent: Tensor, mean: Tensor) -> Tensor:
        """latent [B, T, sub_frames * bands], the envelope's mean [bands] -> weights, of the latent's shape."""
        levels = by_sub_frame(latent, self.sub_frames)
        wide = F.pad(levels, (NEIGHBOURS, NEIGHBOURS), mode="replicate")
        around = sum(wide[..., i : i + self.bands] for i in range(2 * NEIGHBOURS + 1)) / (2 * NEIGHBOURS + 1)
        decibels = 8.686 / self.scale
        prominent = ramp((levels - around) * decibels, PROMINENT)
        quiet = ramp((levels.amax(-1, keepdim=True) - levels) * decibels, QUIET)
        power = levels + mean * self.scale
        loud = 1 - ramp((power.amax(-1, keepdim=True) - power) * decibels, LOUD)
        weight = (1 + MOST_PROMINENT * prominent) * (1 - LESS_QUIET * quiet) * (1 + MOST_LOUD * loud)
        return by_frame(weight, self.sub_frames)


def ramp(x: Tensor, bounds: tuple[float, float]) -> Tensor:
    """0 up to the lower bound, 1 from the upper bound on."""
    low, high = bounds
    return ((x - low) / (high - low)).clamp(0, 1)


class Order(nn.Module):
    """Sorts a sub-frame's coefficients by the size that the quantized envelope predicts, in whole blocks.

    A fixed order would leave everything above some 3 kHz to noise, however loud it is. Encoder and decoder must agree
    on every machine, so sizes are multiples of envelope_step * share_step, which float64 holds exactly.
    """

    def __init__(self, config: Config, *, band_weights: Tensor, importance: Tensor) -> None:
        """band_weights [sub_frame, bands], importance [sub_frame]: of each coefficient."""
        super().__init__()
        c = config
        if c.coefficients % c.block_size or c.coded_coefficients % c.block_size:
            raise ValueError(f"coefficients are coded in whole blocks of {c.block_size}")
        if not 0 < c.coded_coefficients <= c.coefficients <= c.sub_frame:
            raise ValueError(f"{c.coded_coefficients} of {c.coefficients} of {c.sub_frame} coefficients")
        self.block_size, self.count = c.block_size, c.coded_coefficients // c.block_size
        self.scale, self.step, self.sub_frames = c.envelope_scale, c.envelope_step, c.frame_sub_frames
        shares = band_weights[: c.coefficients].double().unflatten(0, (-1, c.block_size)).mean(1).t()
        logarithm = importance[: c.coefficients].double().log().unflatten(0, (-1, c.block_size)).mean(1)
        self.shares: Tensor
        self.importance: Tensor
        self.register_buffer("shares", (shares / c.share_step).round() * c.share_step, persistent=False)
        # converted to envelope units: log(coefficient) * envelope_scale / flatten_exponent
        self.register_buffer("importance", logarithm * c.envelope_scale / c.flatten_exponent, persistent=False)

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
