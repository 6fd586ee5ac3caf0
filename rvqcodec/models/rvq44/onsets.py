"""Onsets: the temporal envelope of a frame whose level jumps, so that an attack is neither smeared nor heard early.

A frame whose coarse envelope jumps has one code more: the powers of its treble in slots of 0.6 ms. What the decoder
makes of the treble is scaled to them. Whether there is such a code follows from codes that every frame has, so nothing
else says it. `network.onset` is the same in torch.
"""

import numpy as np
from numpy.typing import NDArray

from rvqcodec.models.rvq44 import tables
from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.scales import Scales
from rvqcodec.models.rvq44.tables import Doubles, Floats

QUIETEST, LOUDEST = -50.0, 20.0  # dB of a slot against the loudest window around
GAINS = 1e-3, 10.0  # by which a slot is scaled
STEEP, LEAST = 1.2, 0.06  # weight of a slot's error in the choice of a code: by its level below the loudest, and least
# An attack begins at the first slot less than 10 dB below the loudest. How loud its first 5 ms are is heard more than
# the level of any slot, and the slots' errors do not cancel by themselves.
BEGIN, FIRST, LOUDNESS = 1.0, 8, 6.0  # dB / 10 below the loudest, slots, weight
RAMP = 9  # samples over which the gain moves from slot to slot

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


