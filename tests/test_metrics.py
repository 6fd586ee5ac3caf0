"""The metrics on synthetic signals whose answers are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from rvqcodec.errors import AudioError
from rvqcodec.report.metrics import PERCEPTUAL, measure, missing
from rvqcodec.report.metrics.align import find_delay
from rvqcodec.report.metrics.levels import SI_SDR_LIMIT, integrated_loudness, k_weighting, si_sdr
from rvqcodec.report.metrics.spectra import magnitudes, mel_bank, spectral_distances

RATE = 44100
Samples = NDArray[np.float32]


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> Samples:
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * level).astype(np.float32)


def sine(hertz: float, seconds: float, rate: int = RATE, level: float = 1.0) -> Samples:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def low_pass(samples: Samples, hertz: float) -> Samples:
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / RATE) > hertz] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def chirp_pair() -> tuple[Samples, Samples]:
    t = np.arange(66150) / RATE
    swell = (1 + np.sin(2 * np.pi * 3 * t)) / 2
    a = 0.4 * np.sin(2 * np.pi * (200 * t + 3000 * t * t)) * swell + 0.01 * np.sin(2 * np.pi * 11000 * t)
    b = 0.8 * a + 0.02 * np.sin(2 * np.pi * 5000 * t) + 0.05 * np.sin(2 * np.pi * 150 * t)
    return a.astype(np.float32), b.astype(np.float32)


def test_identity_is_perfect() -> None:
    x = noise(1.5)
    found = measure(x, x, RATE)
    assert (found.mel, found.stft, found.log_spectral, found.loudness, found.delay) == (0, 0, 0, 0, 0)
    assert found.si_sdr == SI_SDR_LIMIT
    assert found.highest_kept == found.highest_held == RATE / 2
    assert found.seconds == 1.5


def test_distances_agree_with_the_reference_implementation() -> None:
    """Numbers from the project's PyTorch definition (torch.stft, Slaney mels) on the same two signals."""
    a, b = chirp_pair()
    mel, stft, _ = spectral_distances(a, b, RATE)
    assert mel == pytest.approx(1.645056, abs=1e-4)
    assert stft == pytest.approx(1.348189, abs=1e-4)
    assert si_sdr(a, b) == pytest.approx(11.62442, abs=1e-3)


def test_a_gain_moves_levels_and_nothing_else() -> None:
    x = noise(1.5)
    found = measure(x, x * np.float32(0.5), RATE)
    assert found.loudness == pytest.approx(-6.0206, abs=0.01)
    assert found.log_spectral == pytest.approx(6.0206, abs=0.01)
    assert found.si_sdr == SI_SDR_LIMIT
    assert found.highest_kept == RATE / 2


def test_log_part_of_the_distances_under_a_gain() -> None:
    """A gain of 1/10 changes every log10 of a power by 2, for both windows; the linear parts are 0.9 |a|."""
    x = noise(1.0)
    _, stft, log = spectral_distances(x, x * np.float32(0.1), RATE)
    linear = sum(float(np.mean(np.concatenate(list(magnitudes(x, n))))) * 0.9 for n in (2048, 512))
    assert stft == pytest.approx(4.0 + linear, rel=1e-3)
    assert log == pytest.approx(20.0, rel=1e-3)


@pytest.mark.parametrize("delay", [-4410, -1000, -1, 1, 37, 4410])
def test_a_delay_is_found_and_taken_out(delay: int) -> None:
    x = noise(1.0)
    source = np.concatenate([np.zeros(5000, np.float32), x, np.zeros(5000, np.float32)])
    late = np.roll(source, delay)
    assert find_delay(source, late, limit=4410) == delay
    found = measure(source, late, RATE)
    assert found.delay == pytest.approx(delay / RATE)
    assert found.si_sdr == SI_SDR_LIMIT


def test_a_delay_across_blocks_and_lengths() -> None:
    x = noise(8.0)
    assert find_delay(x, np.concatenate([noise(0.02, 1), x]), limit=4410) == 882
    assert find_delay(x[3000:], x, limit=4410) == 3000


