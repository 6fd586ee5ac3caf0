"""Levels of recordings and of the errors between them: SI-SDR in dB, integrated loudness in LUFS."""

import numpy as np
from numpy.typing import NDArray

from rvqcodec.types import Samples

SI_SDR_LIMIT = 100.0  # dB; a perfect copy would be infinite, which JSON cannot hold
FFT_BLOCK = 1 << 18
SETTLE = 1 << 16  # samples after which the K-weighting has died away (its high-pass at 38 Hz: about 0.2 s)


def si_sdr(reference: Samples, other: Samples) -> float | None:
    """Scale-invariant signal-to-distortion ratio in dB of two signals [n], limited to +-100 dB.

    No mean is removed (Le Roux et al. 2019, without their centring). None when the reference is silent.
    """
    a, b = np.asarray(reference, np.float64), np.asarray(other, np.float64)
    energy = float(a @ a)
    if energy <= 0.0:
        return None
    target = float(a @ b) / energy * a
    signal, error = float(target @ target), float(np.square(b - target).sum())
    smallest = 10.0 ** (-SI_SDR_LIMIT / 10.0)
    if signal <= error * smallest:
        return -SI_SDR_LIMIT
    return SI_SDR_LIMIT if error <= signal * smallest else 10.0 * float(np.log10(signal / error))


def k_weighting(sample_rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two biquads of ITU-R BS.1770-4 for any rate: (b [2, 3], a [2, 3]).

    The standard tabulates them for 48 kHz; these are its analogue prototypes (a shelf of 4 dB at 1682 Hz and
    a high-pass at 38 Hz), taken through the bilinear transform again, as libebur128 does.
    """
    gain, shelf_hertz, shelf_q = 3.999843853973347, 1681.974450955533, 0.7071752369554196
    k = np.tan(np.pi * shelf_hertz / sample_rate)
    high = 10.0 ** (gain / 20.0)
    middle = high**0.4996667741545416
    norm = 1.0 + k / shelf_q + k * k
    slope = middle * k / shelf_q
    shelf_b = np.array([high + slope + k * k, 2 * (k * k - high), high - slope + k * k])
    shelf_a = np.array([norm, 2 * (k * k - 1.0), 1.0 - k / shelf_q + k * k])
    pass_hertz, pass_q = 38.13547087602444, 0.5003270373238773
    k = np.tan(np.pi * pass_hertz / sample_rate)
    norm2 = 1.0 + k / pass_q + k * k
    pass_a = np.array([1.0, 2 * (k * k - 1.0) / norm2, (1.0 - k / pass_q + k * k) / norm2])
    return np.stack([shelf_b / norm, np.array([1.0, -2.0, 1.0])]), np.stack([shelf_a / norm, pass_a])


def _k_weighted(channel: Samples, sample_rate: int) -> NDArray[np.float32]:
    """`channel` [n] through both biquads, by overlap-add in the frequency domain."""
    size = FFT_BLOCK + SETTLE
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    powers = np.stack([np.ones_like(turn), turn, turn * turn])
    b, a = k_weighting(sample_rate)
    response = np.prod((b @ powers) / (a @ powers), axis=0)
    out = np.zeros(len(channel) + SETTLE + FFT_BLOCK, np.float32)
    for start in range(0, len(channel), FFT_BLOCK):
        block = np.fft.rfft(channel[start : start + FFT_BLOCK], size)
        out[start : start + size] += np.fft.irfft(block * response, size).astype(np.float32)
    return out[: len(channel)]


def integrated_loudness(samples: Samples, sample_rate: int) -> float | None:
    """Integrated loudness in LUFS of `samples` [C, n] after ITU-R BS.1770-4, all channels of weight 1.

    Gated in blocks of 400 ms, three quarters overlapping, at -70 LUFS and 10 LU below the mean. None when
    shorter than 400 ms or when nothing passes the gate (silence).
    """
    step = round(0.1 * sample_rate)
    count = samples.shape[-1] // step
    if count < 4:
        return None
    power = np.zeros(count)
    for channel in samples:
        weighted = _k_weighted(channel, sample_rate)[: count * step].reshape(count, step)
        power += np.square(weighted, dtype=np.float64).mean(axis=1)
    blocks = (power[:-3] + power[1:-2] + power[2:-1] + power[3:]) / 4.0
    loud = blocks[blocks > 10.0 ** ((-70.0 + 0.691) / 10.0)]
    if not len(loud):
        return None
    loud = loud[loud > loud.mean() * 0.1]
    return -0.691 + 10.0 * float(np.log10(loud.mean()))
