"""Pure tones through the shipped model: no recording holds them, and whatever leaves a coefficient out loses one."""

import numpy as np
import pytest

import rvqcodec

RATE = 44100
# Of rvq44-5 (weights/MODEL_CARD.md, "Known weaknesses"): dB of level, and a tone that comes back as noise.
WEAKEST = {(9000, 0.003): 1.8}
NOISE = {(9000, 0.003)}


def through(x: np.ndarray, n_q: int) -> tuple[float, float]:
    """(level of the result against x, SNR), dB, without the first and last half second."""
    codec = rvqcodec.load()
    y = codec.decode(codec.encode(x.astype(np.float32), RATE, n_q=n_q))[0]
    middle = slice(RATE // 2, -RATE // 2)
    signal, made, error = (float(np.square(v[middle]).mean()) for v in (x, y, x - y))
    return 10 * np.log10(made / signal), 10 * np.log10(signal / error)


@pytest.mark.parametrize("amplitude", [0.5, 0.003])
@pytest.mark.parametrize("frequency", [60, 220, 440, 1000, 2000, 3300, 4000, 6000, 8000, 9000, 10_000, 13_000, 15_000])
def test_a_tone_keeps_level_and_waveform(frequency: int, amplitude: float) -> None:
    tone = amplitude * np.sin(2 * np.pi * frequency * np.arange(2 * RATE) / RATE)
    level, snr = through(tone, 16)
    assert abs(level) < WEAKEST.get((frequency, amplitude), 1.5)
    assert (frequency, amplitude) in NOISE or snr > 8


def test_a_glide_is_followed() -> None:
    time = np.arange(4 * RATE) / RATE
    level, snr = through(0.3 * np.sin(2 * np.pi * (200 * time + 1000 * time**2)), 16)  # to 8.2 kHz
    assert abs(level) < 1.7
    assert snr > 8
