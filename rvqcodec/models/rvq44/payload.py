"""Codes of rvq44 to bytes and back by what is likely (`likely`): the `Coder` of payload 1.

Codes come in the order in which they are handed out, and what one is likely to be depends on the demands and on codes
before it alone. So encoder and decoder agree, and a lower bitrate is the beginning of a higher one.
"""

from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from rvqcodec.container import allocation
from rvqcodec.container.allocation import ANY, MAX_DEMAND, Limits
from rvqcodec.container.rangecoder import RangeDecoder, RangeEncoder
from rvqcodec.container.shapes import Shape
from rvqcodec.models.rvq44.integers import Rows, Whole
from rvqcodec.models.rvq44.likely import (
    AROUND,
    BANDS,
    BASE,
    CHAINED,
    ENVELOPE,
    LEVEL,
    NONE,
    ROW,
    USUAL_DEMAND,
    Likely,
    demand_values,
)

Codes = NDArray[np.uint16]
Ints = NDArray[np.int64]
Cumulative = Sequence[int]

SECOND, STATIC, STATIC_SECOND, ONSET = range(CHAINED, CHAINED + 4)
"""Tables of frequencies that are kept once they were made; below them the chains, by waveform codebook."""
KEPT = 4096  # of their rows: 16 MB


class PayloadCoder:
    """See `container.coders.Coder`. paired: of two coded channels the second is the second one of a pair."""

    def __init__(self, likely: Likely, *, paired: bool) -> None:
        self._likely, self._paired = likely, paired
        self._kept: dict[tuple[int, int], array[int]] = {}

    def encode(self, codes: Sequence[Codes], shape: Shape) -> tuple[bytes, Ints]:
        """As `Coder.encode`."""
        slices = np.zeros((3, shape.count), np.int64)
        order = self._order(shape)
        for c, rows in enumerate(codes):
            slices_of = self._second_slices if order.second(c) else self._main_slices
            slices_of(rows.astype(np.int64), order, c, slices)
        coder, sizes = RangeEncoder(), [1]
        for low, high, total in zip(*slices.tolist(), strict=True):
            coder.put(low, high, total)
            sizes.append(coder.size)
        return coder.finish(), np.array(sizes, np.int64)

    def decode(self, payloads: Sequence[tuple[bytes, Shape]]) -> list[tuple[Codes, ...] | ValueError]:
        """As `Coder.decode`."""
        done: dict[int, tuple[Codes, ...] | ValueError] = {}
        parts: list[tuple[int, bytes, _Order]] = []
        for i, (data, shape) in enumerate(payloads):
            try:
                parts.append((i, data, self._order(shape)))
            except ValueError as error:
                done[i] = error
        done.update(_SideBySide(self, self._likely, parts).run())
        return [done[i] for i in range(len(payloads))]

    def cumulative(self, table: int, of: int) -> Cumulative:
        """Frequencies, added up, of row `of` of a table: a chain's after code `of`, else of codebook `of`."""
        found = self._kept.get((table, of))
        if found is None:
            self._make_room(1)
            self._make(table, [of])
            found = self._kept[table, of]
        return found

    def _make_room(self, count: int) -> None:
        """Forget all, where as many more would be too many."""
        if len(self._kept) + count > KEPT:
            self._kept.clear()

    def _make(self, table: int, of: Sequence[int]) -> None:
        """Make rows of a table that are not kept yet."""
        likely = self._likely
        if table <= SECOND:
            rows = (*likely.chains, likely.second)[table].rows(np.array(of))
        else:
            alone = (likely.static, likely.static_second, likely.onset)[table - STATIC]
            rows = np.cumsum(alone[of] + 1, 1, dtype=np.int32)
        self._kept.update({(table, one): array("i", row.tobytes()) for one, row in zip(of, rows, strict=True)})

    def _order(self, shape: Shape) -> "_Order":
        likely, order = self._likely, _Order(shape, self._paired)
        most = [
            len(likely.static_second) + 1 if order.second(c) else len(likely.static) + ENVELOPE for c in order.channels
        ]
        if 1 << shape.code_bits != likely.size or any(
            n.max(initial=0) > k for n, k in zip(order.n_q, most, strict=True)
        ):
            raise ValueError(
                f"more codes of a frame, or other ones, than the tables know ({most} of 0 to {likely.size - 1})"
            )
        return order

    # ---- encoding: the slices of all codes at once

    def _main_slices(self, codes: Ints, order: "_Order", c: int, slices: Ints) -> None:
        """Low, high and total of a channel's codes [K, T], at their places of slices [3, count]."""
        likely, n_q, at, frames = self._likely, order.n_q[c], order.at[c], order.shape.frames
        sums = np.zeros((ENVELOPE + 1, frames + 2 * AROUND, BANDS))
        for k in range(ENVELOPE):
            sums[k + 1], here = sums[k], np.flatnonzero(n_q > k)
            if len(here):
                sums[k + 1, AROUND + here] += likely.entries[k, codes[k, here]]
        values = np.zeros((frames + 2 * AROUND, 2), np.float32)
        values[AROUND:-AROUND] = demand_values(order.demand[c])
        for k in range(ENVELOPE):
            here = np.flatnonzero(n_q > k)
            if not len(here):
                break
            levels = [order.level(c, k, here, o) for o in range(-AROUND, AROUND + 1)]
            envelopes = [sums[level, here + o] for o, level in enumerate(levels)]
            around = [
                np.concatenate([likely.seen(envelope), _column(level * LEVEL), values[here + o]], 1)
                for o, (envelope, level) in enumerate(zip(envelopes, levels, strict=True))
            ]
            near = np.stack(envelopes[AROUND - 1 : AROUND + 2], 1)
            rows = likely.envelope[k].rows(np.concatenate(around, 1), near)
            _put(slices, at[k, here], rows, np.arange(len(here)), codes[k, here])
        onsets = likely.onsets(sums[BASE, AROUND:-AROUND])
        here = np.flatnonzero((onsets > 0) & (n_q > ENVELOPE))
        if len(here):
            self._slices(slices, at[ENVELOPE, here], ONSET, 0 * here, codes[ENVELOPE, here])
        for j in range(int((n_q - ENVELOPE - onsets).max(initial=0))):
            here = np.flatnonzero(n_q - ENVELOPE - onsets > j)
            row = (ENVELOPE + j + onsets)[here]
            own, place = codes[row, here], at[row, here]
            before = _before(own, place, here, frames) if j < CHAINED else np.full(len(here), j)
            self._slices(slices, place, j if j < CHAINED else STATIC, before, own)

    def _second_slices(self, codes: Ints, order: "_Order", c: int, slices: Ints) -> None:
        """As `_main_slices`."""
        n_q, at, frames = order.n_q[c], order.at[c], order.shape.frames
        for k in range(int(n_q.max(initial=0))):
            here = np.flatnonzero(n_q > k)
            before = np.full(len(here), k - 1) if k else _before(codes[0, here], at[0, here], here, frames)
            self._slices(slices, at[k, here], STATIC_SECOND if k else SECOND, before, codes[k, here])

    def _slices(self, slices: Ints, places: Ints, table: int, of: Ints, codes: Ints) -> None:
        """Slices of codes [n] by rows `of` [n] of a table."""
        unique, index = np.unique(of, return_inverse=True)
        self._make_room(len(unique))
        missing = [one for one in unique.tolist() if (table, one) not in self._kept]
        if missing:
            self._make(table, missing)
        rows = np.stack([np.frombuffer(self._kept[table, one], np.int32) for one in unique.tolist()])
        _put(slices, places, rows, index.reshape(-1), codes)


