"""Makes recording-like sound from arithmetic alone: a voice-like and a music-like signal, and a mix of both.

    python benchmarks/recording.py OUT.wav [--seconds 12]

No recording of anyone is needed for the demo and the tests, and every machine makes the same one.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 44100
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
SCALE = (0, 3, 5, 7, 10)


def voice(seconds: float, *, rate: int = RATE, seed: int = 1) -> NDArray[np.float32]:
    """float32 [n] like speech: gliding vowels, hisses and pauses (formants of Peterson & Barney, 1952)."""
    random = np.random.default_rng(seed)
    n = round(seconds * rate)
    out = np.zeros(n)
    at = 0
    while at < n:
        length = min(n - at, int(rate * random.uniform(0.08, 0.3)))
        t = np.arange(length) / rate
        fade = np.minimum(1, np.minimum(t, t[::-1]) / 0.02)
        kind = random.random()
        if kind < 0.7:
            pitch = np.linspace(random.uniform(95, 160), random.uniform(95, 160), length)
            phase = 2 * np.pi * np.cumsum(pitch) / rate
            formants = VOWELS[random.integers(len(VOWELS))]
            part = np.zeros(length)
            for k in range(1, int(4000 / pitch.max())):
                gain = sum(1 / (1 + ((k * pitch - f) / (60 + 0.06 * f)) ** 2) for f in formants)
                part += gain / k**0.5 * np.sin(k * phase)
            out[at : at + length] = 0.12 * part * fade
        elif kind < 0.85:
            hiss = np.diff(random.standard_normal(length + 1))
            out[at : at + length] = 0.02 * hiss * fade
        at += length
    return out.astype(np.float32)


def music(seconds: float, *, rate: int = RATE, seed: int = 2) -> NDArray[np.float32]:
    """float32 [2, n] like music: plucked notes with harmonics, spread over the stereo field, and a beat."""
    random = np.random.default_rng(seed)
    n = round(seconds * rate)
    out = np.zeros((2, n))
    for beat in range(int(seconds * 4) + 1):
        start = beat * rate // 4
        length = min(n - start, rate)
        if length <= 0:
            break
        t = np.arange(length) / rate
        pitch = 110 * 2 ** ((SCALE[random.integers(5)] + 12 * random.integers(3)) / 12)
        pan = random.uniform(0.2, 0.8)
        note = np.zeros(length)
        for k in range(1, 12):
            note += np.sin(2 * np.pi * k * pitch * t) * np.exp(-(2 + k) * t) / k
        note *= np.minimum(1, t / 0.003) * 0.15
        out[:, start : start + length] += np.outer([pan, 1 - pan], note)
        if beat % 2 == 0:
            drum = random.standard_normal(length) * np.exp(-60 * t) * 0.08
            out[:, start : start + length] += drum
    return out.astype(np.float32)


def recording(seconds: float, *, rate: int = RATE, seed: int = 1) -> NDArray[np.float32]:
    """float32 [2, n]: a voice in the middle over music, peak below full scale."""
    mix = music(seconds, rate=rate, seed=seed + 1) + voice(seconds, rate=rate, seed=seed)[None]
    peak = float(np.abs(mix).max(initial=0))
    return (mix / peak * 0.7).astype(np.float32) if peak > 0 else mix


def main() -> None:
    import soundfile

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=12.0)
    options = parser.parse_args()
    soundfile.write(options.out, recording(options.seconds).T, RATE, subtype="PCM_16")
    print(f"{options.out}: {options.seconds:g} s of made-up voice and music, {RATE} Hz, stereo")


if __name__ == "__main__":
    main()
