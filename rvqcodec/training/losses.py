"""Distances that training minimizes: multi-scale mel, compressed and unit-level complex spectrum, band energies."""

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rvqcodec.models.rvq44.tables import mel, mel_to_hz

MEL_SCALES = {64: 10, 128: 20, 256: 40, 512: 80, 1024: 160, 2048: 320, 4096: 40}  # window -> number of mel bands
LONG, SHORT, WAVE = (512, 1024, 2048, 4096), (64, 128, 256), (512, 2048)  # windows that a step chooses from
LONGEST = max(LONG)  # window, in samples: no crop may be shorter
ENERGY_WINDOW, ENERGY_BANDS = 2048, 48
LOUDNESS = 0.35  # exponent of a band's energy in its weight
FLOOR = 1e-5  # RMS of noise below which levels are not told apart: about what 16 bits can hold
ENERGY_FLOOR = 1e-7  # mean power of a band of such noise, under which its energy does not count
HEARD = 1e-7  # and of a band beside the loudest
UNHEARD = 0.25  # weight of a band's mel distance where it is as good as silent


class _Spectrum(torch.autograd.Function):
    """Windowed short-time spectrum with a backward pass by one inverse real transform.

    autograd's own backward of rfft runs a full complex transform, twice the work.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        n = len(window)
        ctx.window, ctx.length = window, x.shape[-1]
        spectrum = torch.fft.rfft(x.unfold(-1, n, n // 4) * window)
        return spectrum.real.contiguous(), spectrum.imag.contiguous()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        window = ctx.window
        n = len(window)
        spectrum = torch.complex(grads[0], grads[1])
        spectrum[..., 1:-1] *= 0.5
        frames = torch.fft.irfft(spectrum, n=n) * (window * n)
        quarters = frames.unflatten(-1, (4, n // 4))
        count = frames.shape[1]
        out = frames.new_zeros(frames.shape[0], count + 3, n // 4)
        for i in range(4):
            out[:, i : i + count] += quarters[:, :, i]
        grad = out.flatten(1)
        return torch.nn.functional.pad(grad, (0, ctx.length - grad.shape[1])), None


def spectrum(x: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """x [B, N] -> real and imaginary part [B, frames, n / 2 + 1]; Hann window of n, hop n / 4, no padding."""
    real, imaginary = _Spectrum.apply(x, _window(n, x.device))  # type: ignore[no-untyped-call]
    return real, imaginary


@functools.cache
def _window(n: int, device: torch.device) -> Tensor:
    return torch.hann_window(n, device=device)


@functools.cache
def mel_filters(n: int, bands: int, sample_rate: int, device: torch.device) -> Tensor:
    """[n / 2 + 1, bands]: triangles on the mel scale, each summing to 1."""
    top = mel(sample_rate / 2)
    edges = torch.tensor([mel_to_hz(top * i / (bands + 1)) for i in range(bands + 2)])
    bins = torch.linspace(0, sample_rate / 2, n // 2 + 1)
    rise = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rise, fall).clamp_min(0)
    return (filters / filters.sum(0).clamp_min(1e-6)).to(device)


def mel_distance(
    target: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], sample_rate: int, weights: Tensor | float = 1.0
) -> Tensor:
    """Mean |log10 mel| difference of two spectra of the same window; weights [B, bands]."""
    n = 2 * (target[0].shape[-1] - 1)
    filters = mel_filters(n, MEL_SCALES[n], sample_rate, target[0].device)
    floor = FLOOR * math.sqrt(0.375 * n)  # magnitude of such noise under a Hann window

    def log_mel(s: tuple[Tensor, Tensor]) -> Tensor:
        return (torch.sqrt(s[0].square() + s[1].square() + 1e-12) @ filters).clamp_min(floor).log()

    with torch.no_grad():
        goal = log_mel(target)
    return ((log_mel(other) - goal).abs().mean(1) * weights).mean() / math.log(10)


def compressed(s: tuple[Tensor, Tensor], exponent: float, offset: float) -> tuple[Tensor, Tensor]:
    """Magnitude to the power `exponent`, phase kept; `offset` bounds the gain of small magnitudes."""
    gain = (torch.sqrt(s[0].square() + s[1].square() + 1e-12) + offset).pow(exponent - 1)
    return s[0] * gain, s[1] * gain


def complex_distance(
    target: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], exponent: float, offset: float
) -> Tensor:
    """Mean absolute difference of two compressed complex spectra, over real and imaginary parts."""
    with torch.no_grad():
        goal = compressed(target, exponent, offset)
    mine = compressed(other, exponent, offset)
    return ((mine[0] - goal[0]).abs().mean() + (mine[1] - goal[1]).abs().mean()) / 2


def energies(x: Tensor, sample_rate: int) -> Tensor:
    """x [B, N] -> mean power of 48 mel bands [B, 48]."""
    filters = mel_filters(ENERGY_WINDOW, ENERGY_BANDS, sample_rate, x.device)
    real, imaginary = spectrum(x, ENERGY_WINDOW)
    return (real.square() + imaginary.square()).mean(1) @ filters


def heard(goal: Tensor) -> Tensor:
    """Energies of bands [B, bands] -> 1 where they count and 0 where they are as good as silent."""
    return (goal > (HEARD * goal.amax(1, keepdim=True)).clamp_min(ENERGY_FLOOR)).float()


def energy_distance(goal: Tensor, made: Tensor) -> Tensor:
    """Mean |log10| ratio of energies of bands [B, bands], over those that are heard.

    Log distances of short windows are least where noise is too weak; linear power over time asks for all of it. Half
    of the weight goes by loudness: else a loud band among silent ones, such as a hi-hat's, hardly counts.
    """
    with torch.no_grad():
        counts = heard(goal)
        loudness = counts * goal.pow(LOUDNESS)
        shares = counts / counts.sum(1, keepdim=True).clamp_min(1)
        weight = shares + loudness / loudness.sum(1, keepdim=True).clamp_min(1e-9)
    ratio = ((made + ENERGY_FLOOR) / (goal + ENERGY_FLOOR)).log10()
    return 0.5 * (ratio.abs() * weight).sum(1).mean()


def mel_weights(goal: Tensor, bands: int) -> Tensor:
    """Energies of 48 bands [B, 48] -> weights of the mel distance in its own bands [B, bands].

    Beside noise in a few bands lies silence, and what leaks into it would outweigh the level of the noise.
    """
    places = torch.arange(1, bands + 1, device=goal.device) * ((ENERGY_BANDS + 1) / (bands + 1))
    return UNHEARD + (1 - UNHEARD) * heard(goal)[:, (places.round().long() - 1).clamp(0, ENERGY_BANDS - 1)]


def at_unit_level(s: tuple[Tensor, Tensor], reference: Tensor) -> tuple[Tensor, Tensor]:
    """A spectrum scaled by one over the RMS of `reference` [B, N], so that quiet crops count like loud ones."""
    gain = 1 / (reference.square().mean(-1).sqrt() + 1e-3)[:, None, None]
    return s[0] * gain, s[1] * gain


def some_distances(
    target: Tensor, plain: Tensor, full: Tensor, rng: np.random.Generator, sample_rate: int
) -> dict[str, Tensor]:
    """mel, waveform, spectrum and energy: the losses of a step, all but the last at windows chosen at random.

    target, plain (the waveform part alone) and full (with noise) are [B, N]. On a CPU all scales at once would be
    half the cost of a step.
    """
    long, short, wave = (int(rng.choice(n)) for n in (LONG, SHORT, WAVE))
    with torch.no_grad():
        goal = {n: spectrum(target, n) for n in {long, short, wave}}
        energy = energies(target, sample_rate)
    made, quick = spectrum(full, long), spectrum(full, short)
    # Noise makes a complex difference larger at any level, so this one does not train the noise: it would mute it.
    unit = [at_unit_level(s, target) for s in (goal[long], spectrum(plain + (full - plain).detach(), long))]
    mels = [
        mel_distance(goal[n], s, sample_rate, mel_weights(energy, MEL_SCALES[n]))
        for n, s in ((long, made), (short, quick))
    ]
    return {
        "mel": (mels[0] + mels[1]) / 2,
        "waveform": complex_distance(goal[wave], spectrum(plain, wave), 0.5, 1e-4),
        "spectrum": complex_distance(unit[0], unit[1], 0.4, 1e-3),
        "energy": energy_distance(energy, energies(full, sample_rate)),
    }