def test_no_delay_is_claimed_without_likeness() -> None:
    assert find_delay(noise(1.0, 1), noise(1.0, 2), limit=4410) == 0
    assert find_delay(np.zeros(9000, np.float32), noise(1.0), limit=4410) == 0
    assert find_delay(sine(441, 1.0), sine(441, 1.0), limit=4410) == 0, "a periodic signal fits at 0 as well"


@pytest.mark.parametrize("decibel", [-10, 0, 15, 40])
def test_noise_at_a_known_ratio(decibel: int) -> None:
    x, error = noise(2.0, 1), noise(2.0, 2).astype(np.float64)
    error -= (error @ x) / (x @ x.astype(np.float64)) * x
    error *= np.linalg.norm(x) / np.linalg.norm(error) * 10 ** (-decibel / 20)
    assert si_sdr(x, (0.3 * (x + error)).astype(np.float32)) == pytest.approx(decibel, abs=0.01)


@pytest.mark.parametrize("hertz", [3000, 8000, 12000])
def test_band_limit(hertz: int) -> None:
    x = noise(1.5)
    found = measure(x, low_pass(x, hertz), RATE)
    assert found.highest_held == RATE / 2
    assert found.highest_kept == pytest.approx(hertz, abs=200)
    assert found.mel > 1


def test_a_noise_floor_above_the_limit_keeps_nothing() -> None:
    x = low_pass(noise(1.5), 8000) + noise(1.5, 7, 3e-4)
    found = measure(x, low_pass(x, 4000) + (noise(1.5, 9, 2e-4) - low_pass(noise(1.5, 9, 2e-4), 10000)), RATE)
    assert found.highest_held == RATE / 2
    assert found.highest_kept == pytest.approx(4000, abs=200)


def test_what_the_reference_lacks_is_not_asked_for() -> None:
    x = low_pass(noise(1.5), 5000)
    found = measure(x, x + noise(1.5, 3, 1e-3), RATE)
    assert found.highest_held == found.highest_kept == pytest.approx(5000, abs=200)


def test_k_weighting_is_the_standards_at_48_khz() -> None:
    """The tables of ITU-R BS.1770-4."""
    b, a = k_weighting(48000)
    assert b[0] == pytest.approx([1.53512485958697, -2.69169618940638, 1.19839281085285], abs=1e-6)
    assert a[0] == pytest.approx([1.0, -1.69065929318241, 0.73248077421585], abs=1e-6)
    assert b[1] == pytest.approx([1.0, -2.0, 1.0])
    assert a[1] == pytest.approx([1.0, -1.99004745483398, 0.99007225036621], abs=1e-6)


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 96000])
def test_loudness_of_the_standards_sine(rate: int) -> None:
    """A 997 Hz sine of full scale in one channel is -3.01 LUFS; in both, 3.01 LU more."""
    x = sine(997, 8.0, rate)
    assert integrated_loudness(x[None], rate) == pytest.approx(-3.01, abs=0.05)
    assert integrated_loudness(np.stack([x, x]), rate) == pytest.approx(0.0, abs=0.05)
    assert integrated_loudness(x[None] * np.float32(0.1), rate) == pytest.approx(-23.01, abs=0.05)


