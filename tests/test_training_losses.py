"""Losses and discriminators: against plain autograd, at their zero, and by what they must notice."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from rvqcodec.training import losses
from rvqcodec.training.discriminators import (
    BANDS,
    WINDOWS,
    Discriminators,
    codec_loss,
    feature_distance,
    judge_loss,
    limited,
)

RATE = 44100


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain_spectrum(x: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The same by torch.stft, whose backward pass is autograd's own."""
    window = torch.hann_window(n, dtype=x.dtype)
    s = torch.stft(x, n, n // 4, window=window, center=False, return_complex=True).transpose(1, 2)
    return s.real, s.imag


@pytest.mark.parametrize("n", [64, 512, 2048])
@pytest.mark.parametrize("extra", [0, 1, 777])
def test_spectrum_and_its_gradient_are_those_of_stft(n: int, extra: int) -> None:
    """Also for lengths that the hop does not divide: samples that no window sees get no gradient."""
    gradients, values = [], []
    for function in (losses.spectrum, plain_spectrum):
        x = noise(2, 4096 + extra).requires_grad_()
        real, imaginary = function(x, n)
        weights = noise(*real.shape, seed=1), noise(*real.shape, seed=2)
        (real * weights[0] + imaginary * weights[1]).sum().backward()
        assert x.grad is not None
        gradients.append(x.grad)
        values.append(torch.stack([real.detach(), imaginary.detach()]))
    torch.testing.assert_close(values[0], values[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gradients[0], gradients[1], atol=2e-3, rtol=1e-3)


def test_spectrum_passes_gradcheck() -> None:
    window = torch.hann_window(16, dtype=torch.float64)
    x = noise(1, 41).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: losses._Spectrum.apply(y, window), (x,))


@pytest.mark.parametrize(("n", "bands"), losses.MEL_SCALES.items())
def test_mel_filters(n: int, bands: int) -> None:
    filters = losses.mel_filters(n, bands, RATE, torch.device("cpu"))
    assert filters.shape == (n // 2 + 1, bands)
    assert float(filters.min()) >= 0
    sums = filters.sum(0)
    assert ((sums - 1).abs() < 1e-4).sum() + (sums == 0).sum() == bands  # low bands may fall between two bins
    peaks = filters.argmax(0)[sums > 0]
    assert torch.equal(peaks.sort()[0], peaks)


def distances(target: Tensor, other: Tensor) -> dict[str, Tensor]:
    return losses.some_distances(target, other, other, np.random.default_rng(0), RATE)


def test_equal_sounds_have_no_distance() -> None:
    x = 0.1 * noise(2, 6000)
    for name, value in distances(x, x).items():
        assert float(value) == pytest.approx(0, abs=1e-6), name


def test_distances_grow_with_the_error() -> None:
    x, error = 0.1 * noise(2, 6000), 0.1 * noise(2, 6000, seed=1)
    rows = [distances(x, x + share * error) for share in (0.01, 0.1, 1.0)]
    for name in rows[0]:
        values = [float(row[name]) for row in rows]
        assert values == sorted(values)
        assert values[0] < 0.5 * values[2]


def test_mel_distance_is_the_difference_of_levels_in_decades() -> None:
    x = noise(1, 8000)
    s, louder = losses.spectrum(x, 128), losses.spectrum(10 * x, 128)
    share = float((losses.mel_filters(128, 20, RATE, x.device).sum(0) > 0).float().mean())
    assert float(losses.mel_distance(s, louder, RATE)) == pytest.approx(share, abs=1e-3)


def test_waveform_loss_sees_phase_and_mel_does_not() -> None:
    x = 0.1 * noise(1, 8000)
    s, turned = losses.spectrum(x, 512), losses.spectrum(-x, 512)
    assert float(losses.mel_distance(s, turned, RATE)) < 1e-5
    assert float(losses.complex_distance(s, turned, 0.5, 1e-4)) > 0.1


def test_unit_level_makes_quiet_crops_count() -> None:
    x, y = noise(1, 8000), noise(1, 8000, seed=1)
    found = []
    for gain in (1.0, 0.1):
        s, other = losses.spectrum(gain * x, 512), losses.spectrum(gain * y, 512)
        pair = [losses.at_unit_level(a, gain * x) for a in (s, other)]
        found.append(float(losses.complex_distance(pair[0], pair[1], 0.4, 1e-3)))
    assert found[1] == pytest.approx(found[0], rel=0.05)


@pytest.mark.parametrize("silent", ["target", "other", "both"])
def test_silence_has_finite_losses_and_gradients(silent: str) -> None:
    x = torch.zeros(1, 6000) if silent in ("target", "both") else 0.1 * noise(1, 6000)
    y = torch.zeros(1, 6000) if silent in ("other", "both") else 0.1 * noise(1, 6000, seed=1)
    y.requires_grad_()
    total = torch.stack(list(distances(x, y).values())).sum()
    total.backward()
    assert torch.isfinite(total)
    assert y.grad is not None
    assert torch.isfinite(y.grad).all()


@pytest.fixture(scope="module")
def judges() -> Discriminators:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Discriminators(2)


@pytest.mark.parametrize("which", range(len(WINDOWS)))
def test_judges_shapes(judges: Discriminators, which: int) -> None:
    verdict, features = judges(0.1 * noise(3, 8000), which)
    assert verdict.shape[:3] == (3, 1, 1 + (8000 - WINDOWS[which]) // (WINDOWS[which] // 4))
    assert len(features) == (len(BANDS) - 1) * 5  # bands by layers
    assert all(len(f) == 3 and torch.isfinite(f).all() for f in features)


def test_judges_see_every_bin_up_to_their_last_edge(judges: Discriminators) -> None:
    for judge in judges.judges:
        edges = judge.edges
        assert isinstance(edges, list)
        assert edges[0] == 0
        assert edges == sorted(edges)
        assert edges[-1] == int(BANDS[-1] * (judge.window // 2 + 1))


@pytest.mark.parametrize(
    ("loss", "arguments", "value"),
    [
        (judge_loss, (torch.ones(2, 3), torch.zeros(2, 3)), 0.0),
        (judge_loss, (torch.zeros(2, 3), torch.ones(2, 3)), 2.0),
        (judge_loss, (torch.full((2, 3), 0.5), torch.full((2, 3), 0.5)), 0.5),
        (codec_loss, (torch.ones(2, 3),), 0.0),
        (codec_loss, (torch.zeros(2, 3),), 1.0),
        (feature_distance, ([torch.zeros(4), torch.ones(2)], [torch.ones(4), torch.ones(2)]), 1.0),
    ],
)
def test_adversarial_losses(loss: Callable[..., Tensor], arguments: tuple[Tensor, ...], value: float) -> None:
    assert float(loss(*arguments)) == pytest.approx(value)


def test_features_of_the_recording_get_no_gradient() -> None:
    real, fake = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
    feature_distance([real], [fake]).backward()
    assert real.grad is None
    assert fake.grad is not None


def test_a_judge_learns_to_tell_noise_from_tones(judges: Discriminators) -> None:
    time = torch.arange(6000) / RATE
    tones = 0.1 * torch.sin(2 * torch.pi * time * torch.tensor([[300.0], [1100.0], [4000.0]]))
    fake = 0.07 * noise(3, 6000)
    optimizer = torch.optim.AdamW(judges.parameters(), 3e-3)
    found = []
    for _ in range(12):
        loss = judge_loss(judges(tones, 2)[0], judges(fake, 2)[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[-1] < 0.7 * found[0]


def test_judges_pull_no_harder_than_distances_in_any_crop() -> None:
    """Their gradients grew without a bound and ran away with training."""
    generator = torch.Generator().manual_seed(0)
    distances = torch.randn(3, 50, generator=generator)
    verdict = torch.randn(3, 50, generator=generator) * torch.tensor([[1e3], [1e-3], [0.0]])
    found = limited(verdict, distances)
    torch.testing.assert_close(found[0].norm(), distances[0].norm())
    torch.testing.assert_close(found[0] / found[0].norm(), verdict[0] / verdict[0].norm())
    assert torch.equal(found[1:], verdict[1:]), "a small one stays as it is"


def in_band(low: float, high: float, rms: float) -> Tensor:
    """Noise [1, n] between two frequencies, silence beside it."""
    n = 33_000
    bins = np.fft.rfft(np.random.default_rng(0).standard_normal(n))
    where = np.fft.rfftfreq(n, 1 / RATE)
    made = np.fft.irfft(bins * ((where >= low) & (where < high)), n)
    return torch.from_numpy(rms * made / made.std())[None].float()


class TestSilenceBesideNoise:
    """What leaks into it must not outweigh the level of the noise."""

    def test_it_is_not_heard(self) -> None:
        for low, high in ((300, 800), (3000, 5000), (10_000, 16_000)):
            share = float(losses.heard(losses.energies(in_band(low, high, 0.2), RATE)).mean())
            assert share < 0.4

    @pytest.mark.parametrize("rms", [0.003, 0.2])
    @pytest.mark.parametrize("bands", sorted(set(losses.MEL_SCALES.values())))
    def test_it_counts_less_in_mel(self, rms: float, bands: int) -> None:
        few, many = (losses.energies(in_band(*edges, rms), RATE) for edges in ((3000, 5000), (20, 22_050)))
        weights = losses.mel_weights(few, bands)[0]
        assert weights.shape == (bands,)
        filters = losses.mel_filters(4096, bands, RATE, weights.device)
        places = filters.argmax(0) * RATE / 4096
        assert (weights[(places > 3200) & (places < 4800)] == 1).all()
        assert (weights[(places < 1500) | (places > 7500)] == losses.UNHEARD).all()
        assert (losses.mel_weights(many, bands) == 1).all()

    def test_silence_has_losses_that_are_numbers(self) -> None:
        goal = losses.energies(torch.zeros(1, 33_000), RATE)
        assert (losses.mel_weights(goal, 40) == losses.UNHEARD).all()
        assert float(losses.energy_distance(goal, goal)) == 0

    def test_a_skirt_costs_less_energy_than_a_decibel(self) -> None:
        sound = in_band(3000, 5000, 0.2)
        goal = losses.energies(sound, RATE)
        skirt = losses.energies(sound + in_band(5500, 7000, 0.2 * 10**-2.5), RATE)
        weaker = losses.energies(sound * 10 ** (-1 / 20), RATE)
        assert float(losses.energy_distance(goal, skirt)) < float(losses.energy_distance(goal, weaker))
