"""What the envelope decides: how its codes are searched, and which coefficients are coded, in which order."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvqcodec.config import SUB_FRAMES, Config

STEP = 2**-12  # quantized envelopes are multiples of it, so that every machine finds the same order
SHARES = 2**10  # a block's shares of the bands are multiples of one over it, likewise
NEIGHBOURS = 4  # bands on either side that a band is compared with
PROMINENT = 18.0, 30.0  # dB above its neighbours from which a band counts more, and from which it counts most
MOST = 5.0  # weight of the most prominent bands in the search


def on_steps(entries: Tensor) -> Tensor:
    """Entries of envelope codebooks, rounded so that float16 holds them and float32 their sums, both exactly."""
    return (entries.half().double() / STEP).round().mul(STEP).to(entries.dtype)


def by_frame(x: Tensor) -> Tensor:
    """[B, S, D] -> [B, S / 2, 2 D]: the sub-frames of a frame side by side."""
    return x.reshape(x.shape[0], -1, SUB_FRAMES * x.shape[2])


def by_sub_frame(x: Tensor) -> Tensor:
    """The inverse of `by_frame`."""
    return x.reshape(x.shape[0], -1, x.shape[2] // SUB_FRAMES)


class Prominence:
    """Weights of the squared errors in an envelope's search: more where a band stands out, as a pure tone's does.

    All bands counting alike, a tone's own came out up to 16 dB wrong, for the sake of the silence around it; few bands
    of recordings stand out so far.
    """

    def __init__(self, config: Config) -> None:
        self.bands, self.scale = config.bands, config.envelope_scale

    def __call__(self, latent: Tensor) -> Tensor:
        """latent [B, T, SUB_FRAMES * bands] -> weights, of the same shape."""
        levels = by_sub_frame(latent)
        wide = F.pad(levels, (NEIGHBOURS, NEIGHBOURS), mode="replicate")
        around = sum(wide[..., i : i + self.bands] for i in range(2 * NEIGHBOURS + 1)) / (2 * NEIGHBOURS + 1)
        decibels = (levels - around) * (8.686 / self.scale)
        low, high = PROMINENT
        return by_frame(1 + (MOST - 1) * ((decibels - low) / (high - low)).clamp(0, 1))


class Order(nn.Module):
    """Sorts a sub-frame's coefficients by the size that the quantized envelope lets expect, in whole blocks.

    A fixed order would leave everything above some 3 kHz to noise, however loud it is. Encoder and decoder must agree
    on every machine, so sizes are reckoned in multiples of STEP / SHARES, which float64 holds exactly.
    """

    def __init__(self, config: Config, *, band_weights: Tensor, importance: Tensor) -> None:
        """band_weights [sub_frame, bands], importance [sub_frame]: of each coefficient."""
        super().__init__()
        c = config
        assert c.coefficients % c.block == 0, "coefficients are coded in whole blocks"
        assert c.coded % c.block == 0, "coefficients are coded in whole blocks"
        assert c.coded <= c.coefficients <= c.sub_frame
        self.block, self.count, self.scale = c.block, c.coded // c.block, c.envelope_scale
        shares = band_weights[: c.coefficients].double().unflatten(0, (-1, c.block)).mean(1).t()
        logarithm = importance[: c.coefficients].double().log().unflatten(0, (-1, c.block)).mean(1)
        self.shares: Tensor
        self.importance: Tensor
        self.register_buffer("shares", (shares * SHARES).round() / SHARES, persistent=False)
        # in the envelope's units, in which the logarithm of a flattened coefficient is worth scale / flatten
        self.register_buffer("importance", logarithm * c.envelope_scale / c.flatten, persistent=False)

    def forward(self, quantized: Tensor, mean: Tensor) -> Tensor:
        """quantized envelope [B, S, bands], S even, its mean [bands] -> int64 [B, S, coded], largest first.

        The same coefficients for all sub-frames of a frame.
        """
        whole = (quantized.double() / STEP).round() * STEP
        levels = by_frame(whole).unflatten(-1, (SUB_FRAMES, -1)).sum(2)
        offset = SUB_FRAMES * (self.scale * mean.double() @ self.shares + self.importance)
        sizes = levels @ self.shares + (offset / STEP).round() * STEP
        blocks = sizes.argsort(dim=-1, descending=True, stable=True)[..., : self.count]
        places = blocks[..., None] * self.block + torch.arange(self.block, device=blocks.device)
        return places.flatten(2).repeat_interleave(SUB_FRAMES, 1)
