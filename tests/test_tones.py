"""Pure tones through the shipped model: no recording holds them, and codebooks made of recordings alone lost them."""

import numpy as np
import pytest

import rvqcodec

RATE = 44100


def through(x: np.ndarray, n_q: int) -> tuple[float, float]:
    """(level of the result against x, SNR), dB, without the first and last half second."""
    codec = rvqcodec.load()
    y = codec.decode(codec.encode(x.astype(np.float32), RATE, n_q=n_q))[0]
    middle = slice(RATE // 2, -RATE // 2)
    signal, made, error = (float(np.square(v[middle]).mean()) for v in (x, y, x - y))
    return 10 * np.log10(made / signal), 10 * np.log10(signal / error)


@pytest.mark.parametrize("amplitude", [0.5, 0.003])
@pytest.mark.parametrize("frequency", [60, 220, 440, 1000])
def test_a_low_tone_keeps_level_and_waveform(frequency: int, amplitude: float) -> None:
    tone = amplitude * np.sin(2 * np.pi * frequency * np.arange(2 * RATE) / RATE)
    level, snr = through(tone, 16)
    assert abs(level) < 1.5
    assert snr > 8


@pytest.mark.parametrize("frequency", [6000, 10_000])
def test_noise_stands_in_for_a_high_tone_at_about_its_level(frequency: int) -> None:
    level, _ = through(0.5 * np.sin(2 * np.pi * frequency * np.arange(2 * RATE) / RATE), 16)
    assert abs(level) < 9
