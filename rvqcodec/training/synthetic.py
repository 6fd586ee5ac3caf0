"""Synthetic sounds for training: tones, chirps, beeps, harmonics, clicks, bands and bursts of noise.

Recordings lack them: a codebook made of recordings alone has no entry near a pure tone, which came back 13 to 44 dB too
quiet, nor near loud noise with steep edges, 3 to 11 dB too quiet.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rvqcodec.models.rvq44.tables import mel, mel_to_hz
from rvqcodec.types import Samples

LOWEST, HIGHEST = 40.0, 17_000.0  # Hz
QUIETEST, LOUDEST = -46.0, 0.0  # dB, peak
BACKGROUND = (-100.0, -40.0)  # dB, of the noise behind the sound; below the 16-bit step it is as good as none


def sound(n: int, sample_rate: int, rng: np.random.Generator) -> Samples:
    """A mono sound [n] at a random level, with faint noise behind it."""
    kind = KINDS[int(rng.integers(len(KINDS)))]
    x = kind(np.arange(n) / sample_rate, rng)
    if rng.random() < 0.5:
        x *= gate(n, sample_rate, rng)
    x *= 10 ** (level(rng) / 20) / max(float(np.abs(x).max()), 1e-6)
    x += rng.standard_normal(n) * 10 ** (rng.uniform(*BACKGROUND) / 20)
    return np.clip(x, -1, 1).astype(np.float32)


def gate(n: int, sample_rate: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """On and off [n]: one start, after it a decay, a plateau, or beeps."""
    since = (np.arange(n) - rng.integers(-n // 2, n)) / sample_rate
    kind = rng.random()
    if kind < 0.4:
        shape = np.exp(-since.clip(0) / 10 ** rng.uniform(-2, 0))  # 10 ms to 1 s
    elif kind < 0.7:
        shape = np.ones(n)
    else:
        shape = (since * rng.uniform(2, 12) % 1 < rng.uniform(0.2, 0.8)).astype(float)
    attack = 10 ** rng.uniform(-3.5, -1.5)
    return np.asarray(shape * (since / attack).clip(0, 1))


def frequency(rng: np.random.Generator, low: float = LOWEST, high: float = HIGHEST) -> float:
    """Hz, every octave as likely as any other."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def level(rng: np.random.Generator) -> float:
    """dB, peak: every level as likely as any other; in recordings both loud and faint ones are rare."""
    return float(rng.uniform(QUIETEST, LOUDEST))


def place(rng: np.random.Generator) -> float:
    """Hz: half of the time every octave is as likely as any other, else every step of the mel scale."""
    if rng.random() < 0.5:
        return frequency(rng)
    return mel_to_hz(rng.uniform(mel(LOWEST), mel(HIGHEST)))


def tones(t: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """One to five steady partials."""
    x = np.zeros(len(t))
    for decibels in [0.0, *rng.uniform(-30, 0, int(rng.integers(5)))]:
        x += 10 ** (decibels / 20) * np.sin(2 * np.pi * (place(rng) * t + rng.random()))
    return x


def glide(t: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A tone whose pitch moves: a chirp, or vibrato."""
    start, end = place(rng), place(rng)
    if rng.random() < 0.5:
        depth, speed = start * rng.uniform(0, 0.04), rng.uniform(2, 8)
        return np.asarray(np.sin(2 * np.pi * start * t - depth / speed * np.cos(2 * np.pi * speed * t)))
    length = rng.uniform(0.3, 3)
    return np.asarray(np.sin(2 * np.pi * (start * t + (end - start) / 2 / length * t * (t % length))))


def harmonics(t: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A periodic wave with harmonics that fall by 0 to 18 dB an octave: sawtooth, square, pulse train and between."""
    base, slope, odd = frequency(rng, LOWEST, 2000), rng.uniform(0, 3), int(rng.integers(1, 3))
    count = min(int(HIGHEST / base), 80)
    x = np.zeros(len(t))
    for k in range(1, count + 1, odd):
        x += k**-slope * np.sin(2 * np.pi * k * base * t)
    return x


def clicks(t: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Single samples in silence, 1 to 30 a second."""
    return np.asarray((rng.random(len(t)) < rng.uniform(1, 30) * t[1]) * rng.choice([-1.0, 1.0], len(t)))


def bursts(t: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Short bursts of noise between two frequencies, 1 to 60 a second, regular or not: hi-hats, sibilants, applause."""
    rate = 10 ** rng.uniform(0, 1.8)
    starts = np.arange(0, t[-1], 1 / rate) if rng.random() < 0.5 else rng.random(max(1, round(rate * t[-1]))) * t[-1]
    fade = 10 ** rng.uniform(-2.7, -1)  # 2 to 100 ms
    x = np.zeros(len(t))
    for start in starts:
        since = t[round(start / t[1]) :] - start
        x[len(t) - len(since) :] += 10 ** rng.uniform(-0.6, 0) * np.exp(-np.abs(since) / fade)
    return np.asarray(noise(t, rng) * x)


def noise(t: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Noise between two frequencies: any two, or, at any octave, half an octave to two and a half apart."""
    low, high = sorted((place(rng), place(rng)))
    if rng.random() < 0.6:
        low = frequency(rng)
        high = min(low * 2 ** rng.uniform(0.5, 2.5), HIGHEST)
    bins = np.fft.rfft(rng.standard_normal(len(t)))
    where = np.fft.rfftfreq(len(t), t[1])
    return np.fft.irfft(bins * ((where >= low) & (where <= high * 1.2)), len(t))


def attacks(n: int, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Noise or a chord [n] that sets in at once after silence and decays or stops, three to eight times a second."""
    x = rng.standard_normal(n) * 10 ** (rng.uniform(-100, -55) / 20)
    start = 0
    while (start := start + int(sample_rate * rng.uniform(0.12, 0.35))) < n:
        t = np.arange(min(n - start, sample_rate // 4)) / sample_rate
        if len(t) < 2:
            break
        made = harmonics(t, rng) if rng.random() < 0.15 else noise(t, rng)
        rise = 1 - np.exp(-t / 10 ** rng.uniform(-5, -2.8))
        fall = np.exp(-t / 10 ** rng.uniform(-2.7, -0.8)) if rng.random() < 0.8 else t < rng.uniform(0.02, 0.2)
        gain = 10 ** (rng.uniform(-35, -9) / 20) / (np.sqrt(np.square(made).mean()) + 1e-9)
        x[start : start + len(t)] += gain * made * rise * fall
    return np.clip(x, -1, 1).astype(np.float32)


Kind = Callable[[npt.NDArray[np.float64], np.random.Generator], npt.NDArray[np.float64]]
KINDS: tuple[Kind, ...] = (tones, tones, tones, tones, glide, harmonics, clicks, noise, noise, noise, bursts)
