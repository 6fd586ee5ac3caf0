"""Windows of samples to what is known of them without waveform codes (`engine.Window`), one channel after the other."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rvqcodec.models.rvq44 import tables
from rvqcodec.models.rvq44.cpu.search import Integers, Search
from rvqcodec.models.rvq44.cpu.weights import Weights
from rvqcodec.models.rvq44.emphasis import Emphasis
from rvqcodec.models.rvq44.engine import ENVELOPE_WIDTH, ROWS, Window
from rvqcodec.models.rvq44.onsets import Onsets
from rvqcodec.models.rvq44.scales import Scales, by_frame, by_sub_frame
from rvqcodec.models.rvq44.tables import POWER_FLOOR, Floats
from rvqcodec.types import Samples


class Analysis:
    """Of one model; several threads may share it."""

    def __init__(self, weights: Weights, scales: Scales, onsets: Onsets) -> None:
        c = weights.config
        self.config, self._scales, self._onsets = c, scales, onsets
        ahead, emphasis = c.envelope_codebooks, Emphasis(c, scales.mean)
        self._search = Search(weights, "envelope_quantizer", width=ENVELOPE_WIDTH, ahead=ahead, weigh=emphasis)
        books = [f"envelope_quantizer.codebooks.{k}" for k in range(c.envelope_codebooks)]
        self._entries = [weights[f"{book}.entries"] for book in books]
        self._outward = [np.ascontiguousarray(weights[f"{book}.project_out.weight"].T) for book in books]
        self._cosines = np.ascontiguousarray(tables.cosines(c.sub_frame)[:, : c.coefficients])
        self._sines = tables.sine_window(c.sub_frame)
        bands = scales.tables.band_weights
        self._bands = bands * np.float32(0.667 / c.sub_frame) / bands.sum(0)

    def window(self, samples: Samples, *, paired: bool) -> Window:
        """samples [C, (S + 2) * sub_frame], two sub-frames before the first one included."""
        found = [self._channel(x) for x in (samples[:1] if paired else samples)]
        second = self.coefficients(self.spans(samples[1])) if paired else None
        heads, quantized, levels, latents, coefficients = (np.stack(part) for part in zip(*found, strict=True))
        return Window(heads, quantized, levels, latents, coefficients, second)

    def _channel(self, samples: Floats) -> tuple[NDArray[Any], ...]:
        spans = self.spans(samples)
        envelope, coefficients = self.envelope(spans[1:]), self.coefficients(spans)
        heads, quantized, coarse = self._coded(envelope)
        latents = self._scales.waveform_latent(envelope, quantized, coefficients[1:])
        return heads, quantized, self._onsets.level(coarse), latents, coefficients

    def _coded(self, envelope: Floats) -> tuple[Integers, Floats, Floats]:
        """Envelope [S, B] -> its codes [T, K], and what all of them and the coarse ones of them stand for [S, B]."""
        c = self.config
        rows = by_frame(envelope, c.frame_sub_frames)
        parts = [self._search.encode(rows[i : i + ROWS], c.envelope_codebooks) for i in range(0, len(rows), ROWS)]
        codes = np.concatenate(parts, 1)
        full = coarse = np.zeros_like(rows)
        for k, (chosen, entries, outward) in enumerate(zip(codes, self._entries, self._outward, strict=True)):
            full = full + entries[chosen] @ outward
            coarse = full if k < c.base_codebooks else coarse
        return codes.T, by_sub_frame(full, c.frame_sub_frames), by_sub_frame(coarse, c.frame_sub_frames)

    def spans(self, samples: Floats) -> Floats:
        """samples [(S + 1) * sub_frame] -> overlapping spans of two sub-frames [S, 2 * sub_frame]."""
        size = self.config.sub_frame
        return sliding_window_view(samples, 2 * size)[::size]

    def envelope(self, spans: Floats) -> Floats:
        """spans [S, 2 * sub_frame] -> log amplitude per band [S, B], centred and scaled."""
        c = self.config
        bins = np.fft.rfft(spans * self._scales.tables.analysis_window)
        spectrum = bins.real**2 + bins.imag**2
        power = (spectrum[:, :-1] + spectrum[:, 1:]) @ self._bands
        found: Floats = c.envelope_scale * (0.5 * np.log(power + np.float32(POWER_FLOOR)) - self._scales.mean)
        return found

    def coefficients(self, spans: Floats) -> Floats:
        """spans [S, 2 * sub_frame] -> the lowest MDCT coefficients [S, coefficients]."""
        size = self.config.sub_frame
        half = size // 2
        x = spans * self._sines
        folded = np.empty((len(x), size), np.float32)
        np.add(x[:, size : size + half][:, ::-1], x[:, size + half :], out=folded[:, :half])
        np.negative(folded[:, :half], out=folded[:, :half])
        np.subtract(x[:, :half], x[:, half:size][:, ::-1], out=folded[:, half:])
        found: Floats = folded @ self._cosines
        return found
