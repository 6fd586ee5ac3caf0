"""Codes of a window to what they stand for, one channel: the inverse of the two searches."""

from dataclasses import dataclass

import numpy as np

from rvqcodec.models.rvq44.cpu.weights import Weights
from rvqcodec.models.rvq44.engine import Counts
from rvqcodec.models.rvq44.onsets import Integers, Onsets
from rvqcodec.models.rvq44.scales import Scales, by_sub_frame
from rvqcodec.models.rvq44.tables import Doubles, Floats
from rvqcodec.types import Codes

TOGETHER = 8  # codebooks whose entries are multiplied at once


class Quantizer:
    """Sums of codebook entries."""

    def __init__(self, weights: Weights, name: str) -> None:
        """name: of the quantizer's tensors."""
        self._dims = weights.dims(name)
        books = [f"{name}.codebooks.{k}" for k in range(len(self._dims))]
        self._entries = [weights.raw(f"{book}.entries") for book in books]
        self._outward = np.concatenate([weights[f"{book}.project_out.weight"].T for book in books])

    def decode(self, codes: Codes, n_q: Counts) -> Floats:
        """codes [K, T], n_q [T] (how many of them count in each frame) -> [T, L]."""
        found = np.zeros((codes.shape[1], self._outward.shape[1]), np.float32)
        codes, at = codes[: len(self._dims)], 0
        for first in range(0, len(codes), TOGETHER):
            frames = np.flatnonzero(n_q > first)  # few have as many codes as the most
            books = range(first, min(first + TOGETHER, len(codes)))
            width = sum(self._dims[k] for k in books)
            if len(frames):
                found[frames] += self._entries_of(books, codes[:, frames], n_q[frames]) @ self._outward[at : at + width]
            at += width
        return found

    def _entries_of(self, books: range, codes: Codes, n_q: Counts) -> Floats:
        """The entries of some codebooks side by side [T, dims], zeros where a frame has no code."""
        found = np.zeros((len(n_q), sum(self._dims[k] for k in books)), np.float32)
        at = 0
        for k in books:
            kept = n_q > k
            found[kept, at : at + self._dims[k]] = self._entries[k][codes[k, kept]]
            at += self._dims[k]
        return found


@dataclass(frozen=True)
class Looked:
    """What the codes of a window say.

    remainder, envelope [S, B]: of the envelope, and quantized; coefficients [S, coefficients], unpacked; onset [T]: its
    code and 1, or 0.
    """

    remainder: Floats
    envelope: Floats
    coefficients: Floats
    onset: Integers


class Lookup:
    """Of one model; several threads may share it."""

    def __init__(self, weights: Weights, scales: Scales, onsets: Onsets) -> None:
        self.config, self._scales, self._onsets = weights.config, scales, onsets
        self._envelope = Quantizer(weights, "envelope_quantizer")
        self.waveform = Quantizer(weights, "waveform_quantizer")

    def window(self, codes: Codes, n_q: Counts, before: Doubles | None) -> tuple[Looked, Doubles]:
        """codes [K, T], n_q [T], levels of the two sub-frames before [2] -> what they say, and the last two levels."""
        c = self.config
        split, size = c.envelope_codebooks, c.frame_sub_frames
        envelope = by_sub_frame(self._envelope.decode(codes[:split], n_q), size)
        levels = self._levels(codes, n_q)
        flags = self._onsets.flags(levels[None], None if before is None else before[None])[0] & (n_q > split)
        onset, details = np.zeros(len(n_q), np.int64), codes[split:]
        if flags.any():
            onset[flags] = details[0, flags].astype(np.int64) + 1
            details = details.copy()
            details[:-1, flags], details[-1, flags] = details[1:, flags], 0
        packed = by_sub_frame(self.waveform.decode(details, n_q - split - flags), size)
        coefficients = self._scales.unpacked(packed[:, c.bands :], envelope)
        return Looked(packed[:, : c.bands], envelope, coefficients, onset), levels[-2:]

    def _levels(self, codes: Codes, n_q: Counts) -> Doubles:
        """Treble levels [S], from the codes that every frame has, so that they do not depend on the bitrate.

        Infinite, which is unknown, for a frame without these.
        """
        c = self.config
        coarse = by_sub_frame(self._envelope.decode(codes[: c.base_codebooks], n_q), c.frame_sub_frames)
        unknown = np.repeat(n_q < c.base_codebooks, c.frame_sub_frames)
        return np.where(unknown, np.inf, self._onsets.level(coarse))
