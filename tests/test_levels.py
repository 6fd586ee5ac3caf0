"""Noise through the shipped model keeps its level at every bitrate: white, pink, in bands, in bursts."""

import functools

import numpy as np
import pytest
from numpy.typing import NDArray

import rvqcodec

RATE = 44100
SECONDS = 2
EDGE = RATE // 5  # left out at both ends
LEVEL = 1.5  # dB
# Of third-octaves.
RIPPLE = 2.0
BITRATES = {8: "3 kbps", 16: "6 kbps", 32: "12 kbps"}  # codebooks a frame

Samples = NDArray[np.float32]


def coloured(low: float, high: float, exponent: float = 0.0, seed: int = 0) -> NDArray[np.float64]:
    """Noise between two frequencies, its power falling as frequency ** -exponent; RMS 1."""
    n = SECONDS * RATE
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n))
    frequency = np.fft.rfftfreq(n, 1 / RATE)
    spectrum[(frequency < low) | (frequency > high)] = 0
    spectrum[1:] *= frequency[1:] ** (-exponent / 2)
    noise: NDArray[np.float64] = np.fft.irfft(spectrum, n)
    return noise / np.sqrt(np.square(noise).mean())


def hi_hat(low: float, high: float) -> NDArray[np.float64]:
    """Bursts that decay in 30 ms, six a second."""
    time = np.arange(SECONDS * RATE) / RATE
    made = coloured(low, high) * np.exp(-(time * 6 % 1) / 6 / 0.03)
    return made / np.sqrt(np.square(made).mean())


def applause() -> NDArray[np.float64]:
    """Two hundred claps a second."""
    rng, n = np.random.default_rng(5), SECONDS * RATE
    made = np.zeros(n)
    for start in rng.integers(0, n - 400, 200 * SECONDS):
        made[start : start + 400] += rng.standard_normal(400) * np.exp(-np.arange(400) / 80) * rng.uniform(0.3, 1)
    return made / np.sqrt(np.square(made).mean())


SOUNDS = {
    "white": (lambda: coloured(20, 20_000), 20, 20_000),
    "pink": (lambda: coloured(20, 20_000, 1.0), 20, 20_000),
    "0.3-0.8 kHz": (lambda: coloured(300, 800), 300, 800),
    "1.5-7 kHz": (lambda: coloured(1500, 7000), 1500, 7000),
    "3-5 kHz": (lambda: coloured(3000, 5000), 3000, 5000),
    "6-10 kHz": (lambda: coloured(6000, 10_000), 6000, 10_000),
    "10-16 kHz": (lambda: coloured(10_000, 16_000), 10_000, 16_000),
    "hi-hat": (lambda: hi_hat(6000, 16_000), 6000, 16_000),
    "closed hi-hat": (lambda: hi_hat(8000, 14_000), 8000, 14_000),
    "applause": (applause, 200, 16_000),
}  # and the band that they lie in, Hz


@functools.cache
def through(name: str, rms: float) -> tuple[Samples, dict[int, Samples]]:
    """A sound and what is left of it at each bitrate. Lower ones are trimmed, which is the same (test_edit_sound)."""
    samples = (rms * SOUNDS[name][0]()).astype(np.float32)
    codec = rvqcodec.load()
    codes = codec.encode(samples, RATE, n_q=max(BITRATES))
    return samples, {n_q: codec.decode(codes, n_q=n_q)[0] for n_q in BITRATES}


def power(samples: Samples, low: float, high: float) -> float:
    """Of what lies between two frequencies, dB."""
    spectrum = np.square(np.abs(np.fft.rfft(samples[EDGE:-EDGE].astype(np.float64))))
    frequency = np.fft.rfftfreq(len(samples) - 2 * EDGE, 1 / RATE)
    return float(10 * np.log10(spectrum[(frequency >= low) & (frequency < high)].sum() + 1e-9))


@pytest.mark.parametrize("rms", [0.003, 0.06, 0.2])
@pytest.mark.parametrize("name", SOUNDS)
def test_noise_keeps_its_level(name: str, rms: float) -> None:
    samples, made = through(name, rms)
    _, low, high = SOUNDS[name]
    change = {BITRATES[n_q]: power(y, low, high) - power(samples, low, high) for n_q, y in made.items()}
    assert max(abs(v) for v in change.values()) < LEVEL, {k: round(v, 1) for k, v in change.items()}


@pytest.mark.parametrize("rms", [0.003, 0.06, 0.2])
@pytest.mark.parametrize("name", [name for name in SOUNDS if "kHz" in name])
def test_noise_stays_in_its_band(name: str, rms: float) -> None:
    """An octave away from it hardly anything is heard."""
    samples, made = through(name, rms)
    _, low, high = SOUNDS[name]
    for n_q, y in made.items():
        outside = [power(y, 20, low / 2), power(y, min(2 * high, 20_000), 22_050)]
        assert max(outside) < power(samples, low, high) - 15, BITRATES[n_q]


@pytest.mark.parametrize("rms", [0.003, 0.06, 0.2])
@pytest.mark.parametrize("name", ["white", "pink"])
def test_noise_has_no_ripple(name: str, rms: float) -> None:
    """Third-octaves from 100 Hz to 16 kHz keep their levels."""
    samples, made = through(name, rms)
    centres = 1000 * 2 ** (np.arange(-10, 13) / 3)
    edges = [(c * 2 ** (-1 / 6), c * 2 ** (1 / 6)) for c in centres]
    for n_q, y in made.items():
        change = np.array([power(y, *edge) - power(samples, *edge) for edge in edges])
        assert np.abs(change).max() < RIPPLE, (BITRATES[n_q], np.round(change, 1))
