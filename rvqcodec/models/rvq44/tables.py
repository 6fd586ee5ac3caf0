"""Every table that follows from a `Config` alone: made in float64, rounded once; both engines take theirs from here.

Shapes: F coefficients of a sub-frame, B bands, K blocks of coefficients.
"""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from rvqcodec.models.rvq44.config import Config

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Places = NDArray[np.int64]

POWER_FLOOR = 1e-9  # of a coefficient: about -90 dB below full scale
FLAT_LIMIT = 160  # of a weighted coefficient, in flat_rms: an onset that the envelope missed must not explode
# Limits of what the network may change: it learned to mute noise that it takes for a tone, or whose edges are steep.
NOISE_GAINS, LOW_NOISE_GAINS = (-0.9, 0.4), (-7.0, 0.4)  # logarithms, from 1 kHz on and below
LARGEST_CORRECTION = 0.2  # of the envelope: 3.5 dB
# Hz, and over how many Hz the noise's gain is smooth there: left free, it gathered the noise on a comb; and much of
# what the decoder is trained on was Opus before, whose highest band leaves a step at 15.6 kHz.
NOISE_WIDTHS = (11_000, 640), (13_500, 2400)
# Coefficients in a row whose phase is turned the same way: up to which one, how many. From 3 kHz on the ear cannot
# tell turned from unlike, so that each critical band there has some of either. Tones on a seam waver: few seams below.
TURNS = ((72, 12), (216, 8), (588, 16))


@functools.cache
def cosines(size: int) -> Floats:
    """The DCT-IV [size, size], orthonormal, its own inverse."""
    return _waves(np.cos, size)


@functools.cache
def sine_window(size: int) -> Floats:
    """Of a modified discrete cosine transform [2 * size]: perfect reconstruction by overlap-add."""
    window: Floats = np.sin(math.pi / (2 * size) * (np.arange(2 * size) + 0.5)).astype(np.float32)
    return window


@functools.cache
def turned_sines(size: int) -> Floats:
    """The DST-IV [size, size] whose coefficients are turned forward or back as TURNS says."""
    sign, start, turn = np.ones(size, np.float32), 0, 1
    for end, width in TURNS:
        for i in range(start, min(end, size), width):
            sign[i : i + width] = turn
            turn = -turn
        start = end
    return _waves(np.sin, size) * sign


def _waves(wave: np.ufunc, size: int) -> Floats:
    """wave(pi / size * (i + 0.5) * (j + 0.5)), orthonormal: only 8 * size values differ."""
    values = (wave(math.pi / (4 * size) * np.arange(8 * size)) * math.sqrt(2 / size)).astype(np.float32)
    odd = 2 * np.arange(size) + 1
    found: Floats = values[odd[:, None] * odd % (8 * size)]
    return found


def hann(size: int) -> Floats:
    """A periodic Hann window [size]."""
    window: Floats = (0.5 - 0.5 * np.cos(2 * math.pi / size * np.arange(size))).astype(np.float32)
    return window


def mel(frequency: float) -> float:
    """Hz -> mel (O'Shaughnessy, 1987). `report.metrics` has Slaney's scale, by which its distances are defined."""
    return 2595 * math.log10(1 + frequency / 700)


def mel_to_hz(value: float) -> float:
    """mel -> Hz; the inverse of `mel`."""
    return 700 * (10 ** (value / 2595) - 1)


def band_matrix(*, size: int, bands: int, sample_rate: int, top: float) -> Floats:
    """[size, bands]: triangular mel-spaced bands over MDCT bins; every row sums to 1."""
    centres = [mel_to_hz(i * mel(top) / (bands - 1)) for i in range(bands)]
    matrix = np.zeros((size, bands), np.float32)
    for i in range(size):
        frequency = (i + 0.5) * sample_rate / 2 / size
        j = next((j for j in range(bands) if centres[j] >= frequency), bands)
        if j == bands:
            matrix[i, bands - 1] = 1
        else:  # centres[0] is 0 Hz, so j is at least 1
            share = (frequency - centres[j - 1]) / (centres[j] - centres[j - 1])
            matrix[i, j - 1], matrix[i, j] = 1 - share, share
    return matrix


def position_noise(rows: int, bins: int) -> Floats:
    """[rows, bins]: nearly Gaussian noise of unit variance, the same on every machine and in every version.

    An integer hash (lowbias32, C. Wellons 2018) of the position; the sum of its four bytes. Integer arithmetic
    modulo 2^32, one division.
    """
    h = np.arange(rows * bins, dtype=np.uint32)
    h = (h ^ (h >> 16)) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> 15)) * np.uint32(0x846CA68B)
    h = h ^ (h >> 16)
    total = (h & 255) + ((h >> 8) & 255) + ((h >> 16) & 255) + (h >> 24)
    deviation = np.float32(math.sqrt(4 * (256**2 - 1) / 12))
    noise: Floats = ((total.astype(np.float32) - 510) / deviation).reshape(rows, bins)
    return noise


