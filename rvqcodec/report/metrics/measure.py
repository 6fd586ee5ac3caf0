"""All distances between two recordings in one call."""

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rvqcodec.errors import AudioError
from rvqcodec.report.metrics import bands as in_bands
from rvqcodec.report.metrics import perceptual
from rvqcodec.report.metrics.align import find_delay, shift_to_fit
from rvqcodec.report.metrics.bands import LEVEL_BANDS, RIPPLE_BANDS, Band, Figures
from rvqcodec.report.metrics.levels import integrated_loudness, si_sdr
from rvqcodec.report.metrics.perceptual import resample
from rvqcodec.report.metrics.spectra import MODEL_RATE, highest_frequencies, spectral_distances
from rvqcodec.report.metrics.stereo import image_errors
from rvqcodec.types import Samples

PERCEPTUAL = ("stoi", "pesq", "visqol")
LONGEST_DELAY = 0.1  # seconds
SHORTEST = 0.05  # seconds: a frame of the longest window


@dataclass(frozen=True)
class Measurement:
    """What `measure` found; None where a figure has no meaning (silence) or was not asked for."""

    seconds: float  # compared, after alignment
    delay: float  # seconds by which the other is later
    mel: float
    stft: float
    si_sdr: float | None  # dB
    log_spectral: float  # dB
    loudness: float | None  # LU, other minus reference
    highest_held: float  # Hz in the reference
    highest_kept: float  # Hz of those in the other
    levels: Figures  # dB, other minus reference, in LEVEL_BANDS
    ripples: Figures  # dB in RIPPLE_BANDS, of the other
    ripples_reference: Figures
    image_level: float | None = None  # dB, error of the level difference between two channels
    image_coherence: float | None = None  # 0..2, error of their coherence
    stoi: float | None = None
    pesq: float | None = None
    visqol: float | None = None

    @property
    def ripple_changes(self) -> Figures:
        """dB by which the other ripples more than the reference."""
        return in_bands.differences(self.ripples_reference, self.ripples)

    def to_dict(self) -> dict[str, Any]:
        """The figures by name, one number each, ready for JSON; a band's ends in Hz are part of the name."""
        plain = {name: value for name, value in asdict(self).items() if not isinstance(value, tuple)}
        return plain | {
            **_named("level", LEVEL_BANDS, self.levels),
            **_named("ripple", RIPPLE_BANDS, self.ripples),
            **_named("ripple_reference", RIPPLE_BANDS, self.ripples_reference),
            **_named("ripple_change", RIPPLE_BANDS, self.ripple_changes),
        }


def figure_name(figure: str, band: Band) -> str:
    """What `Measurement.to_dict` calls a figure of one band: "level_200_1500"."""
    return f"{figure}_{band[0]:g}_{band[1]:g}"


def _named(figure: str, bands: tuple[Band, ...], values: Figures) -> dict[str, float | None]:
    return {figure_name(figure, band): value for band, value in zip(bands, values, strict=True)}


def measure(
    reference: Samples,
    other: Samples,
    sample_rate: int,
    *,
    perceptual_metrics: Collection[str] = (),
    align: bool = True,
) -> Measurement:
    """Measure how far `other` is from `reference`: float32 [n] or [C, n], both at `sample_rate` (Hz).

    Delays up to 100 ms are found and taken out (`align`), then both are cut to what they share. Distances are
    taken at 44.1 kHz and averaged over channels, levels and ripple of bands are of their mean power, and the image is
    that of two channels; `perceptual_metrics` ("stoi", "pesq", "visqol") are taken on the mean of the channels and
    need the extra [metrics]. Raises AudioError: channels that differ, less than
    50 ms shared, a metric that is not installed.
    """
    a, b = np.atleast_2d(np.asarray(reference, np.float32)), np.atleast_2d(np.asarray(other, np.float32))
    if a.shape[0] != b.shape[0]:
        raise AudioError(f"cannot compare {a.shape[0]} channels with {b.shape[0]}: give both the same number")
    delay = 0
    if align:
        delay = find_delay(a.mean(axis=0), b.mean(axis=0), limit=round(LONGEST_DELAY * sample_rate))
    a, b = shift_to_fit(a, b, delay)
    seconds = a.shape[1] / sample_rate
    if seconds < SHORTEST:
        raise AudioError(f"only {seconds * 1000:.0f} ms to compare: both must share at least 50 ms")
    loudness = _difference(integrated_loudness(b, sample_rate), integrated_loudness(a, sample_rate))
    judged = _perceptual(a, b, sample_rate, perceptual_metrics)
    a, b = resample(a, sample_rate, MODEL_RATE), resample(b, sample_rate, MODEL_RATE)
    distances = np.mean([spectral_distances(x, y, MODEL_RATE) for x, y in zip(a, b, strict=True)], axis=0)
    ratios = [ratio for x, y in zip(a, b, strict=True) if (ratio := si_sdr(x, y)) is not None]
    before, after = in_bands.long_term_spectrum(a), in_bands.long_term_spectrum(b)
    image = image_errors(a, b, MODEL_RATE) if len(a) == 2 else None
    edges = [highest_frequencies(x, y, MODEL_RATE) for x, y in zip(a, b, strict=True)]
    return Measurement(
        seconds=seconds,
        delay=delay / sample_rate,
        mel=float(distances[0]),
        stft=float(distances[1]),
        si_sdr=math.fsum(ratios) / len(ratios) if ratios else None,
        log_spectral=float(distances[2]),
        loudness=loudness,
        highest_held=max(held for held, _ in edges),
        highest_kept=max(kept for _, kept in edges),
        levels=in_bands.level_changes(before, after, MODEL_RATE),
        ripples=in_bands.ripples(after, MODEL_RATE),
        ripples_reference=in_bands.ripples(before, MODEL_RATE),
        image_level=image[0] if image else None,
        image_coherence=image[1] if image else None,
        **judged,
    )


def _difference(other: float | None, reference: float | None) -> float | None:
    return None if other is None or reference is None else other - reference


def _perceptual(a: Samples, b: Samples, sample_rate: int, names: Collection[str]) -> dict[str, float | None]:
    unknown = set(names) - set(PERCEPTUAL)
    assert not unknown, unknown
    absent = [name for name in names if perceptual.missing(name)]
    if absent:
        raise AudioError(f"{', '.join(absent)}: not installed; {perceptual.INSTALL}")
    functions = {"stoi": perceptual.stoi, "pesq": perceptual.pesq, "visqol": perceptual.visqol}
    mono_a, mono_b = a.mean(axis=0), b.mean(axis=0)
    return {name: functions[name](mono_a, mono_b, sample_rate) for name in names}