def _column(x: Ints) -> Whole:
    return x[:, None].astype(np.float32)


def _put(slices: Ints, places: Ints, rows: Rows, index: Ints, codes: Ints) -> None:
    """Slices of codes [n] by rows[index]."""
    slices[0, places] = np.where(codes > 0, rows[index, codes - 1], 0)
    slices[1, places] = rows[index, codes]
    slices[2, places] = rows[index, -1]


def _before(codes: Ints, at: Ints, here: Ints, frames: int) -> Ints:
    """For codes [n] of the frames `here`, coded at these places: the code of the frame before, if it came before."""
    own, place = np.full(frames + 1, NONE), np.full(frames + 1, np.iinfo(np.int64).max)
    own[here + 1], place[here + 1] = codes, at
    return np.where(place[here] < at, own[here], NONE)


class _Order:
    """When a chunk's codes come, and what is known then."""

    def __init__(self, shape: Shape, paired: bool) -> None:
        self.shape, self._paired = shape, paired
        self.channels = range(len(shape.limits))
        self.n_q = shape.n_q().astype(np.int64)
        self._repeat = shape.frames // shape.allocation.columns(shape.frames)
        # demands as the rule sees them [T] of each channel, and as contexts do
        rows = shape.allocation.rows(shape.frames)
        self._ranked = [np.repeat(np.frombuffer(row, np.uint8), self._repeat) for row in rows]
        usual = [np.where(row > 0, USUAL_DEMAND, 0).astype(np.uint8) for row in self._ranked]
        self.demand = self._ranked if shape.allocation.demand is not None else usual
        self._known = known_levels(shape.limits, shape.allocation.weights)

    @property
    def at(self) -> Ints:
        """Place of each code [C, K, T]; beyond all where there is none."""
        channel, codebook, frame = self.shape.places()
        at = np.full((len(self.n_q), int(self.n_q.max(initial=0)), self.shape.frames), self.shape.count, np.int64)
        at[channel, codebook, frame] = np.arange(self.shape.count)
        return at

    def second(self, channel: int) -> bool:
        """Whether a channel is the second one of a pair."""
        return self._paired and channel == 1

    def level(self, channel: int, k: int, frames: Ints, offset: int) -> Ints:
        """How many codes of the envelope are known of the frames `offset` away from these when their code k comes."""
        if not offset:
            return np.full(len(frames), k)
        ranked, near = self._ranked[channel], frames + offset
        inside = (near >= 0) & (near < len(ranked))
        own, theirs = ranked[frames], np.where(inside, ranked[near.clip(0, len(ranked) - 1)], 0)
        same = (k < self.shape.limits[channel][0]) | (theirs == own)
        return np.where(theirs > 0, self._known[channel, own, k, theirs] + (same & (offset < 0)), 0)

    def steps(self) -> Iterator[tuple[int, int, list[int]]]:
        """Channel, codebook, frames that get a code of it one after the other; in the order of codes."""
        shape = self.shape
        for (c, demand, k), count in allocation.steps(shape.limits, shape.allocation, shape.frames):
            ranked = self._ranked[c]
            chosen = np.flatnonzero(ranked if demand == ANY else ranked == demand)
            yield c, k, chosen[: count * self._repeat].tolist()