@functools.cache
def of(config: Config) -> "Tables":
    """The tables of an architecture, made once."""
    return Tables(config)


class Tables:
    """Tables of one `Config`, each made when it is first asked for; not to be changed."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @functools.cached_property
    def frequency(self) -> Floats:
        """Hz of the coefficients [F]."""
        c = self.config
        found: Floats = (np.arange(c.sub_frame, dtype=np.float32) + np.float32(0.5)) * np.float32(c.sample_rate)
        found /= np.float32(2)
        found /= np.float32(c.sub_frame)
        return found

    @functools.cached_property
    def importance(self) -> Floats:
        """How much errors of coefficients count [F]. In float32 throughout: the order of coefficients hangs on it."""
        found: Floats = 1 / (1 + self.frequency / np.float32(self.config.importance_hz))
        return found

    @functools.cached_property
    def band_weights(self) -> Floats:
        """How far a coefficient lies in each band [F, B]."""
        c = self.config
        return band_matrix(size=c.sub_frame, bands=c.bands, sample_rate=c.sample_rate, top=c.top_hz)

    @functools.cached_property
    def analysis_window(self) -> Floats:
        """Of the envelope [2 * sub_frame]."""
        return hann(2 * self.config.sub_frame)

    @functools.cached_property
    def smooth(self) -> Floats:
        """Weights over neighbouring coefficients, of decoded power; their sum is 1."""
        window = hann(self.config.smooth_window)
        window /= window.sum()
        return window

    @functools.cached_property
    def audible(self) -> Floats:
        """Factor of noise [F]: the highest band has no upper end, and what noise adds to silence there nobody hears."""
        share: Floats = ((self.config.top_hz + 500 - self.frequency) / 1000).astype(np.float32)
        return np.clip(share, 0, 1)

    @functools.cached_property
    def noise_gains(self) -> Floats:
        """Least and largest logarithm of the noise's gain [2, F]."""
        limits = [LOW_NOISE_GAINS if f < 1000 else NOISE_GAINS for f in self.frequency.tolist()]
        return np.ascontiguousarray(np.array(limits, np.float32).T)

    @functools.cached_property
    def noise_spans(self) -> tuple[Places, Places]:
        """First coefficient over which the noise's gain is smooth and the one after the last [F]; see `means`.

        None lies above the highest band: no sound that is heard there has taught the network anything.
        """
        c = self.config
        (low, narrow), (high, wide) = NOISE_WIDTHS
        width = np.interp(self.frequency, (low, high), (narrow, wide)) * 2 * c.sub_frame / c.sample_rate
        half, place = np.rint(width / 2).astype(np.int64), np.arange(c.sub_frame)
        most = np.maximum(place + 1, c.coefficient(c.top_hz))
        return np.maximum(place - half, 0), np.minimum(place + half + 1, most)

    @functools.cached_property
    def shares(self) -> Doubles:
        """A block's shares of the bands [B, K], multiples of `share_step`."""
        c = self.config
        blocks = self.band_weights[: c.coefficients].astype(np.float64).reshape(-1, c.block_size, c.bands).mean(1)
        shares: Doubles = np.rint(blocks.T / c.share_step) * c.share_step
        return shares

    @functools.cached_property
    def block_importance(self) -> Doubles:
        """Logarithm of a block's importance [K] in units of the envelope."""
        c = self.config
        blocks = np.log(self.importance[: c.coefficients].astype(np.float64)).reshape(-1, c.block_size).mean(1)
        found: Doubles = blocks * c.envelope_scale / c.flatten_exponent
        return found

    def block_offsets(self, mean: Floats) -> Doubles:
        """What is added to a frame's sizes of blocks [K] before they are sorted; mean [B]: the envelope's."""
        c = self.config
        offset = c.frame_sub_frames * (c.envelope_scale * mean.astype(np.float64) @ self.shares + self.block_importance)
        steps: Doubles = np.rint(offset / c.envelope_step) * c.envelope_step
        return steps

    def check(self) -> None:
        """ValueError for an architecture that these tables or the streams cannot serve."""
        c = self.config
        if c.sub_frame < 2 or c.sub_frame % 2:
            raise ValueError(f"a transform of {c.sub_frame} coefficients: must be even")
        if c.decoder_blocks * c.block_future % c.frame_sub_frames:
            raise ValueError(f"{c.decoder_blocks} blocks: the decoder must lag by whole frames")
        if not 0 < c.envelope_codebooks <= c.max_n_q:
            raise ValueError(f"{c.envelope_codebooks} envelope codebooks of {c.max_n_q}")
        if c.coefficients % c.block_size or c.coded_coefficients % c.block_size:
            raise ValueError(f"coefficients are coded in whole blocks of {c.block_size}")
        if not 0 < c.coded_coefficients <= c.coefficients <= c.sub_frame:
            raise ValueError(f"{c.coded_coefficients} of {c.coefficients} of {c.sub_frame} coefficients")
