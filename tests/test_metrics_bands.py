"""Level, ripple and third-octaves in bands, and the stereo image, on sounds whose figures are worked out by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rvqcodec.report.metrics import measure
from rvqcodec.report.metrics.bands import (
    LEVEL_BANDS,
    LIMIT,
    RIPPLE_BANDS,
    Band,
    differences,
    level_changes,
    long_term_spectrum,
    ripples,
    third_octave_levels,
)
from rvqcodec.report.metrics.stereo import image_errors

RATE = 44100
BIN = RATE / 8192
COMB = 205 / 4 * BIN  # Hz; four whole periods in the 205 bins (1.1 kHz) of the moving mean, which it leaves as it is
Samples = NDArray[np.float32]


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> Samples:
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * level).astype(np.float32)


def sine(hertz: float, seconds: float, level: float = 1.0) -> Samples:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def shaped(samples: Samples, gain: Callable[[NDArray[np.float64]], NDArray[Any]]) -> Samples:
    """`samples` [n] with their spectrum multiplied by gain(hertz)."""
    spectrum = np.fft.rfft(samples)
    return np.fft.irfft(spectrum * gain(np.fft.rfftfreq(len(samples), 1 / RATE)), len(samples)).astype(np.float32)


def in_band(samples: Samples, band: Band, decibels: float) -> Samples:
    """`samples` [n] with a gain in one band."""
    gain = 10 ** (decibels / 20)
    return shaped(samples, lambda hertz: np.where((hertz >= band[0]) & (hertz < band[1]), gain, 1.0))


def pink(seconds: float) -> Samples:
    return shaped(noise(seconds), lambda hertz: 1 / np.sqrt(np.maximum(hertz, 20) / 1000))


class TestSpectrum:
    def test_bins_add_up_to_the_mean_square(self) -> None:
        for samples, expected in ((sine(1000, 2.0, 0.5), 0.125), (sine(70, 0.5), 0.5), (noise(0.06), 0.01)):
            assert long_term_spectrum(samples).sum() == pytest.approx(expected, rel=0.05)
        assert long_term_spectrum(sine(1000, 2.0, 0.5)).sum() == pytest.approx(0.125, rel=1e-4)

    def test_channels_are_averaged(self) -> None:
        x = sine(1000, 1.0)
        assert long_term_spectrum(np.stack([x, 0 * x])).sum() == pytest.approx(0.25, rel=1e-4)

    def test_short_and_silent_recordings_have_one(self) -> None:
        for length in (1, 3, 100, 8191):
            assert np.isfinite(long_term_spectrum(np.ones(length, np.float32))).all()
        assert long_term_spectrum(np.zeros((2, 5000), np.float32)).sum() == 0

    def test_an_abrupt_end_is_not_heard_in_other_bands(self) -> None:
        x = np.concatenate([sine(1000, 1.0)[:-11], np.zeros(0, np.float32)])
        spectrum = long_term_spectrum(x)
        assert 10 * np.log10(spectrum[round(6000 / BIN) :].sum() / spectrum.sum()) < -100


class TestLevels:
    @pytest.mark.parametrize("band", range(5))
    @pytest.mark.parametrize("decibels", [-3.0, 6.0])
    def test_a_gain_in_one_band_shows_there_alone(self, band: int, decibels: float) -> None:
        x = noise(2.0)
        expected = [decibels if i == band else 0.0 for i in range(5)]
        found = measure(x, in_band(x, LEVEL_BANDS[band], decibels), RATE, align=False)
        assert found.levels == pytest.approx(expected, abs=0.05)
        low, high = LEVEL_BANDS[band]
        assert found.to_dict()[f"level_{low:g}_{high:g}"] == pytest.approx(decibels, abs=0.05)

    def test_a_gain_of_all_is_that_of_every_band_and_of_the_loudness(self) -> None:
        x = np.stack([noise(2.0, 1), noise(2.0, 2)])
        found = measure(x, x * np.float32(10 ** (-3 / 20)), RATE)
        assert found.levels == pytest.approx([-3.0] * 5, abs=1e-3)
        assert found.loudness == pytest.approx(-3.0, abs=1e-3)

    def test_the_power_of_both_channels_counts(self) -> None:
        x = noise(2.0)
        found = measure(np.stack([x, x]), np.stack([x, 0 * x]), RATE, align=False)
        assert found.levels == pytest.approx([-3.0103] * 5, abs=1e-3)

    def test_bands_without_sound_have_no_level(self) -> None:
        tone, quiet = sine(1000, 1.0, 0.5), noise(1.0, level=1e-5)
        assert measure(tone, tone, RATE).levels == (0.0, None, None, None, None)
        assert measure(quiet, quiet, RATE).levels == (None,) * 5, "100 dB below full scale"
        # 60 dB below the tone is heard, 80 dB below it is not.
        for level, held in ((1e-3, True), (1e-4, False)):
            both = tone + sine(4000, 1.0, 0.5 * level)
            assert (measure(both, both, RATE).levels[2] is not None) == held

    def test_what_is_gone_has_a_limit(self) -> None:
        x = noise(1.0)
        assert measure(x, np.zeros_like(x), RATE).levels == (-LIMIT,) * 5
        assert measure(np.zeros_like(x), x, RATE).levels == (None,) * 5

    def test_a_rate_that_does_not_reach(self) -> None:
        spectrum = np.full(4097, 1e-5)
        assert level_changes(spectrum, spectrum, 12000) == (0.0, 0.0, 0.0, None, None)
        x = (np.random.default_rng(0).standard_normal(16000) * 0.1).astype(np.float32)
        found = measure(x, x, 8000)
        assert found.levels == (0.0, 0.0, 0.0, None, None), "3 to 4 kHz of 3 to 6"


class TestRipple:
    @pytest.mark.parametrize("depth", [0.5, 2.0, 7.0])
    def test_of_a_spectrum_that_waves(self, depth: float) -> None:
        """A sine of depth A has a standard deviation of A / sqrt(2)."""
        hertz = np.arange(4097) * BIN
        spectrum = 1e-6 * 10 ** (depth / 10 * np.sin(2 * np.pi * hertz / COMB))
        assert ripples(spectrum, RATE) == pytest.approx([depth / np.sqrt(2)] * 3, rel=0.02)

    def test_of_a_click_and_its_echo(self) -> None:
        """|1 + g e^jw|^2 in dB has the variance (20 / ln 10)^2 x sum over k of g^2k / 2k^2: 1.234 dB for g = 0.2."""
        x = np.zeros(RATE, np.float32)
        x[[20000, 20000 + round(RATE / COMB)]] = 1.0, 0.2
        variance = (20 / np.log(10)) ** 2 * sum(0.2 ** (2 * k) / (2 * k * k) for k in (1, 2, 3))
        assert np.sqrt(variance) == pytest.approx(1.234, abs=1e-3)
        assert ripples(long_term_spectrum(x), RATE) == pytest.approx([1.234] * 3, abs=0.03)

    def test_the_colour_of_a_sound_is_none(self) -> None:
        slope = 1e-6 * 10 ** (-np.arange(4097) / 4096 * 3)  # 30 dB down to the top
        assert ripples(slope, RATE) == pytest.approx([0.0] * 3, abs=0.05)

    def test_noise_with_a_comb_ripples_more_than_before(self) -> None:
        x = noise(8.0)
        comb = shaped(x, lambda hertz: 10 ** (5 * np.sqrt(2) / 20 * np.sin(2 * np.pi * hertz / COMB)))
        found = measure(x, comb, RATE, align=False)
        assert max(v or 0 for v in found.ripples_reference) < 0.55, "what eight seconds of noise leave"
        # Squares of independent parts add up.
        expected = [np.hypot(5.0, v or 0) for v in found.ripples_reference]
        assert found.ripples == pytest.approx(expected, rel=0.03)
        figures = found.to_dict()
        for i, (low, high) in enumerate(RIPPLE_BANDS):
            name = f"{low:g}_{high:g}"
            assert figures[f"ripple_{name}"] == found.ripples[i]
            assert figures[f"ripple_reference_{name}"] == found.ripples_reference[i]
            change = figures[f"ripple_{name}"] - figures[f"ripple_reference_{name}"]
            assert figures[f"ripple_change_{name}"] == pytest.approx(change)

    def test_the_edge_of_a_band_limit_is_none(self) -> None:
        x = shaped(noise(2.0), lambda hertz: hertz < 12000)
        found = measure(x, noise(2.0), RATE, align=False)
        assert [v is None for v in found.ripples_reference] == [False, True, True]
        assert [v is None for v in found.ripple_changes] == [False, True, True]

    def test_rates_that_do_not_reach_and_silence(self) -> None:
        flat = np.full(4097, 1e-5)
        assert ripples(flat, 32000) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6), None)
        assert ripples(np.zeros(4097), RATE) == (None, None, None)

    def test_differences_of_figures(self) -> None:
        assert differences((1.0, None, 2.0), (3.5, 1.0, None)) == (2.5, None, None)


class TestThirdOctaves:
    def test_a_tone_is_in_its_band_alone(self) -> None:
        """A sine of amplitude 0.5 has a mean square of 1/8, -9.03 dB."""
        centres, levels = third_octave_levels(sine(1000, 2.0, 0.5), RATE)
        at = int(np.argmin(abs(centres - 1000)))
        assert levels[at] == pytest.approx(-9.03, abs=0.01)
        assert np.delete(levels, at).max() < -70
        assert (centres[0], centres[-1]) == pytest.approx((25.12, 15849), rel=1e-3)

    def test_white_noise_rises_by_a_decibel_a_band_and_pink_noise_is_level(self) -> None:
        centres, white = third_octave_levels(noise(10.0), RATE)
        kept = centres > 450
        # The band of 1 kHz is 230.8 Hz wide, of the 22050 Hz that hold -20 dB.
        at = int(np.argmin(abs(centres - 1000)))
        assert white[at] == pytest.approx(-20 + 10 * np.log10(230.8 / 22050), abs=0.3)
        assert np.diff(white[kept]) == pytest.approx(np.ones(kept.sum() - 1), abs=0.5)
        even = third_octave_levels(pink(10.0), RATE)[1][kept]
        assert np.ptp(even) < 1.0

    def test_bursts_count_for_their_share_of_the_time(self) -> None:
        x = noise(4.0)
        gate = (np.arange(len(x)) // 441 % 10 == 0).astype(np.float32)  # 10 ms of every 100
        centres, whole = third_octave_levels(x, RATE)
        _, bursts = third_octave_levels(x * gate, RATE)
        kept = centres > 1000
        assert (bursts - whole)[kept] == pytest.approx(np.full(kept.sum(), -10.0), abs=0.8)

    def test_of_silence_and_of_lower_rates(self) -> None:
        centres, levels = third_octave_levels(np.zeros(16000, np.float32), 16000)
        assert centres[-1] == pytest.approx(6310, rel=1e-3)
        assert (levels == -140).all()


class TestImage:
    def test_a_swapped_pan_is_off_by_twice_its_difference(self) -> None:
        x = noise(2.0)
        left = np.stack([x, 0.5 * x])  # 6.02 dB to the left
        level, coherence = image_errors(left, left[::-1].copy(), RATE) or (0, 0)
        assert level == pytest.approx(12.04, abs=0.01)
        assert coherence == pytest.approx(0.0, abs=1e-4)

    def test_a_channel_that_should_be_silent_is_off_by_the_limit(self) -> None:
        x = noise(2.0)
        level, _ = image_errors(np.stack([x, 0 * x]), np.stack([x, x]), RATE) or (0, 0)
        assert level == pytest.approx(30.0, abs=0.01)

    def test_lost_width_and_turned_phase(self) -> None:
        x, y = noise(4.0, 1), noise(4.0, 2)
        wide, mono = np.stack([x, y]), np.stack([x, x])
        assert (image_errors(wide, mono, RATE) or (0, 0))[1] == pytest.approx(1.0, abs=0.05)
        assert image_errors(np.stack([x, -x]), mono, RATE) == pytest.approx((0.0, 2.0), abs=1e-3)

    def test_it_is_a_figure_of_two_channels_only(self) -> None:
        x = noise(1.0)
        two = np.stack([x, 0.5 * x])
        found = measure(two, two[::-1].copy(), RATE, align=False)
        assert found.image_level == pytest.approx(12.04, abs=0.01)
        assert found.to_dict()["image_coherence"] == pytest.approx(0.0, abs=1e-4)
        for samples in (x, np.stack([x, x, x])):
            assert measure(samples, samples, RATE).image_level is None
        assert measure(0 * two, two, RATE).image_level is None, "a silent original has no image"
