"""A small codec of pairs for tests: the transform codec that training starts from, its tables from made-up sounds."""

import functools
from dataclasses import replace

import numpy as np
import recording
import torch
from numpy.typing import NDArray
from tinycodec import in_numpy

from rvqcodec.codec.decoding import Decoder, Span
from rvqcodec.codec.encoding import Encoder
from rvqcodec.container import Chunk, Header
from rvqcodec.models.rvq44.config import NEW
from rvqcodec.models.rvq44.family import Rvq44
from rvqcodec.models.rvq44.network import Network
from rvqcodec.training import synthetic
from rvqcodec.training.from_data import start_from_data
from rvqcodec.training.stereo import LENGTH, covariances, fit

CONFIG = replace(
    NEW,
    dim=32,
    expansion=1,
    max_n_q=12,
    codebook_size=256,
    codebook_dim=16,
    wide_codebooks=1,
    wide_dim=32,
    carrier_length=64,
)
RATE = CONFIG.sample_rate
Samples = NDArray[np.float32]


def noise(n: int, seed: int = 0, channels: int = 2) -> Samples:
    return np.random.default_rng(seed).normal(0, 0.1, (channels, n)).astype(np.float32)


def shaped(seed: int, n: int = 4 * RATE) -> Samples:
    """[2, n]: noises that are partly alike, with a balance and a coherence that change with frequency and time."""
    rng = np.random.default_rng(seed)
    spectra = np.fft.rfft(noise(n, seed, 3))
    position = np.linspace(0, 1, spectra.shape[1])
    curves = [10 ** (np.interp(position, np.linspace(0, 1, 6), rng.normal(0, 6, 6)) / 20) for _ in range(4)]
    left = curves[0] * spectra[0] + curves[1] * spectra[1]
    right = curves[2] * spectra[0] + curves[3] * spectra[2]
    swell = 1 + 0.8 * np.sin(np.arange(n) / RATE * rng.uniform(1, 6))
    return (np.fft.irfft(np.stack([left, right]), n) * np.stack([swell, swell[::-1]])).astype(np.float32) * 0.2


@functools.cache
def network() -> Network:
    """Shared: not to be changed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Network(CONFIG).eval().requires_grad_(False)
        n = (84 + 2) * CONFIG.sub_frame
        crops = [_crops(n, index) for index in range(2)]
        start_from_data(made, crops.__getitem__, 1, 0, 100)
        made.stereo_table.copy_(table())
    return made


@functools.cache
def table() -> torch.Tensor:
    """A pair's parameters, of made noises: float32 [codebook_size, 2 * bands], not to be changed."""
    n = (LENGTH * CONFIG.frame_sub_frames + 2) * CONFIG.sub_frame
    pairs = torch.from_numpy(np.stack([shaped(i, n) for i in range(24)]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return fit(covariances(Network(CONFIG), pairs), CONFIG.codebook_size, rounds=6, steps=0)


def _crops(n: int, index: int) -> torch.Tensor:
    """[32, n]: of a voice and of music, made noises and tones."""
    rng = np.random.default_rng(index)
    long = np.concatenate([recording.voice(4.0, seed=index)[None], recording.music(4.0, seed=index)])
    starts = rng.integers(0, long.shape[1] - n, 24)
    cut = [long[i % 3, start : start + n] for i, start in enumerate(starts)]
    made = [synthetic.sound(n, RATE, rng) for _ in range(8)]
    return torch.from_numpy(np.stack([*cut, *made]).astype(np.float32))


@functools.cache
def model() -> Rvq44:
    return Rvq44(in_numpy(network()))


def encode(samples: Samples, total: int, *, frames: int = 32, cuts: int = 1) -> tuple[Header, list[Chunk]]:
    """[C, n] in so many pieces -> header and chunks of `frames` frames, `total` codes a frame."""
    header = Header.of(
        model().facts, sample_rate=RATE, channels=len(samples), total_n_q=total, n_samples=samples.shape[1],
        frames_per_chunk=frames,
    )  # fmt: skip
    encoder = Encoder(model(), header)
    chunks = [chunk for piece in np.array_split(samples, cuts, 1) for chunk in encoder.push(piece)]
    return header, [*chunks, *encoder.flush()]


def decode(header: Header, chunks: list[Chunk]) -> Samples:
    decoder = Decoder(model(), header, Span(header))
    parts = [decoder.push(chunk) for chunk in chunks]
    return np.concatenate([*parts, *decoder.flush(header.n_samples)], 1)


def decibels(samples: Samples) -> float:
    """Mean power."""
    return float(10 * np.log10(np.square(samples, dtype=np.float64).mean() + 1e-20))