@lru_cache(maxsize=64)
def known_levels(limits: Limits, weights: tuple[int, ...]) -> Ints:
    """[channel, demand, codebook, demand of another frame]: codes of its envelope that the latter has before this one.

    Of earlier steps; of the same step the frames before have one more.
    """
    known = np.zeros((len(limits), MAX_DEMAND + 1, ENVELOPE, MAX_DEMAND + 1), np.int64)
    has = np.zeros((len(limits), MAX_DEMAND + 1), np.int64)
    for c, demand, k in allocation.all_steps(limits, weights):
        if k < ENVELOPE:
            some = slice(None) if demand == ANY else demand
            known[c, some, k] = has[c]
            has[c, some] = k + 1
    return known


class _SideBySide:
    """Chunks that are decoded together: each goes on until it needs the frequencies of a code of an envelope."""

    def __init__(self, coder: PayloadCoder, likely: Likely, parts: Sequence[tuple[int, bytes, _Order]]) -> None:
        self._likely = likely
        channels = max((len(order.n_q) for *_, order in parts), default=0)
        frames = max((order.shape.frames for *_, order in parts), default=0)
        # By part, channel, frame: the sum of the envelope's codes, and what contexts see of it.
        self._sums = np.zeros((len(parts), channels, frames + 2 * AROUND, BANDS))
        self._rows = np.zeros((len(parts), channels, frames + 2 * AROUND, ROW), np.float32)
        self._parts = [
            (number, _Decoding(coder, likely, order, data, sums, rows))
            for (number, data, order), sums, rows in zip(parts, self._sums, self._rows, strict=True)
        ]

    def run(self) -> Iterator[tuple[int, tuple[Codes, ...] | ValueError]]:
        """All parts by number, each as soon as it is done."""
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
        coder: PayloadCoder,
        likely: Likely,
        order: _Order,
        data: bytes,
        sums: NDArray[np.float64],
        rows: Whole,
    ) -> None:
        """sums, rows [C, frames + 2 * AROUND or more, ...]: what `_SideBySide` keeps of it."""
        self._coder, self._likely, self._order, self._sums = coder, likely, order, sums
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
        before, codes, cumulative = self._before[c * (CHAINED + 1) + table], self._codes[c, k], self._coder.cumulative
        for t in frames:
            [before[t + 1]] = self._data.symbols(cumulative(table, before[t]), 1)
            codes[t] = before[t + 1]

    def _alone(self, c: int, k: int, frames: Sequence[int], table: int, of: int) -> None:
        assert self._data is not None
        self._codes[c, k, frames] = self._data.symbols(self._coder.cumulative(table, of), len(frames))
