"""What follows the decoder's blocks, one channel: coefficients, noise where power is missing, sound."""

import numpy as np

from rvqcodec.models.rvq44 import tables
from rvqcodec.models.rvq44.cpu.weights import Weights
from rvqcodec.models.rvq44.onsets import inverse
from rvqcodec.models.rvq44.scales import Scales
from rvqcodec.models.rvq44.tables import Floats, Places


class Head:
    """Of one model; several threads may share it."""

    def __init__(self, weights: Weights, scales: Scales) -> None:
        c = weights.config
        made = scales.tables
        self.config, self._scales = c, scales
        self._direct, self._carrier = weights["decoder_direct"], weights["decoder_carrier"]
        # The gain is smooth over neighbouring coefficients: so are the weights that give it.
        noise = np.concatenate([weights["decoder_noise.weight"], weights["decoder_noise.bias"][:, None]], 1)
        noise = means(noise, *made.noise_spans)
        self._noise_bias = np.ascontiguousarray(noise[:, -1])
        self._out = np.ascontiguousarray(np.concatenate([weights["decoder_out.weight"], noise[:, :-1]]).T)
        low, high = made.noise_gains
        with np.errstate(divide="ignore"):
            self._low, self._range = low + np.log(made.audible), high - low
        self.missing = Missing(scales)

    def coefficients(self, x: Floats, coded: Floats, envelope: Floats, first: int, channel: int) -> Floats:
        """Output of the blocks [S, dim], unpacked coefficients [S, coefficients], envelope [S, B] -> [S, sub_frame].

        MDCT coefficients, noise added. first: position of the first sub-frame in the recording.
        """
        c, scales = self.config, self._scales
        out = x @ self._out
        gain = out[:, c.bands + c.coefficients :]
        gain += self._noise_bias
        np.negative(gain, out=gain)
        np.exp(gain, out=gain)
        gain += np.float32(1)
        np.divide(self._range, gain, out=gain)
        gain += self._low
        np.exp(gain, out=gain)
        # Only what was coded: elsewhere the network would put lines that do not move, a comb in place of noise.
        flat = coded * self._direct
        flat += out[:, c.bands : c.bands + c.coefficients]
        flat *= coded != 0
        found = np.zeros((len(x), c.sub_frame), np.float32)
        np.multiply(flat, scales.scale(scales.amplitude(envelope)), out=found[:, : c.coefficients])
        largest = np.float32(tables.LARGEST_CORRECTION)
        wanted = scales.amplitude(envelope + largest * np.tanh(out[:, : c.bands] / largest))
        wanted *= wanted
        missing = self.missing(wanted, found * found)
        missing += np.float32(1e-14)
        np.sqrt(missing, out=missing)
        gain *= missing
        gain *= self.carrier(first, len(x), channel)
        found += gain
        return found

    def carrier(self, first: int, count: int, channel: int) -> Floats:
        """Noise [count, sub_frame] of a coded channel for sub-frames first .. first + count - 1.

        It repeats after `config.carrier_length` sub-frames; the second coded channel is half of that away from the
        first, the next two an eighth from these, and so on, so that none of eight has the noise of another.
        """
        length = len(self._carrier)
        begin = first + (channel % 2 * 4 + channel // 2) * length // 8
        found: Floats = self._carrier[np.arange(begin, begin + count) % length]
        return found


class Missing:
    """Power that is missing where coefficients should have more than is coded of it."""

    def __init__(self, scales: Scales) -> None:
        c = scales.config
        self._bands, self._spread = scales.tables.band_weights, scales.spread
        half = c.smooth_window // 2
        self._half, self._smooth = half, scales.tables.smooth[1 : half + 1]

    def __call__(self, wanted: Floats, power: Floats) -> Floats:
        """Power that coefficients should have, and what is coded of it [S, sub_frame] -> power that is missing.

        It lies where little is coded, and is in a band never more than the band lacks: so a tone that is coded gets no
        noise around it, and noise gets all its power.
        """
        empty = wanted - self.smoothed(power)
        np.maximum(empty, 0, out=empty)
        lacking = (wanted - power) @ self._bands
        np.maximum(lacking, 0, out=lacking)
        lacking /= empty @ self._bands + np.float32(1e-12)
        empty *= np.minimum(lacking, 1) @ self._spread
        return empty

    def smoothed(self, power: Floats) -> Floats:
        """[S, sub_frame] -> the same, averaged over neighbouring coefficients (Hann window)."""
        rows, size = power.shape
        half = self._half
        wide = np.zeros((rows, size + 2 * half - 1), np.float32)
        wide[:, half - 1 : half - 1 + size] = power
        sums, pair = np.zeros_like(power), np.empty_like(power)
        for i, weight in enumerate(self._smooth):  # the window is a periodic one: 0, then pairs of equal weight
            np.add(wide[:, i : i + size], wide[:, 2 * half - 1 - i :][:, :size], out=pair)
            pair *= weight
            sums += pair
        return sums


def means(x: Floats, first: Places, end: Places) -> Floats:
    """[n, m] -> [n, m]: row i becomes the mean of rows first[i] .. end[i] - 1."""
    sums = np.concatenate([np.zeros_like(x[:1], np.float64), x.cumsum(0, np.float64)])
    found: Floats = ((sums[end] - sums[first]) / (end - first)[:, None]).astype(np.float32)
    return found


class Overlap:
    """Inverse transform of sub-frames in a stream, one channel."""

    def __init__(self, size: int) -> None:
        self._size, self._cosines = size, tables.cosines(size)
        self._tail = np.zeros(size, np.float32)

    def __call__(self, coefficients: Floats) -> Floats:
        """coefficients [S, sub_frame] -> samples [S, sub_frame]; each row needs the sub-frame before, which is kept."""
        spans = inverse(coefficients, self._cosines, self._size)
        samples = spans[:, : self._size]
        samples[0] += self._tail
        samples[1:] += spans[:-1, self._size :]
        self._tail = spans[-1, self._size :].copy()
        return samples
