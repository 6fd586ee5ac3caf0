"""How much of their codebooks' entropy the codes use, codebook by codebook, over a folder of audio."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rvqcodec.errors import AudioError
from rvqcodec.models.interface import Model
from rvqcodec.training.data import mapped

EXCERPT_SECONDS = 5
SIDE_BY_SIDE = 16  # excerpts that are encoded together


@dataclass(frozen=True)
class Usage:
    """Entropy of each codebook's codes in bits, at most `code_bits`, measured over `frames` frames."""

    entropy: tuple[float, ...]
    unused: tuple[int, ...]  # entries that no frame chose
    code_bits: int
    frames: int


def entropy(counts: npt.NDArray[np.int64]) -> float:
    """Entropy in bits of the distribution that counts of at least one event stand for."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def excerpts(arrays: Sequence[Path], seconds: float | None, sample_rate: int) -> list[tuple[Path, int]]:
    """Array and first sample of excerpts of EXCERPT_SECONDS, `seconds` in all (None: everything), spread evenly.

    They are short: the entropy of few long ones is that of few sounds.
    """
    ends = np.cumsum([mapped(a).shape[1] for a in arrays])
    whole = float(ends[-1] / sample_rate)
    count = max(1, round(min(seconds or whole, whole) / EXCERPT_SECONDS))
    found = []
    for i in range(count):
        at = int(ends[-1] * (i + 0.5) / count)
        which = int(np.searchsorted(ends, at, "right"))
        begin = int(ends[which - 1]) if which else 0
        last = max(0, int(ends[which]) - begin - EXCERPT_SECONDS * sample_rate)
        found.append((arrays[which], min(at - begin, last)))
    return found


def read(array: Path, begin: int, sample_rate: int) -> npt.NDArray[np.float32]:
    """An excerpt as mono [EXCERPT_SECONDS * sample_rate]; a shorter file is repeated."""
    n = EXCERPT_SECONDS * sample_rate
    piece = mapped(array)[:, begin : begin + n].mean(0, dtype=np.float32) / 32768
    return np.asarray(np.pad(piece, (0, n - len(piece)), mode="wrap"), np.float32)


def measure_usage(
    model: Model,
    arrays: Sequence[Path],
    *,
    seconds: float | None,
    shown: Callable[[int, int], None] = lambda done, total: None,
) -> Usage:
    """Encode cached arrays (see `data.build_cache`) with all codebooks and count the codes; `seconds` as `excerpts`."""
    facts = model.facts
    if not arrays:
        raise AudioError("no audio to count codes over")
    chosen = excerpts(arrays, seconds, facts.model_rate)
    counts = np.zeros((facts.max_n_q, 1 << facts.code_bits), np.int64)
    frames = 0
    for begin in range(0, len(chosen), SIDE_BY_SIDE):
        shown(begin, len(chosen))
        group = np.stack([read(*one, facts.model_rate) for one in chosen[begin : begin + SIDE_BY_SIDE]])
        encoder = model.encoder(len(group))
        encoder.push(group, more=True)
        encoder.flush()
        codes = encoder.codes(np.full((len(group), encoder.ready), facts.max_n_q))
        frames += codes.shape[0] * codes.shape[2]
        for k in range(facts.max_n_q):
            counts[k] += np.bincount(codes[:, k].ravel(), minlength=1 << facts.code_bits)
    return Usage(
        entropy=tuple(entropy(row) for row in counts),
        unused=tuple(int((row == 0).sum()) for row in counts),
        code_bits=facts.code_bits,
        frames=frames,
    )
