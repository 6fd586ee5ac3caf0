"""The decoder's noise: flatter than random noise, still noise, periodic, the same each time."""

import torch

from rvqcodec.models.rvq44.network.layers import MDCT
from rvqcodec.models.rvq44.tables import position_noise
from rvqcodec.training.noise_table import at_unit_variance, flat_noise, fluctuation, sound

RATE = 44100


def test_it_fluctuates_less_and_stays_noise() -> None:
    start = torch.from_numpy(position_noise(16, 588)).sign()
    made = flat_noise(start, RATE, steps=40)
    assert made.shape == start.shape
    assert abs(float(made.square().mean()) - 1) < 1e-4
    transform = MDCT(588)
    before, after = (sound(t, transform) for t in (start, made))
    assert fluctuation(after, RATE) < 0.75 * fluctuation(before, RATE)
    kurtosis = float((after**4).mean() / (after**2).mean() ** 2)
    assert 2.5 < kurtosis < 3.5  # Gaussian noise has 3, a buzz far more
    power = torch.fft.rfft(after[: 16 * 588]).abs().square()
    assert float(torch.fft.irfft(power)[200:-200].abs().max() / after[: 16 * 588].square().sum()) < 0.2  # no pitch
    assert torch.equal(made, flat_noise(start, RATE, steps=40))


def test_sound_goes_on_where_the_table_begins_again() -> None:
    table = at_unit_variance(torch.randn(8, 588, generator=torch.Generator().manual_seed(0)))
    samples = sound(table, MDCT(588))
    assert len(samples) == 11 * 588
    torch.testing.assert_close(samples[8 * 588 :], samples[: 3 * 588], atol=1e-5, rtol=0)
