"""What encoder and decoder both find from a quantized envelope: amplitudes, scales, which coefficients are coded.

Of one channel; shapes: S sub-frames, T frames (S = sub_frames * T), B bands, F coefficients.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rvqcodec.models.rvq44 import tables
from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.tables import Floats

Places = NDArray[np.int64]
Rows = TypeVar("Rows", bound=NDArray[Any])


def power(x: Floats, exponent: float) -> Floats:
    """x ** exponent, at once where it is the usual one half or 1."""
    if exponent == 1:
        return x
    found: Floats = np.sqrt(x) if exponent == 0.5 else x ** np.float32(exponent)
    return found


def by_frame(x: Floats, sub_frames: int) -> Floats:
    """[S, D] -> [T, sub_frames * D]: the sub-frames of a frame side by side."""
    return x.reshape(-1, sub_frames * x.shape[1])


def by_sub_frame(x: Floats, sub_frames: int) -> Floats:
    """The inverse of `by_frame`."""
    return x.reshape(-1, x.shape[1] // sub_frames)


class Scales:
    """Amplitudes and order of coefficients, of one architecture and one mean envelope [B]."""

    def __init__(self, config: Config, mean: Floats) -> None:
        made = tables.of(config)
        self.config, self.mean, self.tables = config, mean, made
        self.spread = np.ascontiguousarray(made.band_weights.T)  # from bands to coefficients
        self.importance = made.importance[: config.coefficients]
        self._offsets = made.block_offsets(mean)
        self._weights = self.importance**2 / np.float32(config.frame_sub_frames * config.coded_coefficients)

    def logarithms(self, envelope: Floats) -> Floats:
        """envelope [S, B] -> logarithms of the bands' amplitudes [S, B], within their limits."""
        c = self.config
        found: Floats = envelope * np.float32(1 / c.envelope_scale) + self.mean
        np.clip(found, c.log_amplitude_least, c.log_amplitude_most, out=found)
        return found

    def amplitude(self, envelope: Floats) -> Floats:
        """envelope [S, B] -> amplitude per coefficient [S, F]."""
        found: Floats = self.logarithms(envelope) @ self.spread
        np.exp(found, out=found)
        return found

    def scale(self, amplitude: Floats) -> Floats:
        """amplitude [S, F] -> what a flattened coefficient of 1 is worth [S, coefficients].

        A^(1-p) times the frame's level: the level makes the waveform codebooks serve loud and quiet alike.
        """
        c = self.config
        level = self.frame_level(amplitude)
        worth = power(level, c.level_exponent) / np.float32(c.flat_rms)
        found: Floats = power(amplitude[:, : c.coefficients], 1 - c.flatten_exponent) * self.each(worth)[:, None]
        return found

    def frame_level(self, amplitude: Floats) -> Floats:
        """amplitude [S, F] -> level of frames [T], by which their coefficients are divided."""
        c = self.config
        powers = power(amplitude[:, : c.coefficients], 2 * c.flatten_exponent) @ self._weights
        found: Floats = np.sqrt(powers.reshape(-1, c.frame_sub_frames).sum(1)) + np.float32(c.level_floor)
        return found

    def each(self, frames: Rows) -> Rows:
        """What holds for frames [T, ...], for each of their sub-frames [S, ...]."""
        found: Rows = np.repeat(frames, self.config.frame_sub_frames, 0)  # type: ignore[assignment]
        return found

    def places(self, quantized: Floats) -> Places:
        """quantized envelope [S, B] -> int64 [T, coded_coefficients]: which coefficients are coded, largest first.

        A fixed order would leave everything above some 3 kHz to noise, however loud it is. Encoder and decoder must
        agree on every machine, so sizes are multiples of envelope_step * share_step, which float64 holds exactly.
        """
        c = self.config
        whole = np.rint(quantized.astype(np.float64) / c.envelope_step) * c.envelope_step
        levels = whole.reshape(-1, c.frame_sub_frames, c.bands).sum(1)
        sizes = levels @ self.tables.shares + self._offsets
        blocks = np.argsort(-sizes, axis=1, kind="stable")[:, : c.coded_coefficients // c.block_size]
        found: Places = (blocks[..., None] * c.block_size + np.arange(c.block_size)).reshape(len(blocks), -1)
        return found

    def waveform_latent(self, envelope: Floats, quantized: Floats, coefficients: Floats) -> Floats:
        """Envelope, quantized envelope [S, B], coefficients [S, coefficients] -> [T, sub_frames * latent_dim].

        What the quantized envelope leaves over of the envelope, and the flattened coefficients that are coded.
        """
        c = self.config
        limit = np.float32(tables.FLAT_LIMIT * c.flat_rms) / self.importance
        flat = coefficients / self.scale(self.amplitude(quantized))
        np.clip(flat, -limit, limit, out=flat)
        flat *= self.importance
        coded = np.take_along_axis(flat, self.each(self.places(quantized)), 1)
        return by_frame(np.concatenate([envelope - quantized, coded], 1), c.frame_sub_frames)

    def unpacked(self, coded: Floats, quantized: Floats) -> Floats:
        """What `waveform_latent` says of coefficients [S, coded_coefficients], where they belong [S, coefficients].

        Coefficients that were not coded are zero.
        """
        found = np.zeros((len(coded), self.config.coefficients), np.float32)
        np.put_along_axis(found, self.each(self.places(quantized)), coded, 1)
        found /= self.importance
        return found
