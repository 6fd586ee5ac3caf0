"""All codes of a recording as one array, with what it takes to write them as `.rvq` again; no torch."""

import dataclasses
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rvqcodec import files
from rvqcodec.container import MAX_N_Q, Allocation, Chunk, Damage, Header, Reader, Writer
from rvqcodec.container.allocation import constant
from rvqcodec.container.chunks import MID_SIDE_ANGLE
from rvqcodec.errors import FormatError, needs_torch


@dataclass(frozen=True)
class Plan:
    """What a chunk says besides its codes: frames, the demand for codes, the angle of stereo, whether it begins one."""

    frames: int
    allocation: Allocation
    angle: int = MID_SIDE_ANGLE
    begins: bool = False


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of one recording.

    header        model id and weights' hash, rates, channels, tags; `header.n_samples` is the exact length
    codes         uint16 [C, K, T]: coded channels (mono: 1; stereo: mid, side), codebooks, frames. Where a frame has
                  fewer than K codes, `absent` (1024 for codes of 10 bits) stands
    plans         how the frames are cut into chunks, and what each of these says of its codes, in order
    """

    header: Header
    codes: npt.NDArray[np.uint16]
    plans: tuple[Plan, ...]

    def __post_init__(self) -> None:
        """FormatError unless the parts fit each other and every chunk can be written."""
        coded = self.header.coded_channels
        if self.codes.ndim != 3 or len(self.codes) != coded or self.codes.dtype != np.uint16:
            raise FormatError(
                f"codes {list(self.codes.shape)} of type {self.codes.dtype}: must be uint16 [{coded}, K, T]"
            )
        if self.codes.size and int(self.codes.max()) > self.absent:
            raise FormatError(f"code {self.codes.max()}: must be 0 .. {self.absent - 1}, or {self.absent} (absent)")
        frames = sum(plan.frames for plan in self.plans)
        if frames != self.frames:
            raise FormatError(f"{len(self.plans)} chunks of {frames} frames in all: must fit {self.frames} frames")
        if self.header.coding != "mid-side" and any(plan.angle != MID_SIDE_ANGLE for plan in self.plans):
            raise FormatError(f"an angle other than {MID_SIDE_ANGLE} does not go with {self.header.coding} coding")
        if self.header.n_samples is None or self.header.frames_for(self.header.n_samples) != self.frames:
            raise FormatError(f"{self.header.n_samples} samples do not go with {self.frames} frames")

    @classmethod
    def from_array(cls, codes: npt.ArrayLike, header: Header, *, plans: Sequence[Plan] | None = None) -> "Codes":
        """Codes as integers [C, K, T], or [K, T] for mono, from wherever they come.

        Without `plans` a chunk ends after `header.frames_per_chunk` frames and where the number of codes of a frame
        changes; the header's limits of codes are then made to fit. `header.n_samples` None: as many as the frames
        hold. FormatError for codes that no file can hold.
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
        n_samples = header.samples_in(grid.shape[2]) if header.n_samples is None else header.n_samples
        header = dataclasses.replace(header, n_samples=n_samples)
        if plans is None:
            n_q = (grid < absent).sum(1)
            header = _fitted(header, n_q)
            plans = _cut(n_q, header.frames_per_chunk)
        return cls(header, grid.astype(np.uint16), tuple(plans))

    @classmethod
    def read(cls, file: BinaryIO) -> "Codes":
        """All codes of an open `.rvq` file; FormatError with the position if it is damaged."""
        reader = Reader(file)
        chunks = [chunk for chunk in reader if not isinstance(chunk, Damage)]
        return cls.from_chunks(dataclasses.replace(reader.header, n_samples=reader.n_samples), chunks)

    @classmethod
    def from_chunks(cls, header: Header, chunks: Sequence[Chunk]) -> "Codes":
        """All chunks of a recording, in order; K is the most codes that any frame has, at least 1."""
        n_q = max((int(chunk.n_q.max()) for chunk in chunks), default=1) or 1
        frames = sum(chunk.frames for chunk in chunks)
        codes = np.full((header.coded_channels, n_q, frames), _absent(header), np.uint16)
        for chunk in chunks:
            part = codes[:, :, chunk.start_frame : chunk.start_frame + chunk.frames]
            for own, rows, count in zip(part, chunk.codes, chunk.n_q, strict=True):
                present = np.arange(len(rows))[:, None] < count
                own[: len(rows)][present] = rows[present]
        plans = (Plan(chunk.frames, chunk.allocation, chunk.angle, chunk.begins) for chunk in chunks)
        return cls(header, codes, tuple(plans))

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
        """The codes chunk by chunk; FormatError unless codes are present exactly where the chunk's plan wants them."""
        start = 0
        for plan in self.plans:
            part = self.codes[:, :, start : start + plan.frames]
            present = part < self.absent
            try:
                chunk = Chunk.of(self.header, start, plan.allocation, list(part), plan.angle, begins=plan.begins)
            except ValueError as error:
                raise FormatError(f"frames {start} to {start + plan.frames - 1}: {error}") from None
            if not (present == (np.arange(part.shape[1])[:, None] < chunk.n_q[:, None])).all():
                raise FormatError(
                    f"frames {start} to {start + plan.frames - 1}: absent ({self.absent}) must stand behind the codes "
                    "that each frame has by its chunk's demands, and nowhere else"
                )
            yield chunk
            start += plan.frames

    @property
    def absent(self) -> int:
        """The value that stands where a codebook is not in use: one more than the largest code."""
        return _absent(self.header)

    @property
    def n_q(self) -> int:
        """Codebooks in the array, for each coded channel; a frame may have fewer."""
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
        needs_torch("to_torch")
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


def _cut(n_q: npt.NDArray[Any], most: int) -> tuple[Plan, ...]:
    """Chunks of at most `most` frames, each with one number of codes [C, T] throughout."""
    frames = n_q.shape[1]
    change = np.flatnonzero((n_q[:, 1:] != n_q[:, :-1]).any(0)) + 1
    edges = np.unique(np.concatenate([np.arange(0, frames, most), change, [frames]])).tolist()
    return tuple(
        Plan(end - start, constant(n_q[:, start].tolist(), end - start)) for start, end in itertools.pairwise(edges)
    )


def _fitted(header: Header, n_q: npt.NDArray[Any]) -> Header:
    """The header with limits that let each frame have these codes [C, T], and no more first ones than they have."""
    if n_q.max(initial=0) > MAX_N_Q:
        raise FormatError(f"{n_q.max()} codebooks: a coded channel has at most {MAX_N_Q}")
    least = n_q[n_q > 0].min(initial=MAX_N_Q)
    limits = [(min(first, int(least)), max(most, int(n_q.max(initial=1)))) for first, most in header.limits]
    return dataclasses.replace(
        header,
        total_n_q=max(header.total_n_q, int(n_q.sum(0).max(initial=1))),
        first=limits[0][0],
        most=limits[0][1],
        side=limits[1] if header.side else None,
    )
