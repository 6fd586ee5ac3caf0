"""The second channel of a pair: predicted from the main channel (`stereo`), and what that leaves by waveform codes.

A frame's first code is the parameters'. With it those of the frame stereo.AHEAD earlier are known, and of that frame
the other codes are: of second - alpha * main, flattened by the envelope rho * main's. The decoder's network lags by as
much. So nobody waits for it; the last frames of a recording have parameters only.

Shapes: T frames, S sub-frames, B bands, F coefficients, L values of a frame that the waveform codebooks quantize.
"""

import numpy as np
from numpy.typing import NDArray

from rvqcodec.models.rvq44 import stereo
from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.delay import Delay
from rvqcodec.models.rvq44.scales import Scales
from rvqcodec.models.rvq44.tables import Floats

RHO_STEPS = 16  # a radian, in which rho is looked up: a table makes the envelope the same on every machine
QUIETEST = 3  # step of the least rho whose envelope is used: -14 dB
SILENT = 1e-9  # power of a second channel against the main one's below which it needs no code


class Rest:
    """The envelope of what parameters leave of the second channel, against the main channel's."""

    def __init__(self, config: Config) -> None:
        angle = (np.arange(int(stereo.STEEPEST * RHO_STEPS) + 1) + 0.5) / RHO_STEPS
        step = config.envelope_step
        self._bands = config.bands
        self._table = (np.rint(config.envelope_scale * np.log(np.tan(angle)) / step) * step).astype(np.float32)

    def __call__(self, values: Floats) -> Floats:
        """Parameters [T, 2 B] -> what to add to the main channel's quantized envelope [T, B]."""
        index = np.floor(values[:, self._bands :] * RHO_STEPS).astype(np.int64)
        found: Floats = self._table[np.clip(index, QUIETEST, len(self._table) - 1)]
        return found


class PairEncoder:
    """Finds the codes of parameters, and the latents of what they leave."""

    def __init__(self, scales: Scales, table: Floats) -> None:
        """table [codebook_size, 2 B]: of the parameters."""
        c = scales.config
        self._scales, self._rest = scales, Rest(c)
        self._weights = np.ascontiguousarray(scales.tables.band_weights[: c.coefficients])
        self._spread = np.ascontiguousarray(self._weights.T)
        self._encoder, self._decoder = stereo.StereoEncoder(table), stereo.StereoDecoder(table)
        self._earlier: list[Delay[Floats]] = [Delay(stereo.AHEAD * c.frame_sub_frames) for _ in range(3)]
        self._sounds = np.zeros(stereo.AHEAD, np.bool_)  # frames whose second channel is not silent

    def push(
        self, quantized: Floats, main: Floats, second: Floats
    ) -> tuple[stereo.Codes, NDArray[np.bool_], Floats, Floats]:
        """The main channel's quantized envelope [S, B], MDCT coefficients of both [S, F] -> four arrays.

        Codes [T], which frames need none [T]; of the frames AHEAD earlier: quantized envelope [S, B], latents [T, L].
        """
        scales = self._scales
        powers = stereo.covariances(main, second, self._weights, scales.config.frame_sub_frames)
        codes = self._encoder.push(powers)
        values = self._decoder.push(codes)
        sounds = np.concatenate([self._sounds, powers[2].sum(1) > SILENT * powers[0].sum(1)])
        self._sounds = sounds[len(codes) :]
        needless = (codes == 0) & ~sounds[: len(codes)] & ~sounds[stereo.AHEAD :]
        envelope, ours, theirs = (
            delay.push(x) for delay, x in zip(self._earlier, (quantized, main, second), strict=True)
        )
        rest = envelope + scales.each(self._rest(values))
        alpha, _ = stereo.spread(values, self._spread)
        latents = scales.waveform_latent(rest, rest, theirs - scales.each(alpha) * ours)
        return codes, needless, rest, latents
