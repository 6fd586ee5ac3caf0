"""All codes of a recording as one array, with what it takes to write them as `.rvq` again; no torch."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rvqcodec import files
from rvqcodec.container import Chunk, Damage, Header, Reader, Writer
from rvqcodec.container.sharing import MID_SILENT, SIDE_SILENT, split
from rvqcodec.errors import FormatError


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of one recording.

    header        model id and weights' hash, rates, channels, tags; `header.n_samples` is the exact length
    codes         uint16 [C, K, T]: coded channels (mono: 1; stereo: mid, side), codebooks, frames. Where a
                  chunk has fewer than K codebooks, `absent` (1024 for codes of 10 bits) stands
    chunk_frames  int64 [chunks], how the frames are cut into chunks
    balance       int64 [chunks], level of mid minus level of side in dB; 0 unless the coding is mid-side
    """

    header: Header
    codes: npt.NDArray[np.uint16]
    chunk_frames: npt.NDArray[np.int64]
    balance: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """FormatError unless the parts fit each other and every chunk can be written."""
        coded = self.header.coded_channels
        if self.codes.ndim != 3 or len(self.codes) != coded or self.codes.dtype != np.uint16:
            raise FormatError(
                f"codes {list(self.codes.shape)} of type {self.codes.dtype}: must be uint16 [{coded}, K, T]"
            )
        if self.codes.size and int(self.codes.max()) > self.absent:
            raise FormatError(f"code {self.codes.max()}: must be 0 .. {self.absent - 1}, or {self.absent} (absent)")
        if len(self.chunk_frames) != len(self.balance) or int(self.chunk_frames.sum()) != self.frames:
            raise FormatError(
                f"{len(self.chunk_frames)} chunks of {int(self.chunk_frames.sum())} frames in all, "
                f"{len(self.balance)} balances: must fit {self.frames} frames"
            )
        if self.header.coding != "mid-side" and self.balance.any():
            raise FormatError(f"a balance that is not 0 goes with mid-side coding, not with {self.header.coding}")
        if self.header.n_samples is None or self.header.frames_for(self.header.n_samples) != self.frames:
            raise FormatError(f"{self.header.n_samples} samples do not go with {self.frames} frames")

    @classmethod
    def from_array(
        cls,
        codes: npt.ArrayLike,
        header: Header,
        *,
        chunk_frames: npt.ArrayLike | None = None,
        balance: npt.ArrayLike | None = None,
    ) -> "Codes":
        """Codes as integers [C, K, T], or [K, T] for mono, from wherever they come.

        Without `chunk_frames` a chunk ends after `header.frames_per_chunk` frames and where the number of
        codebooks changes; without `balance` one is chosen that goes with the numbers of codebooks.
        `header.n_samples` None: as many as the frames hold. `header.total_n_q` is raised if codes need it.
        """
        grid = np.asarray(codes)
        grid = grid[None] if grid.ndim == 2 else grid
        absent = 1 << header.code_bits
        if grid.ndim != 3 or grid.dtype.kind not in "iu":
            raise FormatError(f"codes {list(grid.shape)} of type {grid.dtype}: must be integers [C, K, T] or [K, T]")
        if grid.size and not 0 <= grid.min() <= grid.max() <= absent:
            raise FormatError(
                f"codes from {grid.min()} to {grid.max()}: must be 0 .. {absent - 1}, or {absent} (absent)"
            )
        n_q = (grid < absent).sum(1)
        most = int(n_q.sum(0).max(initial=1))
        if header.coding == "discrete":
            most = int(n_q.max(initial=1)) * header.channels
        n_samples = header.n_samples
        header = dataclasses.replace(
            header,
            n_samples=header.samples_in(grid.shape[2]) if n_samples is None else n_samples,
            total_n_q=max(header.total_n_q, most),
        )
        if chunk_frames is None:
            chunk_frames = _cut(n_q, header.frames_per_chunk)
        lengths = np.asarray(chunk_frames, np.int64)
        if balance is None:
            first = np.cumsum(lengths) - lengths
            balance = [_balance(header, tuple(n_q[:, t].tolist())) for t in first]
        levels = np.asarray(balance, np.int64)
        return cls(header, grid.astype(np.uint16), lengths, levels)

    @classmethod
    def read(cls, file: BinaryIO) -> "Codes":
        """All codes of an open `.rvq` file; FormatError with the position if it is damaged."""
        reader = Reader(file)
        chunks = [chunk for chunk in reader if not isinstance(chunk, Damage)]
        return cls.from_chunks(dataclasses.replace(reader.header, n_samples=reader.n_samples), chunks)

    @classmethod
    def from_chunks(cls, header: Header, chunks: Sequence[Chunk]) -> "Codes":
        """All chunks of a recording, in order; K is the most codebooks that any of them has, at least 1."""
        n_q = max((k for chunk in chunks for k in chunk.n_q), default=1) or 1
        frames = sum(chunk.frames for chunk in chunks)
        codes = np.full((header.coded_channels, n_q, frames), _absent(header), np.uint16)
        for chunk in chunks:
            for channel, part in enumerate(chunk.codes):
                codes[channel, : len(part), chunk.start_frame : chunk.start_frame + chunk.frames] = part
        lengths = np.array([chunk.frames for chunk in chunks], np.int64)
        return cls(header, codes, lengths, np.array([chunk.balance for chunk in chunks], np.int64))

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write an `.rvq` file, which appears whole or not at all; `force` replaces one that exists."""
        with files.replacing(path, force=force) as file:
            self.write(file)

    def write(self, file: BinaryIO) -> None:
        """Write an `.rvq` file to an open binary file; FormatError for codes that it cannot hold."""
        writer = Writer(file, self.header)
        for chunk in self.chunks():
            writer.write_chunk(chunk)
        writer.close(self.header.n_samples or 0)

    def chunks(self) -> Iterator[Chunk]:
        """The codes chunk by chunk; FormatError unless a chunk has a plain number of codebooks."""
        start = 0
        for frames, balance in zip(self.chunk_frames.tolist(), self.balance.tolist(), strict=True):
            part = self.codes[:, :, start : start + frames]
            present = part < self.absent
            n_q = present[:, :, 0].sum(1)
            if not (present == (np.arange(part.shape[1]) < n_q[:, None])[:, :, None]).all():
                raise FormatError(
                    f"frames {start} to {start + frames - 1}: absent ({self.absent}) must stand in the last "
                    "codebooks of a coded channel, the same ones in all frames of a chunk"
                )
            codes = tuple(np.ascontiguousarray(part[c, :k]) for c, k in enumerate(n_q))
            yield Chunk(start_frame=start, frames=frames, n_q=tuple(n_q.tolist()), balance=balance, codes=codes)
            start += frames

    @property
    def absent(self) -> int:
        """The value that stands where a codebook is not in use: one more than the largest code."""
        return _absent(self.header)

    @property
    def n_q(self) -> int:
        """Codebooks in the array, for each coded channel; a chunk may use fewer."""
        return int(self.codes.shape[1])

    @property
    def frames(self) -> int:
        return int(self.codes.shape[2])

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.header.facts.frame_rate

    @property
    def rows(self) -> npt.NDArray[np.uint16]:
        """uint16 [C * K, T] for the token patterns: row c * K + k is codebook k of coded channel c."""
        return self.codes.reshape(len(self.codes) * self.n_q, self.frames)

    def to_torch(self) -> Any:
        """The codes as a torch tensor int64 [C, K, T]."""
        import torch

        return torch.from_numpy(self.codes.astype(np.int64))


class CodesReader:
    """Codes in memory with the face of a `container.Reader`, for what decodes chunks of either."""

    seekable = True

    def __init__(self, codes: Codes) -> None:
        self.header = codes.header
        self.n_samples = codes.header.n_samples
        self._chunks = codes.chunks()
        self._first = 0

    def seek_frame(self, frame: int) -> None:
        """Iteration starts with the chunk that holds this frame."""
        self._first = frame

    def __iter__(self) -> Iterator[Chunk]:
        for chunk in self._chunks:
            if chunk.start_frame + chunk.frames > self._first:
                yield chunk


def _absent(header: Header) -> int:
    if header.code_bits > 15:
        raise FormatError(f"codes of {header.code_bits} bits: arrays of 16 bits hold codes of up to 15")
    return 1 << header.code_bits


def _cut(n_q: npt.NDArray[Any], most: int) -> npt.NDArray[np.int64]:
    """Lengths of chunks of at most `most` frames, each with one number of codebooks [C, T] throughout."""
    frames = n_q.shape[1]
    change = np.flatnonzero((n_q[:, 1:] != n_q[:, :-1]).any(0)) + 1
    edges = np.concatenate([np.arange(0, frames, most), change, [frames]])
    return np.diff(np.unique(edges)).astype(np.int64)


def _balance(header: Header, n_q: tuple[int, ...]) -> int:
    """The level nearest 0 dB at which `sharing.split` gives a chunk these codebooks, or more."""
    if header.coding != "mid-side":
        return 0
    for balance in sorted(range(MID_SILENT, SIDE_SILENT + 1), key=abs):
        mid, side = split(header.total_n_q, balance)
        if mid >= n_q[0] and side >= n_q[1]:
            return balance
    raise FormatError(f"{n_q[0]}+{n_q[1]} codebooks are more than the header's {header.total_n_q}")
