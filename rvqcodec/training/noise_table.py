"""The decoder's noise: a table of MDCT coefficients whose sound is noise, but of hardly fluctuating level.

The level of random noise fluctuates on top of what the envelope says: by 5 dB in a bin, 1.4 to 2.8 dB in the bands
below (standard deviations). Flatter spectrograms exist: a spectrogram's zeros can be spread evenly. This finds one by
gradient descent on the levels at window lengths from 6 to 93 ms; 3.5 dB and 0.5 to 1.1 dB remain.
"""

import torch
from torch import Tensor

from rvqcodec.models.rvq44.network.layers import MDCT, overlap_add
from rvqcodec.training.losses import mel_filters

BANDS = {256: 20, 512: 40, 1024: 80, 2048: 160, 4096: 160}  # window -> number of bands whose levels are kept steady
BIN_WEIGHT = 0.3  # of single bins against bands
RATE = 0.02


def flat_noise(start: Tensor, sample_rate: int, steps: int) -> Tensor:
    """start [rows, size], coefficients of noise -> the same shape, of unit variance: noise with a flat spectrogram.

    Row after row it is an MDCT whose last row is followed by its first.
    """
    table = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([table], RATE)
    transform = MDCT(start.shape[1]).to(start.device)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        offset = int(torch.randint(0, 128, (1,), generator=generator))
        loss = fluctuation(sound(at_unit_variance(table), transform)[offset:], sample_rate)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return at_unit_variance(table.detach())


def at_unit_variance(table: Tensor) -> Tensor:
    return table / table.square().mean().sqrt()


def sound(table: Tensor, transform: MDCT) -> Tensor:
    """table [rows, size] -> samples [(rows + 3) * size]: one period and the beginning of the next."""
    again = torch.cat([table, table[:4]])
    return overlap_add(transform.inverse(again[None]), table.new_zeros(1, table.shape[1]))[0][0, table.shape[1] :]


def fluctuation(samples: Tensor, sample_rate: int) -> Tensor:
    """Mean distance, in nepers of power, of the levels of bands and bins from what they are on average."""
    total = samples.new_zeros(())
    for window, bands in BANDS.items():
        taper = torch.hann_window(window, device=samples.device)
        bins = torch.stft(samples, window, window // 4, window=taper, center=False, return_complex=True)
        power = torch.view_as_real(bins).square().sum(-1).t() / taper.square().sum()
        filters = mel_filters(window, bands, sample_rate, samples.device)
        levels = (power @ filters[:, filters.sum(0) > 0.5]).clamp_min(1e-5).log()
        single = power[:, 3:-3].clamp_min(1e-4).log()
        total = total + (levels - levels.mean(0).detach()).abs().mean() + BIN_WEIGHT * single.abs().mean()
    return total
