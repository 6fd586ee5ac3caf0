"""Ripple of the mean long-term spectrum of many clips: a comb shows there, the notes of single clips average out."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rvqcodec.report.metrics.bands import RIPPLE_BANDS, Figures, band_name, long_term_spectrum, ripples
from rvqcodec.types import Samples

ORIGINAL = "original"


@dataclass
class LongTerm:
    """Sums of long-term spectra by codec, "original" among them; those of a clip over the power of its original."""

    sample_rate: int
    sums: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    clips: dict[str, int] = field(default_factory=dict)

    def add(self, original: Samples, results: dict[str, Samples]) -> None:
        """A clip [C, n] and what the codecs made of it; a silent one is left out."""
        own = long_term_spectrum(original)
        power = float(own.sum())
        if power <= 0.0:
            return
        spectra = {ORIGINAL: own} | {codec: long_term_spectrum(samples) for codec, samples in results.items()}
        for codec, spectrum in spectra.items():
            self.sums[codec] = self.sums.get(codec, np.zeros_like(own)) + spectrum / power
            self.clips[codec] = self.clips.get(codec, 0) + 1

    def ripples(self) -> dict[str, Figures]:
        """Ripple in dB in RIPPLE_BANDS of each mean spectrum, the original's first."""
        return {codec: ripples(total / self.clips[codec], self.sample_rate) for codec, total in self.sums.items()}

    def rows(self) -> list[list[str]]:
        """The ripples as text, a line a codec."""
        return [
            [codec, *("-" if value is None else f"{value:.2f}" for value in values)]
            for codec, values in self.ripples().items()
        ]

    @staticmethod
    def headings() -> list[str]:
        """What stands over the columns of `rows`."""
        return ["ripple dB of the mean spectrum", *(f"{band_name(band)} kHz" for band in RIPPLE_BANDS)]
