"""Codes to token sequences for language models and exactly back; numpy only, no files, no network.

A codec's codes are a grid: `n_q` codebooks for each coded channel, one column a frame. A language model reads
a sequence of steps. A *pattern* says at which step each code stands; what is not a code is a special token.
The patterns are those of the MusicGen paper (Copet et al. 2023, figure 1 and section 2.2); `coarse-first` is
VALL-E's (Wang et al. 2023). formats/patterns.md specifies them, formats/patterns/ holds a vector for each.

    codes  [C * K, T]   row c * K + k is codebook k of coded channel c
    tokens [R, S]       R streams that a model predicts side by side, S steps; R = 1 for `flatten`, else C * K
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rvqcodec.errors import FormatError

Tokens = npt.NDArray[np.uint16]
PATTERNS = ("parallel", "flatten", "delay", "partial-delay", "coarse-first", "partial-flatten")


@dataclass(frozen=True)
class SpecialTokens:
    """The token values that are no codes; they follow the codes 0 .. codebook_size - 1.

    absent  the file holds no such codebook in this frame (a side channel with fewer codebooks, silence)
    empty   no code stands in this cell: the gaps that a pattern leaves, and the padding of a batch
    start   fills the step before the first, end the step after the last, where `boundaries` are asked for
    """

    codebook_size: int

    @property
    def absent(self) -> int:
        return self.codebook_size

    @property
    def empty(self) -> int:
        return self.codebook_size + 1

    @property
    def start(self) -> int:
        return self.codebook_size + 2

    @property
    def end(self) -> int:
        return self.codebook_size + 3

    @property
    def vocabulary(self) -> int:
        """Number of token values a model has to know: codes and special tokens."""
        return self.codebook_size + 4


@dataclass(frozen=True)
class Layout:
    """A pattern for a fixed grid: which pattern, codebooks a coded channel, coded channels, code values.

    `boundaries` adds a step of start tokens in front and one of end tokens behind, whatever the pattern.
    """

    pattern: str
    n_q: int
    channels: int = 1
    codebook_size: int = field(kw_only=True)  # `Codes.absent` of the codes
    boundaries: bool = False

    def __post_init__(self) -> None:
        if self.pattern not in PATTERNS:
            raise FormatError(f"unknown pattern {self.pattern!r}: choose one of {', '.join(PATTERNS)}")
        if self.n_q < 1 or self.channels < 1:
            raise FormatError(f"{self.n_q} codebooks x {self.channels} channels: needs at least 1 x 1")
        if not 1 <= self.codebook_size <= 65532:
            raise FormatError(f"codebook_size {self.codebook_size}: must be 1 .. 65532, tokens have 16 bits")

    @property
    def rows(self) -> int:
        """Rows of the codes: codebooks of all coded channels."""
        return self.channels * self.n_q

    @property
    def streams(self) -> int:
        """Rows of the tokens: what a model predicts at one step."""
        return 1 if self.pattern == "flatten" else self.rows

    @property
    def special(self) -> SpecialTokens:
        return SpecialTokens(self.codebook_size)

    def steps(self, frames: int) -> int:
        """Number of steps S that `frames` frames take; 0 frames take none (2 with boundaries)."""
        groups = min(self.n_q, 2)
        body = {
            "parallel": frames,
            "flatten": frames * self.rows,
            "delay": frames + self.n_q - 1,
            "partial-delay": frames + groups - 1,
            "coarse-first": frames * groups,
            "partial-flatten": frames * groups,
        }[self.pattern]
        return (body if frames else 0) + 2 * self.boundaries

    def frames(self, steps: int) -> int:
        """The number of frames that takes exactly `steps` steps; FormatError if there is none."""
        body = steps - 2 * self.boundaries
        groups = min(self.n_q, 2)
        frames = {
            "parallel": body,
            "flatten": body // self.rows,
            "delay": body - self.n_q + 1,
            "partial-delay": body - groups + 1,
            "coarse-first": body // groups,
            "partial-flatten": body // groups,
        }[self.pattern]
        frames = frames if body else 0
        if frames < 0 or self.steps(frames) != steps:
            raise FormatError(
                f"{steps} steps: no number of frames gives that many with pattern {self.pattern} and "
                f"{self.n_q} codebooks a channel"
            )
        return frames

    def places(self, frames: int) -> list[tuple[int, slice]]:
        """Where the codes of each row stand, row by row: the stream, and the steps as a slice of it."""
        groups = min(self.n_q, 2)
        places = []
        for row in range(self.rows):
            channel, k = divmod(row, self.n_q)
            late = min(k, 1)
            first, stride = {
                "parallel": (0, 1),
                # coarse before fine, so that a cut sequence still holds the codes that matter
                "flatten": (k * self.channels + channel, self.rows),
                "delay": (k, 1),
                "partial-delay": (late, 1),
                "coarse-first": (late * frames, 1),
                "partial-flatten": (late, groups),
            }[self.pattern]
            first += self.boundaries
            stream = 0 if self.pattern == "flatten" else row
            places.append((stream, slice(first, first + stride * frames, stride)))
        return places


def interleave(codes: npt.ArrayLike, layout: Layout) -> Tokens:
    """Put codes at the steps of a pattern.

    codes: integers [C * K, T], each 0 .. codebook_size - 1 or `special.absent`. Returns uint16 tokens [R, S].
    FormatError for a wrong shape or value.
    """
    grid = _integers(codes, "codes")
    if grid.ndim != 2 or grid.shape[0] != layout.rows:
        raise FormatError(f"codes of shape {list(grid.shape)}: the layout needs [{layout.rows}, frames]")
    special = layout.special
    rule = f"codes are 0 .. {special.absent - 1}, {special.absent} is absent"
    _refuse(grid, (grid < 0) | (grid > special.absent), rule)
    tokens = np.full((layout.streams, layout.steps(grid.shape[1])), special.empty, np.uint16)
    if layout.boundaries:
        tokens[:, 0], tokens[:, -1] = special.start, special.end
    for codes_of_row, place in zip(grid, layout.places(grid.shape[1]), strict=True):
        tokens[place] = codes_of_row
    return tokens


def deinterleave(tokens: npt.ArrayLike, layout: Layout, *, strict: bool = True) -> Tokens:
    """Take the codes out of a pattern again: the exact inverse of `interleave`.

    tokens: integers [R, S]. Returns uint16 codes [C * K, T], values as `interleave` takes them.
    FormatError for a number of steps that the pattern cannot give, or a special token where a code belongs.
    `strict` also refuses anything but the right special token in the cells between; a model that was never
    scored on those cells may fill them with anything: pass strict=False and they are not looked at.
    """
    sequence = _integers(tokens, "tokens")
    if sequence.ndim != 2 or sequence.shape[0] != layout.streams:
        raise FormatError(f"tokens {list(sequence.shape)}: pattern {layout.pattern} needs [{layout.streams}, steps]")
    special = layout.special
    frames = layout.frames(sequence.shape[1])
    codes = np.stack([sequence[place] for place in layout.places(frames)])
    _refuse(codes, (codes < 0) | (codes > special.absent), f"a code (0 .. {special.absent}) belongs there")
    result = codes.astype(np.uint16, copy=False)
    if strict:
        expected = interleave(result, layout)
        wrong = sequence != expected
        if wrong.any():
            stream, step = (int(i[0]) for i in np.nonzero(wrong))
            raise FormatError(
                f"token {int(sequence[stream, step])} at stream {stream}, step {step}: "
                f"pattern {layout.pattern} has {int(expected[stream, step])} there"
            )
    return result


def pad_batch(sequences: Sequence[Tokens], layout: Layout) -> tuple[Tokens, npt.NDArray[np.int64]]:
    """Stack token sequences [R, S_i] of different lengths, filled up behind with the empty token.

    Returns (tokens [B, R, max S_i], steps [B]); `tokens[i, :, :steps[i]]` is sequence i again.
    """
    steps = np.array([s.shape[1] for s in sequences], np.int64)
    batch = np.full((len(sequences), layout.streams, steps.max(initial=0)), layout.special.empty, np.uint16)
    for row, sequence in zip(batch, sequences, strict=True):
        row[:, : sequence.shape[1]] = sequence
    return batch, steps


def _integers(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise FormatError(f"{name} of type {array.dtype}: must be integers")
    return array


def _refuse(values: npt.NDArray[Any], wrong: npt.NDArray[np.bool_], rule: str) -> None:
    if wrong.any():
        row, column = (int(i[0]) for i in np.nonzero(wrong))
        raise FormatError(f"value {int(values[row, column])} in row {row}, column {column}: {rule}")