class Onsets:
    """Finds frames with onsets, and their codes; shapes the treble of decoded frames. Part of what codes mean."""

    def __init__(self, config: Config, entries: Floats) -> None:
        """entries [codebook_size, slots]: dB / 10."""
        assert config.hop % config.onset_slots == 0, "slots must fill a frame"
        self.config, self.entries = config, entries
        c = config
        self._rise = c.onset_rise / 8.686 * c.envelope_scale / c.envelope_step * (c.bands - c.onset_band)
        self._cosines = tables.cosines(c.sub_frame)
        self._sums = summed(entries)

    def level(self, coarse: Floats) -> Doubles:
        """Coarse envelope [S, B], quantized by the codebooks that all frames have -> treble level [S].

        A sum of logarithms in multiples of envelope_step: exact, so that every machine finds the same frames.
        """
        steps = np.rint(coarse[:, self.config.onset_band :].astype(np.float64) / self.config.envelope_step)
        found: Doubles = steps.sum(1)
        return found

    def flags(self, levels: Doubles, before: Doubles | None = None) -> Flags:
        """levels [C, S] of the sub-frames of whole frames, and of the two before [C, 2] -> bool [C, T]: with onsets.

        Levels that nobody knows are infinite, for nothing jumps from there. before: None at the start of a stream.
        """
        before = np.full((len(levels), 2), np.inf) if before is None else before
        joined = np.concatenate([before, levels], 1)
        lower = np.minimum(joined[:, 1:-1], joined[:, :-2])
        with np.errstate(invalid="ignore"):  # infinite less infinite is no jump
            jump = joined[:, 2:] - lower > self._rise
        found: Flags = jump.reshape(len(levels), -1, self.config.frame_sub_frames).any(2)
        return found

    def reference(self, amplitude: Floats) -> Floats:
        """amplitude [S, F], S even -> treble power per sample of each frame's louder window [T]."""
        c = self.config
        treble = amplitude[:, c.onset_coefficient :]
        powers = np.einsum("sf,sf->s", treble, treble) / np.float32(c.sub_frame)
        found: Floats = powers.reshape(-1, c.frame_sub_frames).max(1)
        return found

    def powers(self, treble: Floats) -> Floats:
        """treble [T * hop] samples -> mean power in slots [T, slots]."""
        c = self.config
        found: Floats = np.square(treble).reshape(-1, c.onset_slots, c.hop // c.onset_slots).mean(2)
        return found

    def shape(self, powers: Floats, reference: Floats) -> Floats:
        """powers [T, slots], reference [T] -> what is coded [T, slots], dB / 10."""
        ratio = (powers + np.float32(1e-12)) / (reference[:, None] + np.float32(1e-12))
        shape: Floats = np.log10(ratio)
        return np.clip(shape, np.float32(QUIETEST / 10), np.float32(LOUDEST / 10))

    def encode(self, shape: Floats) -> Integers:
        """shape [n, slots] -> codes [n]; loud slots count, silence before them too, and an attack's first 5 ms."""
        highest = shape.max(1, keepdims=True)
        weight = np.float32(10) ** (np.float32(STEEP) * (shape - highest)) + np.float32(LEAST)
        begin = (shape > highest - np.float32(BEGIN)).argmax(1)
        end, rows = np.minimum(begin + FIRST, shape.shape[1]), np.arange(len(shape))
        own, sums = summed(shape), self._sums
        louder = np.log10(sums[:, end] - sums[:, begin]).T - np.log10(own[rows, end] - own[rows, begin])[:, None]
        errors = weight @ (self.entries**2).T - 2 * (weight * shape) @ self.entries.T
        found: Integers = (errors + np.float32(LOUDNESS) * louder**2).argmin(1)
        return found

    def codes(self, coefficients: Floats, quantized: Floats, scales: Scales, flags: Flags) -> Integers:
        """MDCT coefficients [1 + S, n], quantized envelope [S, B], onsets bool [T] -> their codes and 1, or 0: [T].

        Coefficients begin with the sub-frame before; those above the n that are given are zero.
        """
        found, size = np.zeros(len(flags), np.int64), self.config.frame_sub_frames
        frames = np.flatnonzero(flags)
        if len(frames):
            begin, end = self.config.onset_coefficient, coefficients.shape[1]
            rows = coefficients[(size * frames)[:, None] + np.arange(size + 1)]  # of each frame, and one before it
            treble = self.samples(rows, begin, end)
            envelope = quantized.reshape(len(flags), size, -1)[frames].reshape(-1, quantized.shape[1])
            shape = self.shape(self.powers(treble), self.reference(scales.amplitude(envelope)))
            found[frames] = self.encode(shape) + 1
        return found

    def samples(self, coefficients: Floats, first: int, end: int) -> Floats:
        """MDCT coefficients `first` to `end` [..., 1 + S, n], with the sub-frame before -> their sound, one row."""
        size = self.config.sub_frame
        rows = coefficients[..., first:end].reshape(-1, end - first)
        spans = inverse(rows, self._cosines[first:end], size).reshape(*coefficients.shape[:-1], 2 * size)
        return (spans[..., 1:, :size] + spans[..., :-1, size:]).reshape(-1)

    def gains(self, codes: Integers, reference: Floats, treble: Floats) -> Floats:
        """codes int64 [n], reference [n], treble [n, hop] as decoded -> gain of each sample [n, hop]."""
        c = self.config
        wanted = reference[:, None] * np.float32(10) ** self.entries[codes]
        made = np.pad(self.powers(treble.reshape(-1)), ((0, 0), (1, 1)), mode="edge")
        smooth = np.float32(0.25) * (made[:, :-2] + made[:, 2:]) + np.float32(0.5) * made[:, 1:-1]
        gain = np.clip(np.sqrt(wanted / (smooth + np.float32(1e-12))), *GAINS)
        half = RAMP // 2
        steps = np.pad(np.repeat(gain, c.hop // c.onset_slots, 1), ((0, 0), (half, half)), mode="edge")
        ramps = np.lib.stride_tricks.sliding_window_view(steps, RAMP, 1).mean(2, dtype=np.float32)
        found: Floats = ramps
        return found


def summed(shape: Floats) -> Doubles:
    """shape [n, slots] -> power of all slots before each, and of all [n, slots + 1]."""
    power = 10 ** shape.astype(np.float64)
    return np.concatenate([np.zeros_like(power[:, :1]), power.cumsum(1)], 1)


def inverse(coefficients: Floats, cosines: Floats, size: int) -> Floats:
    """coefficients [S, n] and their rows of the transform [n, size] -> windowed spans [S, 2 * size], to be added."""
    turned = coefficients @ cosines
    a, b = turned[:, : size // 2], turned[:, size // 2 :]
    spans = np.empty((len(turned), 2 * size), np.float32)
    quarter = size // 2
    spans[:, :quarter] = b
    np.negative(b[:, ::-1], out=spans[:, quarter:size])
    np.negative(a[:, ::-1], out=spans[:, size : size + quarter])
    np.negative(a, out=spans[:, size + quarter :])
    spans *= tables.sine_window(size)
    return spans
