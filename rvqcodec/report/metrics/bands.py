"""Long-term spectra: level in bands, ripple (a comb in what should be smooth), third-octaves; numpy only."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rvqcodec.report.metrics.spectra import magnitudes
from rvqcodec.types import Samples

Spectrum = NDArray[np.float64]
Figures = tuple[float | None, ...]
Band = tuple[float, float]

LEVEL_BANDS: tuple[Band, ...] = ((200, 1500), (1500, 3000), (3000, 6000), (6000, 10000), (10000, 16000))
RIPPLE_BANDS: tuple[Band, ...] = ((5000, 10000), (10000, 15000), (15000, 19500))

WINDOW = 8192
SMOOTH_HERTZ = 1100.0  # what is wider is the colour of the sound, no ripple
FLOOR = 1e-9  # power (full scale: 1) of the white noise below which a band holds nothing: -90 dB
RANGE = 1e-7  # of the whole power: a band weaker by more than 70 dB is not heard beside the rest
LIMIT = 60.0  # dB; a band that is gone would be infinitely low, which JSON cannot hold
FADE = 2048  # samples at both ends: an abrupt end is a click, heard in every band
SILENCE = 1e-14  # power of a bin that keeps logarithms finite

THIRDS_WINDOW = 32768  # tells the third-octaves from 25 Hz on apart
LOWEST_THIRD, HIGHEST_THIRD = 25.0, 20000.0


def band_name(band: Band) -> str:
    """ "0.2-1.5" of (200, 1500): a band in kHz."""
    return "-".join(f"{hertz / 1000:g}" for hertz in band)


def long_term_spectrum(samples: Samples, window: int = WINDOW) -> Spectrum:
    """Power in each bin, [window // 2 + 1], of samples [n] or [C, n]: the bins add up to the mean square.

    Hann windows, three quarters overlapping, over the samples with silence before and after: every sample counts the
    same but for the first and last 2048, which are faded in and out, and are taken for so much less in the mean.
    """
    channels = np.atleast_2d(samples)
    fade = _fade(channels.shape[1])
    total = np.zeros(window // 2 + 1)
    for channel in channels:
        padded = np.pad(channel * fade, (window, 2 * window))
        for block in magnitudes(padded, window, reflect=False):
            total += np.square(block, dtype=np.float64).sum(axis=0)
    total[1:-1] *= 2.0  # their negative frequencies
    # The squares of four Hann windows that overlap add up to 3/2 everywhere.
    return total / (1.5 * window * len(channels) * max(1.0, float(np.square(fade, dtype=np.float64).sum())))


def _fade(length: int) -> NDArray[np.float32]:
    """[length]: 1 between halves of a Hann window, of at most a quarter of the length each."""
    n = min(FADE, length // 4)
    rise = np.sin(np.pi / 2 * (np.arange(n) + 0.5) / max(1, n)) ** 2
    return np.concatenate([rise, np.ones(length - 2 * n), rise[::-1]]).astype(np.float32)


@lru_cache(maxsize=32)
def _inside(bins: int, sample_rate: int, band: Band) -> NDArray[np.bool_]:
    hertz = np.arange(bins) * (sample_rate / 2 / (bins - 1))
    return (hertz >= band[0]) & (hertz < band[1])


def level_changes(
    before: Spectrum, after: Spectrum, sample_rate: int, bands: tuple[Band, ...] = LEVEL_BANDS
) -> Figures:
    """Level of `after` less that of `before` in each band, in dB, limited to +-60 dB; of two long-term spectra.

    None where `before` holds no sound: its power there is below white noise of -90 dB of full scale, or 70 dB below
    its whole power, or the rate does not reach.
    """
    found: list[float | None] = []
    for band in bands:
        inside = _inside(len(before), sample_rate, band)
        a, b = float(before[inside].sum()), float(after[inside].sum())
        floor = max(FLOOR * inside.mean(), RANGE * float(before.sum()))
        reached = band[0] < sample_rate / 2
        change = 10.0 * float(np.log10((b + SILENCE) / (a + SILENCE)))
        found.append(min(max(change, -LIMIT), LIMIT) if a > floor and reached else None)
    return tuple(found)


def ripples(spectrum: Spectrum, sample_rate: int, bands: tuple[Band, ...] = RIPPLE_BANDS) -> Figures:
    """Standard deviation in dB of a long-term spectrum's fine structure in each band: levels less their moving mean
    over 1.1 kHz (shared/design/bits.md, section 5).

    None where the rate does not reach, or where the mean falls below the level of white noise of -90 dB of full
    scale: the edge of a band limit is steep and would be taken for ripple.
    """
    decibels = 10.0 * np.log10(spectrum + SILENCE)
    bin_hertz = sample_rate / 2 / (len(spectrum) - 1)
    width = int(SMOOTH_HERTZ / bin_hertz) | 1
    sums = np.cumsum(np.pad(np.pad(decibels, width // 2, mode="edge"), (1, 0)))
    smooth = (sums[width:] - sums[:-width]) / width
    floor = 10.0 * np.log10(FLOOR / len(spectrum))
    found: list[float | None] = []
    for band in bands:
        inside = _inside(len(spectrum), sample_rate, band)
        reached = band[1] + SMOOTH_HERTZ / 2 <= sample_rate / 2
        held = reached and bool((smooth[inside] > floor).all())
        found.append(float((decibels - smooth)[inside].std()) if held else None)
    return tuple(found)


def differences(before: Figures, after: Figures) -> Figures:
    """`after` less `before`, figure by figure; None where either has none."""
    pairs = zip(before, after, strict=True)
    return tuple(None if a is None or b is None else b - a for a, b in pairs)


def third_octave_levels(samples: Samples, sample_rate: int) -> tuple[Spectrum, Spectrum]:
    """Centres in Hz and levels in dB of full scale (mean square 1), both [bands], of samples [n] or [C, n].

    The base-ten bands of IEC 61260-1 from 25 Hz to 20 kHz, as far as the rate reaches; ideal edges, of the mean power
    over time. -140 dB stands for silence.
    """
    spectrum = long_term_spectrum(samples, THIRDS_WINDOW)
    steps = np.arange(round(10 * np.log10(LOWEST_THIRD / 1000)), round(10 * np.log10(HIGHEST_THIRD / 1000)) + 1)
    centres = 1000.0 * 10.0 ** (steps / 10.0)
    centres = centres[centres * 10**0.05 <= sample_rate / 2]
    powers = [spectrum[_inside(len(spectrum), sample_rate, (c * 10**-0.05, c * 10**0.05))].sum() for c in centres]
    return centres, 10.0 * np.log10(np.asarray(powers) + SILENCE)
