"""Codes and the samples they stand for, gathered into chunks; how channels and frames share a chunk's codes."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from rvqcodec.codes.filling import filled
from rvqcodec.container import Allocation, Chunk, Header
from rvqcodec.container.allocation import MAX_DEMAND, MAX_WEIGHT, SHARES, n_q
from rvqcodec.container.chunks import MID_SIDE_ANGLE
from rvqcodec.models.interface import Encoder
from rvqcodec.types import Samples

# A coded channel is silent in a chunk when its mean square is below -90 dBFS and 80 dB below the loudest's.
SILENCE, SILENCE_BESIDE = 1e-9, 1e-8


class Chunker:
    """Gathers frames and the energies of the samples they stand for into chunks, the same for any cutting."""

    def __init__(
        self, header: Header, encoder: Encoder, angle: Callable[[int], int] | None = None, *, constant: bool = False
    ) -> None:
        """angle: of a chunk, by its number, where stereo is turned. constant: all frames of a chunk get the same."""
        self._header, self._encoder, self._angle, self._constant = header, encoder, angle, constant
        self._n_coded = header.coded_channels
        self._energies = np.zeros((self._n_coded, 0))
        # Frame f stands for the samples from f * hop - pre_skip: so the signal begins with pre_skip zeros.
        self._samples = np.zeros((self._n_coded, header.pre_skip), np.float32)
        self._frame = self._chunk_number = 0

    def push(self, samples: Samples, *, more: bool = False) -> Iterator[Chunk]:
        """Take coded channels at the model's rate [C, n]; give the chunks that are full."""
        self._measure(samples)
        self._encoder.push(samples, more=more)
        return self._chunks(self._header.frames_per_chunk)

    def flush(self) -> Iterator[Chunk]:
        """Give the chunks that are left, the last of them maybe shorter."""
        self._measure(np.zeros((self._n_coded, self._header.hop), np.float32))  # the last frame may reach beyond
        self._encoder.flush()
        return self._chunks(1)

    def _measure(self, samples: Samples) -> None:
        hop = self._header.hop
        samples = np.concatenate([self._samples, samples], axis=1)
        frames = samples.shape[1] // hop
        whole = samples[:, : frames * hop].reshape(self._n_coded, frames, hop).astype(np.float64)
        self._energies = np.concatenate([self._energies, (whole * whole).sum(axis=2)], axis=1)
        self._samples = samples[:, frames * hop :]

    def _chunks(self, least: int) -> Iterator[Chunk]:
        """Chunks of at least so many frames."""
        while self._encoder.ready >= least:
            frames = min(self._header.frames_per_chunk, self._encoder.ready)
            energies, self._energies = self._energies[:, :frames], self._energies[:, frames:]
            yield self._chunk(frames, energies.sum(axis=1) / (frames * self._header.hop))

    def _chunk(self, frames: int, mean_square: NDArray[np.float64]) -> Chunk:
        demand = self._encoder.demands(frames)
        constant = self._constant or demand is None
        if demand is None:
            demand, live = np.full((self._n_coded, frames), MAX_DEMAND, np.uint8), np.ones(self._n_coded, np.bool_)
        else:
            live = np.asarray(demand.any(1)) if self._angle else audible(mean_square)
        found = allocate(self._header, demand, live, constant=constant)
        codes = self._encoder.codes(n_q(self._header.limits, found, frames))
        angle = self._angle(self._chunk_number) if self._angle else MID_SIDE_ANGLE
        chunk = Chunk.of(self._header, self._frame, found, list(codes), angle)
        if self._header.budget:
            chunk = filled(self._header, chunk)
        self._frame, self._chunk_number = self._frame + frames, self._chunk_number + 1
        return chunk


def audible(mean_square: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which coded channels of a chunk are to have codes, bool [C], from their mean squares. One alone always has."""
    if len(mean_square) == 1:
        return np.ones(1, np.bool_)
    heard: NDArray[np.bool_] = (mean_square >= SILENCE) | (mean_square > SILENCE_BESIDE * mean_square.max())
    return heard


def allocate(
    header: Header, demand: NDArray[np.uint8], live: NDArray[np.bool_], *, constant: bool = False
) -> Allocation:
    """What a chunk says of demands uint8 [C, T]: as many codes as the header allows and the live channels can take.

    constant: each channel's mean share stands for all its frames.
    """
    frames = demand.shape[1]
    if constant:
        shares = np.array(SHARES)[demand].mean(1) * live
        weights = np.rint(MAX_WEIGHT * shares / max(1, shares.max())).clip(live, MAX_WEIGHT).astype(int)
        wanted = Allocation(total=0, weights=tuple(weights.tolist()))
    else:
        rows = tuple(row.tobytes() if on else b"" for row, on in zip(demand, live, strict=True))
        wanted = Allocation(total=0, weights=tuple(int(on) for on in live), demand=rows)
    total = min(header.total_n_q * frames, wanted.capacity(header.limits, frames))
    return Allocation(total=total, weights=wanted.weights, demand=wanted.demand)