def test_loudness_gates_silence_and_knows_when_there_is_none() -> None:
    x = sine(997, 4.0)
    padded = np.concatenate([x, np.zeros_like(x)])
    # 37 blocks lie whole in the sine, three partly (3/4, 1/2, 1/4); the silent ones are gated.
    expected = -3.01 + 10 * np.log10((37 + 1.5) / 40)
    assert integrated_loudness(padded[None], RATE) == pytest.approx(expected, abs=0.02)
    assert integrated_loudness(np.zeros((1, RATE), np.float32), RATE) is None
    assert integrated_loudness(x[None, : RATE // 3], RATE) is None


def test_silence_has_no_ratio() -> None:
    silent = np.zeros(RATE, np.float32)
    found = measure(silent, noise(1.0), RATE)
    assert found.si_sdr is None
    assert found.loudness is None
    assert measure(noise(1.0), silent, RATE).si_sdr == -SI_SDR_LIMIT
    assert measure(silent, silent, RATE).mel == 0


def test_channels_are_averaged_and_must_agree() -> None:
    x, y = noise(1.0, 1), noise(1.0, 2)
    both = measure(np.stack([x, y]), np.stack([x, x]), RATE)
    assert both.mel == pytest.approx(measure(y, x, RATE, align=False).mel / 2, rel=1e-5)
    with pytest.raises(AudioError, match="cannot compare 2 channels with 1"):
        measure(np.stack([x, y]), x, RATE)


def test_too_short_is_said() -> None:
    with pytest.raises(AudioError, match="at least 50 ms"):
        measure(noise(0.04), noise(0.04), RATE)


def test_other_rates_are_taken_to_the_models() -> None:
    x = sine(440, 1.0, 16000, 0.3)
    found = measure(x, x * np.float32(0.5), 16000)
    assert found.loudness == pytest.approx(-6.02, abs=0.02)
    assert found.seconds == 1.0


def test_mel_bank_is_slaneys() -> None:
    """Each triangle has an area of one: a flat spectrum gives each band about 1 / (bin width)."""
    bank = mel_bank(2048, 80, RATE)
    assert bank.shape == (1025, 80)
    wide = bank[:, 40:].sum(axis=0) * RATE / 2048
    assert wide == pytest.approx(np.ones(40), rel=0.03)
    assert np.all(np.diff(np.argmax(bank, axis=0)) >= 0)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = noise(0.7)
    whole = np.concatenate(list(magnitudes(x, 512)))
    monkeypatch.setattr("rvqcodec.report.metrics.spectra.BLOCK_SAMPLES", 1000)
    parts = list(magnitudes(x, 512))
    assert len(parts) > 10
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(whole) == 1 + len(x) // 128, "as many frames as torch.stft"


@pytest.mark.skipif(missing("stoi") or missing("pesq"), reason="needs the extra [metrics]")
def test_speech_metrics_fall_with_noise() -> None:
    swell = (1 + np.sin(2 * np.pi * 4 * np.arange(3 * RATE) / RATE).astype(np.float32)) / 2
    x = low_pass(noise(3.0), 4000) * swell
    clean = measure(x, x, RATE, perceptual_metrics=("stoi", "pesq"))
    dirty = measure(x, x + noise(3.0, 5, 0.03), RATE, perceptual_metrics=("stoi", "pesq"))
    assert clean.stoi == pytest.approx(1.0, abs=1e-3)
    assert clean.pesq == pytest.approx(4.64, abs=0.01)
    assert dirty.stoi is not None
    assert dirty.stoi < 0.98
    assert dirty.pesq is not None
    assert dirty.pesq < 3.5
    assert measure(x[:9000], x[:9000], RATE, perceptual_metrics=("stoi", "pesq")).stoi is None


@pytest.mark.skipif(any(map(missing, PERCEPTUAL)), reason="needs the extra [metrics]")
def test_silence_cannot_be_judged() -> None:
    silent, x = np.zeros(2 * RATE, np.float32), noise(2.0)
    found = measure(silent, silent, RATE, perceptual_metrics=PERCEPTUAL)
    assert (found.stoi, found.pesq, found.visqol) == (None, None, None)
    found = measure(x, silent, RATE, perceptual_metrics=PERCEPTUAL)
    assert (found.pesq, found.visqol) == (None, None)


@pytest.mark.skipif(missing("visqol"), reason="needs the extra [metrics]")
def test_visqol_of_a_copy_is_near_its_best() -> None:
    x = low_pass(noise(2.0), 12000)
    assert (measure(x, x, RATE, perceptual_metrics=("visqol",)).visqol or 0) > 4.6
    assert measure(x[:9000], x[:9000], RATE, perceptual_metrics=("visqol",)).visqol is None
