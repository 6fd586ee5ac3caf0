"""The second channel of a pair from the main one's sub-frames and its own codes (`pairing`), in a stream."""

import numpy as np

from rvqcodec.models.rvq44 import stereo, tables
from rvqcodec.models.rvq44.cpu.head import Missing, Overlap
from rvqcodec.models.rvq44.cpu.lookup import Quantizer
from rvqcodec.models.rvq44.delay import Delay
from rvqcodec.models.rvq44.engine import Counts
from rvqcodec.models.rvq44.pairing import Rest
from rvqcodec.models.rvq44.scales import Scales, by_sub_frame
from rvqcodec.models.rvq44.tables import Floats
from rvqcodec.models.rvq44.timing import WAIT
from rvqcodec.types import Codes


class Unlike:
    """Makes of the main channel's sound one that is as loud everywhere, at every moment, and has nothing in common.

    Each coefficient's phase is turned by 90 degrees, forward or back (`tables.TURNS`): the modified discrete sine
    transform of the main channel's sound. Noise of the same envelope would be heard beside tones, and its level wavers
    against the main channel's.
    """

    def __init__(self, size: int) -> None:
        self._size, self._sines, self._window = size, tables.turned_sines(size), tables.sine_window(size)

    def __call__(self, sound: Floats) -> Floats:
        """sound [S + 1, sub_frame] -> coefficients [S, sub_frame] of every two that follow one another."""
        half = self._size // 2
        early, late = sound[:-1] * self._window[: self._size], sound[1:] * self._window[self._size :]
        folded = np.empty_like(early)
        np.subtract(late[:, :half][:, ::-1], late[:, half:], out=folded[:, :half])
        np.add(early[:, :half], early[:, half:][:, ::-1], out=folded[:, half:])
        found: Floats = folded @ self._sines
        return found


class PairDecoder:
    """Main coefficients and the second channel's codes -> coefficients of the second, WAIT frames later."""

    def __init__(self, scales: Scales, table: Floats, waveform: Quantizer, missing: Missing) -> None:
        c = scales.config
        self._scales, self._waveform, self._missing, self._rest = scales, waveform, missing, Rest(c)
        self._decoder, self._unlike = stereo.StereoDecoder(table), Unlike(c.sub_frame)
        self._delays: list[Delay[Floats]] = [Delay(WAIT * c.frame_sub_frames) for _ in range(4)]
        self._now = np.zeros(2 * c.bands, np.float32)  # parameters of the frame before
        self._sound = np.zeros((WAIT * c.frame_sub_frames, c.sub_frame), np.float32)  # of the main channel
        self._overlap = Overlap(c.sub_frame)

    def push(self, main: Floats, envelope: Floats, codes: Codes, n_q: Counts) -> tuple[Floats, Floats, Floats]:
        """main [S, sub_frame], envelope [S, B]: of the main channel, AHEAD frames before those of the second channel's
        codes [K, T], of which n_q [T] count. Gives coefficients of both and the sound of the main one.
        """
        scales, c = self._scales, self._scales.config
        first = np.where(n_q > 0, codes[0], 0).astype(np.uint16) if len(codes) else np.zeros(len(n_q), np.uint16)
        values = self._decoder.push(first)
        quantized = envelope + scales.each(self._rest(values))
        packed = by_sub_frame(self._waveform.decode(codes[1:], n_q - 1), c.frame_sub_frames)
        coded = scales.unpacked(packed[:, c.bands :], quantized)
        coded *= scales.scale(scales.amplitude(quantized))
        steady, _ = stereo.spread(values, scales.spread[:, : c.coefficients])
        steady = scales.each(steady) * (coded != 0)
        moving, self._now = stereo.by_sub_frame(self._now, values), values[-1]
        rows = (delay.push(x) for delay, x in zip(self._delays, (main, moving, coded, steady), strict=True))
        sound = np.concatenate([self._sound, self._overlap(main)])
        self._sound = sound[len(main) :].copy()
        main, moving, coded, steady = rows
        second = self._second(main, sound[: len(main) + 1], moving, coded, steady)
        return main, second, sound[: len(main)]

    def _second(self, main: Floats, sound: Floats, values: Floats, coded: Floats, steady: Floats) -> Floats:
        """All of the same sub-frames: parameters [S, 2 B], the coded rest, and alpha where it was coded."""
        count = coded.shape[1]
        alpha, rho = stereo.spread(values, self._scales.spread)
        rho *= self._unlike(sound)
        wanted = self._missing.smoothed(rho * rho)
        power = np.zeros_like(wanted)
        np.multiply(coded, coded, out=power[:, :count])
        missing = self._missing(wanted, power)
        missing /= wanted + np.float32(1e-12)
        rho *= np.sqrt(np.minimum(missing, 1, out=missing))
        known = coded != 0
        alpha[:, :count][known] = steady[known]
        alpha *= main
        alpha += rho
        alpha[:, :count] += coded
        return alpha
