"""Distances between the spectrograms of two recordings, as the DAC paper defines them, in numpy."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rvqcodec.types import Samples

MODEL_RATE = 44100
SCALES = ((2048, 150), (512, 80))  # windows and mel bands of the DAC paper's evaluation
FLOOR = 1e-5  # magnitudes below are not told apart
BLOCK_SAMPLES = 1 << 17  # spectra are taken in blocks of about this many samples: memory does not grow


def mel_bank(window: int, bands: int, sample_rate: int) -> NDArray[np.float32]:
    """Triangular mel filters, Slaney's scale and area norm: [window // 2 + 1, bands]."""
    top = sample_rate / 2
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(top), bands + 2))
    bins = np.linspace(0.0, top, window // 2 + 1)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rise = (bins - low) / (centre - low)
    fall = (high - bins) / (high - centre)
    return (np.maximum(0.0, np.minimum(rise, fall)) * 2.0 / (high - low)).astype(np.float32)


def _hz_to_mel(hertz: float) -> float:
    return 15.0 + np.log(hertz / 1000.0) * 27.0 / np.log(6.4) if hertz >= 1000.0 else hertz * 3.0 / 200.0


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel >= 15.0, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)), mel * 200.0 / 3.0)


@lru_cache(maxsize=8)
def _cached_bank(window: int, bands: int, sample_rate: int) -> NDArray[np.float32]:
    return mel_bank(window, bands, sample_rate)


@lru_cache(maxsize=8)
def _hann(window: int) -> NDArray[np.float32]:
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(window) / window)).astype(np.float32)


def magnitudes(samples: Samples, window: int, *, reflect: bool = True) -> Iterator[NDArray[np.float32]]:
    """STFT magnitudes of `samples` [n] in blocks [frames, window // 2 + 1], hop a quarter of the window.

    Frames are centred and the ends reflected, as torch.stft does: needs more than window // 2 samples. With
    `reflect` off, only frames that lie whole in the samples (a reflected end is a kink, heard in every band).
    """
    hop = window // 4
    padded = np.asarray(samples, np.float32)
    if reflect:
        padded = np.pad(padded, window // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    step = max(1, BLOCK_SAMPLES // hop)
    taper = _hann(window)
    for start in range(0, len(frames), step):
        yield np.abs(np.fft.rfft(frames[start : start + step] * taper, axis=1)).astype(np.float32)


def _scale_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Sum of |log10 a^2 - log10 b^2| + |a - b| over all entries."""
    log_a, log_b = np.log10(np.maximum(a, FLOOR)), np.log10(np.maximum(b, FLOOR))
    return 2.0 * float(np.abs(log_a - log_b).sum(dtype=np.float64)) + float(np.abs(a - b).sum(dtype=np.float64))


def spectral_distances(reference: Samples, other: Samples, sample_rate: int) -> tuple[float, float, float]:
    """Mel distance, STFT distance and log-spectral distance (dB) of two signals [n] of equal length.

    Mel and STFT distance: for windows of 2048 and 512 (150 and 80 mels) the mean |log10 a^2 - log10 b^2| of
    magnitudes floored at 1e-5, plus the mean |a - b|, summed over the windows (Kumar et al. 2023, their
    evaluation). They are defined at 44.1 kHz. Log-spectral distance: per frame of 2048 the root mean square
    over the bins of the difference of the levels in dB (same floor), then the mean over the frames.
    """
    mel_total = stft_total = log_total = 0.0
    for window, bands in SCALES:
        bank = _cached_bank(window, bands, sample_rate)
        mel_sum = stft_sum = log_sum = 0.0
        frames = 0
        for a, b in zip(magnitudes(reference, window), magnitudes(other, window), strict=True):
            frames += len(a)
            stft_sum += _scale_distance(a, b)
            mel_sum += _scale_distance(a @ bank, b @ bank)
            if window == SCALES[0][0]:
                level = 20.0 * np.log10(np.maximum(a, FLOOR) / np.maximum(b, FLOOR))
                log_sum += float(np.sqrt(np.mean(level**2, axis=1)).sum(dtype=np.float64))
        stft_total += stft_sum / (frames * (window // 2 + 1))
        mel_total += mel_sum / (frames * bands)
        if window == SCALES[0][0]:
            log_total = log_sum / frames
    return mel_total, stft_total, log_total


BAND_HERTZ = 200.0
KEPT_DECIBEL = 20.0  # a band counts as kept when it lost less than this
LOST_BANDS = 5  # in a row that are lost: everything above counts as gone
BAND_FLOOR = 1e-10  # power of a band (full scale: 1) that a 16-bit recording can hold: -100 dB
BAND_RANGE = 1e-9  # a band weaker than this against the strongest holds nothing to keep: -90 dB


def highest_frequencies(reference: Samples, other: Samples, sample_rate: int) -> tuple[float, float]:
    """Highest frequency (Hz) that `reference` [n] holds, and the one up to which `other` [n] kept them.

    Long-term power in bands of 200 Hz: the reference holds a band that is above -100 dB of full scale and
    within 90 dB of its strongest; the other kept it when its own band is at most 20 dB weaker. Kept ends
    where 1 kHz in a row is lost: beyond, a noise floor may stand in for what is gone.
    """
    window = 2048
    power_a, power_b = _long_term_power(reference, window), _long_term_power(other, window)
    band = (np.arange(len(power_a)) * sample_rate / window // BAND_HERTZ).astype(np.int64)
    a, b = np.bincount(band, power_a), np.bincount(band, power_b)
    held = (a > BAND_FLOOR) & (a > a.max() * BAND_RANGE)
    kept = held & (b >= a * 10.0 ** (-KEPT_DECIBEL / 10.0))
    where = np.flatnonzero(held)
    run = 0
    for index in where:
        run = 0 if kept[index] else run + 1
        if run == LOST_BANDS:
            kept[index:] = False
            break
    return _top_edge(held, sample_rate), _top_edge(kept, sample_rate)


def _long_term_power(samples: Samples, window: int) -> NDArray[np.float64]:
    total = np.zeros(window // 2 + 1)
    frames = 0
    for block in magnitudes(samples, window, reflect=False):
        total += np.square(block, dtype=np.float64).sum(axis=0)
        frames += len(block)
    # Scaled so that the bins add up to the mean square of the samples.
    return 2.0 * total / (frames * window * float(np.square(_hann(window)).sum()))


def _top_edge(bands: NDArray[np.bool_], sample_rate: int) -> float:
    where = np.flatnonzero(bands)
    return min(float((where[-1] + 1) * BAND_HERTZ), sample_rate / 2) if len(where) else 0.0
