"""How much of their codebooks' entropy the codes use, codebook by codebook, over a folder of audio."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rvqcodec.errors import AudioError
from rvqcodec.model import Codec
from rvqcodec.stream import StreamEncoder

EXCERPT_SECONDS = 30
SIDE_BY_SIDE = 8  # excerpts that are encoded together


@dataclass(frozen=True)
class Usage:
    """Entropy of each codebook's codes in bits, of the `code_bits` that it could have; over so many frames."""

    entropy: tuple[float, ...]
    unused: tuple[int, ...]  # entries that no frame chose
    code_bits: int
    frames: int


def entropy(counts: npt.NDArray[np.int64]) -> float:
    """Entropy in bits of the distribution that counts of at least one event stand for."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def excerpts(arrays: Sequence[Path], seconds: float, sample_rate: int) -> npt.NDArray[np.float32]:
    """[n, EXCERPT_SECONDS * sample_rate]: about `seconds` of mono sound, spread evenly over all files."""
    tracks = [np.load(a, mmap_mode="r", allow_pickle=False) for a in arrays]
    n = EXCERPT_SECONDS * sample_rate
    ends = np.cumsum([t.shape[1] for t in tracks])
    count = max(1, round(min(seconds, ends[-1] / sample_rate) / EXCERPT_SECONDS))
    found = []
    for i in range(count):
        at = int(ends[-1] * (i + 0.5) / count)
        which = int(np.searchsorted(ends, at, "right"))
        track = tracks[which]
        begin = max(0, min(at - int(ends[which] - track.shape[1]), track.shape[1] - n))
        piece = track[:, begin : begin + n].mean(0, dtype=np.float32) / 32768
        found.append(np.pad(piece, (0, n - len(piece)), mode="wrap"))
    return np.stack(found).astype(np.float32)


def measure_usage(
    codec: Codec,
    arrays: Sequence[Path],
    *,
    seconds: float,
    shown: Callable[[int, int], None] = lambda done, total: None,
) -> Usage:
    """Encode about `seconds` of cached arrays (see `data.build_cache`) with all codebooks and count the codes."""
    config = codec.config
    if not arrays:
        raise AudioError("no audio to count codes over")
    sounds = excerpts(arrays, seconds, config.sample_rate)
    counts = np.zeros((config.max_n_q, config.codebook_size), np.int64)
    frames = 0
    for begin in range(0, len(sounds), SIDE_BY_SIDE):
        shown(begin, len(sounds))
        group = sounds[begin : begin + SIDE_BY_SIDE]
        encoder = StreamEncoder(codec, len(group), config.max_n_q)
        codes = np.concatenate([encoder.push(group), encoder.flush()], 2)
        frames += codes.shape[0] * codes.shape[2]
        for k in range(config.max_n_q):
            counts[k] += np.bincount(codes[:, k].ravel(), minlength=config.codebook_size)
    return Usage(
        entropy=tuple(entropy(row) for row in counts),
        unused=tuple(int((row == 0).sum()) for row in counts),
        code_bits=config.code_bits,
        frames=frames,
    )
