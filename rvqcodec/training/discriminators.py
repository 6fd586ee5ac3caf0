"""Judges of complex spectra: multi-resolution, multi-band discriminators with feature matching."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvqcodec.training.losses import at_unit_level, compressed, spectrum

WINDOWS = (2048, 1024, 512)
# Edges, as shares of the spectrum. Higher up most is noise of the decoder's table, which judges tell from recordings at
# once, whatever the decoder does.
BANDS = (0.0, 0.1, 0.25)


class Judge(nn.Module):
    """One resolution. Sees the compressed complex spectrum at unit level, so that quiet bands count.

    Source: the multi-band complex discriminator of the DAC paper (Kumar et al., 2023), with fewer channels.
    """

    def __init__(self, window: int, channels: int) -> None:
        super().__init__()
        self.window = window
        bins = window // 2 + 1
        self.edges = [int(b * bins) for b in BANDS]
        self.stacks = nn.ModuleList(self.stack(channels) for _ in BANDS[1:])
        self.last = weight_norm(nn.Conv2d(2 * channels, 1, 3, 1, 1))

    @staticmethod
    def stack(channels: int) -> nn.ModuleList:
        wide, halve, pad = (3, 9), (1, 2), (1, 4)
        return nn.ModuleList(
            [
                weight_norm(nn.Conv2d(2, channels, wide, 1, pad)),
                weight_norm(nn.Conv2d(channels, channels, wide, halve, pad)),
                weight_norm(nn.Conv2d(channels, 2 * channels, wide, halve, pad)),
                weight_norm(nn.Conv2d(2 * channels, 2 * channels, wide, halve, pad)),
                weight_norm(nn.Conv2d(2 * channels, 2 * channels, 3, 1, 1)),
            ]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """x [B, N] -> verdicts [B, 1, frames, bins'] and the features of every layer."""
        image = torch.stack(compressed(at_unit_level(spectrum(x, self.window), x.detach()), 0.4, 1e-3), 1)
        features, ends = [], []
        for low, high, stack in zip(self.edges[:-1], self.edges[1:], self.stacks, strict=True):
            h = image[..., low:high]
            assert isinstance(stack, nn.ModuleList)
            for layer in stack:
                h = F.leaky_relu(layer(h), 0.1)
                features.append(h)
            ends.append(h)
        verdict: Tensor = self.last(torch.cat(ends, -1))
        return verdict, features


class Discriminators(nn.Module):
    """The judges of all resolutions; a step uses one of them."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.judges = nn.ModuleList(Judge(window, channels) for window in WINDOWS)

    def forward(self, x: Tensor, which: int) -> tuple[Tensor, list[Tensor]]:
        out: tuple[Tensor, list[Tensor]] = self.judges[which](x)
        return out


def weight_norm(layer: nn.Module) -> nn.Module:
    """Weight normalization as in the GAN vocoders (Salimans & Kingma, 2016)."""
    normed: nn.Module = nn.utils.parametrizations.weight_norm(layer)
    return normed


def judge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares: recordings towards 1, decoded sound towards 0."""
    return (real.float() - 1).square().mean() + fake.float().square().mean()


def codec_loss(fake: Tensor) -> Tensor:
    """Least squares: what the codec makes should be judged 1."""
    return (fake.float() - 1).square().mean()


def limited(verdict: Tensor, distances: Tensor) -> Tensor:
    """Gradients of crops [B, N]: those of the judges, in each crop no larger than those of the distances.

    Judges grow stronger without a bound: on their first GPU the gradients rose from 50 to 900, and training diverged.
    Source: the loss balancer of EnCodec (Défossez et al., 2022), which scales by batch.
    """
    ratio = distances.norm(dim=1, keepdim=True) / verdict.norm(dim=1, keepdim=True).clamp_min(1e-20)
    kept: Tensor = verdict * ratio.clamp_max(1)
    return kept


def feature_distance(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean absolute difference of the features, summed over layers."""
    return torch.stack([(f.float() - r.detach().float()).abs().mean() for r, f in zip(real, fake, strict=True)]).sum()
