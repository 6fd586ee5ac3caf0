"""Codes and the samples they stand for, gathered into chunks; how loud the coded channels of a chunk are."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rvqcodec.container import Chunk, Header, sharing
from rvqcodec.container.sharing import MID_SILENT, SIDE_SILENT
from rvqcodec.types import Codes, Samples

MAX_BALANCE = 126
# A coded channel is silent in a chunk when its mean square is below -90 dBFS and 80 dB below the other's.
SILENCE, SILENCE_BESIDE = 1e-9, 1e-8


class Chunker:
    """Gathers codes and the energies of the samples they stand for into chunks, the same for any cutting."""

    def __init__(self, header: Header, max_n_q: int) -> None:
        """max_n_q: codebooks that the model has for a coded channel; a larger share is cut down to them."""
        self._header = header
        self._max_n_q = max_n_q
        self._n_coded = header.coded_channels
        self._energies = np.zeros((self._n_coded, 0))
        # Frame f stands for the samples from f * hop - pre_skip: so the signal begins with pre_skip zeros.
        self._samples = np.zeros((self._n_coded, header.pre_skip), np.float32)
        self._codes: Codes | None = None
        self._frame = 0

    @property
    def n_q_needed(self) -> int:
        """How many codebooks any one coded channel may come to use."""
        if self._header.coding == "discrete":
            return self._header.total_n_q // self._n_coded
        return min(self._max_n_q, self._header.total_n_q)

    def push(self, samples: Samples, codes: Codes) -> Iterator[Chunk]:
        """Take coded channels at the model's rate [C, n] and the codes [C, K, T] that became known with them.

        Gives the chunks that are full.
        """
        self._measure(samples)
        self._codes = codes if self._codes is None else np.concatenate([self._codes, codes], axis=2)
        return self._chunks(self._header.frames_per_chunk)

    def flush(self, codes: Codes) -> Iterator[Chunk]:
        """Take the last codes and give the chunks that are left, the last of them maybe shorter."""
        # The last frame may reach beyond the samples.
        yield from self.push(np.zeros((self._n_coded, self._header.hop), np.float32), codes)
        yield from self._chunks(1)

    def _measure(self, samples: Samples) -> None:
        hop = self._header.hop
        samples = np.concatenate([self._samples, samples], axis=1)
        frames = samples.shape[1] // hop
        whole = samples[:, : frames * hop].reshape(self._n_coded, frames, hop).astype(np.float64)
        self._energies = np.concatenate([self._energies, (whole * whole).sum(axis=2)], axis=1)
        self._samples = samples[:, frames * hop :]

    def _chunks(self, least: int) -> Iterator[Chunk]:
        """All chunks that have at least `least` frames."""
        size = self._header.frames_per_chunk
        while self._codes is not None and self._codes.shape[2] >= least:
            part, self._codes = self._codes[:, :, :size], self._codes[:, :, size:]
            frames = part.shape[2]
            energies, self._energies = self._energies[:, :frames], self._energies[:, frames:]
            yield self._chunk(part, energies.sum(axis=1) / (frames * self._header.hop))

    def _chunk(self, codes: Codes, mean_square: npt.NDArray[np.float64]) -> Chunk:
        balance = balance_of(*mean_square) if self._header.coding == "mid-side" else 0
        shares = sharing.shares(self._header.coding, self._header.total_n_q, self._n_coded, balance)
        n_q = tuple(min(share, self._max_n_q) for share in shares)
        parts = tuple(np.ascontiguousarray(codes[c, :k]) for c, k in enumerate(n_q))
        start, self._frame = self._frame, self._frame + codes.shape[2]
        return Chunk(start_frame=start, frames=codes.shape[2], n_q=n_q, balance=balance, codes=parts)


def balance_of(mid: float, side: float) -> int:
    """Level of mid minus level of side in dB from their mean squares; 127 and -128: side or mid is silent."""
    if side < SILENCE and side <= mid * SILENCE_BESIDE:
        return SIDE_SILENT
    if mid < SILENCE and mid <= side * SILENCE_BESIDE:
        return MID_SILENT
    level = 10 * np.log10(mid / side) if mid > 0 and side > 0 else np.inf if mid > 0 else -np.inf
    return int(np.rint(np.clip(level, -MAX_BALANCE, MAX_BALANCE)))
