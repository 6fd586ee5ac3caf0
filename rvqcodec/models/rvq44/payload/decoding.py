"""Payloads back to codes, several side by side: where nets are asked, they are asked for all of them at once."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from rvqcodec.container.rangecoder import RangeDecoder
from rvqcodec.models.rvq44.integers import Whole
from rvqcodec.models.rvq44.likely import (
    AROUND,
    BANDS,
    BASE,
    CHAINED,
    ENVELOPE,
    LEVEL,
    NONE,
    ROW,
    Likely,
    demand_values,
)
from rvqcodec.models.rvq44.payload.frequencies import ONSET, SECOND, STATIC, STATIC_SECOND, Frequencies
from rvqcodec.models.rvq44.payload.order import Codes, Order


def decode(
    parts: Sequence[tuple[int, bytes, Order]], likely: Likely, frequencies: Frequencies
) -> Iterator[tuple[int, tuple[Codes, ...] | ValueError]]:
    """Codes, or the ValueError of what is no payload, of parts by their number; each as soon as it is done."""
    return _SideBySide(parts, likely, frequencies).run()


class _SideBySide:
    """Chunks that are decoded together: each goes on until it needs the frequencies of a code of an envelope."""

    def __init__(self, parts: Sequence[tuple[int, bytes, Order]], likely: Likely, frequencies: Frequencies) -> None:
        self._likely = likely
        channels = max((len(order.n_q) for *_, order in parts), default=0)
        frames = max((order.shape.frames for *_, order in parts), default=0)
        # By part, channel, frame: the sum of the envelope's codes, and what contexts see of it.
        self._sums = np.zeros((len(parts), channels, frames + 2 * AROUND, BANDS))
        self._rows = np.zeros((len(parts), channels, frames + 2 * AROUND, ROW), np.float32)
        self._parts = [
            (number, _Decoding(data, order, likely, frequencies, sums, rows))
            for (number, data, order), sums, rows in zip(parts, self._sums, self._rows, strict=True)
        ]

    def run(self) -> Iterator[tuple[int, tuple[Codes, ...] | ValueError]]:
        """As `decode`."""
        steps = [decoding.steps() for _, decoding in self._parts]
        asking: list[list[tuple[int, int, int]]] = [[] for _ in range(ENVELOPE)]  # part, channel, frame
        running = list(range(len(steps)))
        while running:
            for i in running:
                number, decoding = self._parts[i]
                try:
                    asked = next(steps[i], None)
                except ValueError as error:
                    yield number, error
                    continue
                if asked is None:
                    yield number, decoding.result()
                else:
                    asking[asked[0]].append((i, *asked[1:]))
            running = []
            for k, asked_of in enumerate(asking):
                if asked_of:
                    running += self._answer(k, asked_of)
                    asked_of.clear()

    def _answer(self, k: int, asked: Sequence[tuple[int, int, int]]) -> list[int]:
        """Reads code k of these parts, channels, frames, each from its part's bytes; the parts."""
        part, channel, frame = np.array(asked).T
        at = frame + AROUND
        places = part[:, None], channel[:, None], at[:, None] + np.arange(-AROUND, AROUND + 1)
        around = self._rows[places].reshape(len(part), -1)
        near = self._sums[places[0], places[1], places[2][:, AROUND - 1 : AROUND + 2]]
        parts: list[int] = part.tolist()
        codes = [
            self._parts[i][1].read(row)
            for i, row in zip(parts, self._likely.envelope[k].rows(around, near), strict=True)
        ]
        sums = near[:, 1] + self._likely.entries[k, codes]
        self._sums[part, channel, at] = sums
        self._rows[part, channel, at, :BANDS] = self._likely.seen(sums)
        self._rows[part, channel, at, BANDS] = (k + 1) * LEVEL
        return parts


class _Decoding:
    """The codes of one chunk, one after the other."""

    def __init__(
        self,
        data: bytes,
        order: Order,
        likely: Likely,
        frequencies: Frequencies,
        sums: NDArray[np.float64],
        rows: Whole,
    ) -> None:
        """sums, rows [C, frames + 2 * AROUND or more, ...]: what `_SideBySide` keeps of it."""
        self._order, self._likely, self._frequencies, self._sums = order, likely, frequencies, sums
        channels, frames = len(order.n_q), order.shape.frames
        self._codes = np.zeros((channels, int(order.n_q.max(initial=0)), frames), np.uint16)
        self._base = np.zeros((channels, frames, BANDS))  # the sums when BASE codes are known
        for c, demand in enumerate(order.demand):
            rows[c, AROUND : AROUND + frames, -2:] = demand_values(demand)
        self._before = [[NONE] * (frames + 1) for _ in range(channels * (CHAINED + 1))]  # codes of chains
        self._onsets: dict[int, list[int]] = {}
        self._data: RangeDecoder | None = None
        self._bytes, self._found = data, 0

    def steps(self) -> Iterator[tuple[int, int, int]]:
        """Reads all codes; of those that it gives, as codebook, channel and frame, somebody must `read` one each.

        ValueError as `RangeDecoder`.
        """
        data = self._data = RangeDecoder(self._bytes)
        for c, k, frames in self._order.steps():
            if self._order.second(c):
                self._alone(c, k, frames, STATIC_SECOND, k - 1) if k else self._chain(c, k, frames, SECOND)
            elif k < ENVELOPE:
                codes = self._codes[c, k]
                for t in frames:
                    yield k, c, t
                    codes[t] = self._found
                    data.check()
                if k < BASE:
                    self._base[c, frames] = self._sums[c, [t + AROUND for t in frames]]
            else:
                self._waveform(c, k, frames)
        data.finish()

    def read(self, row: NDArray[np.int32]) -> int:
        """The code that `steps` waits for, by its frequencies."""
        assert self._data is not None
        code = int(row.searchsorted(self._data.get(int(row[-1])), "right"))
        self._data.take(int(row[code - 1]) if code else 0, int(row[code]))
        self._found = code
        return code

    def result(self) -> tuple[Codes, ...]:
        """The codes, when `steps` is through."""
        most = self._order.n_q.max(1, initial=0).tolist()
        return tuple(rows[:n] for rows, n in zip(self._codes, most, strict=True))

    def _waveform(self, c: int, k: int, frames: Sequence[int]) -> None:
        onsets = self._onsets.get(c)
        if onsets is None:
            onsets = self._onsets[c] = self._likely.onsets(self._base[c]).tolist()
        j = k - ENVELOPE
        for same, group in groupby(frames, onsets.__getitem__):
            if j < same:
                self._alone(c, k, list(group), ONSET, 0)
            elif j - same < CHAINED:
                self._chain(c, k, list(group), j - same)
            else:
                self._alone(c, k, list(group), STATIC, j - same)

    def _chain(self, c: int, k: int, frames: Sequence[int], table: int) -> None:
        assert self._data is not None
        before, codes, row = self._before[c * (CHAINED + 1) + table], self._codes[c, k], self._frequencies.row
        for t in frames:
            [before[t + 1]] = self._data.symbols(row(table, before[t]), 1)
            codes[t] = before[t + 1]

    def _alone(self, c: int, k: int, frames: Sequence[int], table: int, of: int) -> None:
        assert self._data is not None
        self._codes[c, k, frames] = self._data.symbols(self._frequencies.row(table, of), len(frames))
