"""A chunk's codes to bytes: the slices of all codes are known at once, and then put one after the other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rvqcodec.container.rangecoder import RangeEncoder
from rvqcodec.models.rvq44.integers import Rows, Whole
from rvqcodec.models.rvq44.likely import AROUND, BANDS, BASE, CHAINED, ENVELOPE, LEVEL, NONE, Likely, demand_values
from rvqcodec.models.rvq44.payload.frequencies import ONSET, SECOND, STATIC, STATIC_SECOND, Frequencies
from rvqcodec.models.rvq44.payload.order import Codes, Ints, Order


def encode(
    codes: Sequence[Codes],
    order: Order,
    likely: Likely,
    frequencies: Frequencies,
    size: int | None = None,
    least: int = 0,
) -> tuple[bytes, int]:
    """As `Coder.encode`."""
    slices = _Slices(order, likely, frequencies)
    for c, rows in enumerate(codes):
        add = slices.add_second if order.second(c) else slices.add_main
        add(c, rows.astype(np.int64))
    symbols, step = [*zip(*slices.found.tolist(), strict=True)], order.shape.step
    coder, count = RangeEncoder(), len(symbols) if size is None else least
    coder.put(symbols[:count])
    count += coder.put(symbols[count:], size)
    if count % step:
        coder, count = RangeEncoder(), count // step * step
        coder.put(symbols[:count])
    return coder.finish(), count


class _Slices:
    """found int64 [3, count]: low, high and total of each code, in order."""

    def __init__(self, order: Order, likely: Likely, frequencies: Frequencies) -> None:
        self._order, self._likely, self._frequencies = order, likely, frequencies
        self._at, self._frames = order.at, order.shape.frames
        self.found = np.zeros((3, order.shape.count), np.int64)

    def add_main(self, c: int, codes: Ints) -> None:
        """Codes [K, T] of a channel that stands alone, or is the first one of a pair."""
        onsets = self._likely.onsets(self._add_envelope(c, codes))
        at, waveform = self._at[c], self._order.n_q[c] - ENVELOPE
        here = np.flatnonzero((onsets > 0) & (waveform > 0))
        if len(here):
            self._add(at[ENVELOPE, here], ONSET, 0 * here, codes[ENVELOPE, here])
        for j in range(int((waveform - onsets).max(initial=0))):
            here = np.flatnonzero(waveform - onsets > j)
            row = (ENVELOPE + j + onsets)[here]
            own, places = codes[row, here], at[row, here]
            before = self._before(own, places, here) if j < CHAINED else np.full(len(here), j)
            self._add(places, j if j < CHAINED else STATIC, before, own)

    def add_second(self, c: int, codes: Ints) -> None:
        """Codes [K, T] of the second channel of a pair."""
        n_q, at = self._order.n_q[c], self._at[c]
        for k in range(int(n_q.max(initial=0))):
            here = np.flatnonzero(n_q > k)
            own, places = codes[k, here], at[k, here]
            before = np.full(len(here), k - 1) if k else self._before(own, places, here)
            self._add(places, STATIC_SECOND if k else SECOND, before, own)

    def _add_envelope(self, c: int, codes: Ints) -> NDArray[np.float64]:
        """Those of the envelope; the sums of the first BASE codes [T, BANDS]."""
        likely, n_q, frames = self._likely, self._order.n_q[c], self._frames
        sums = np.zeros((ENVELOPE + 1, frames + 2 * AROUND, BANDS))
        for k in range(ENVELOPE):
            sums[k + 1], here = sums[k], np.flatnonzero(n_q > k)
            if len(here):
                sums[k + 1, AROUND + here] += likely.entries[k, codes[k, here]]
        values = np.zeros((frames + 2 * AROUND, 2), np.float32)
        values[AROUND:-AROUND] = demand_values(self._order.demand[c])
        seen = likely.seen(sums)
        for k in range(ENVELOPE):
            here = np.flatnonzero(n_q > k)
            if not len(here):
                break
            levels = [self._order.level(c, k, here, o) for o in range(-AROUND, AROUND + 1)]
            around = [
                np.concatenate([seen[level, here + o], _column(level * LEVEL), values[here + o]], 1)
                for o, level in enumerate(levels)
            ]
            near = np.stack([sums[levels[o], here + o] for o in range(AROUND - 1, AROUND + 2)], 1)
            rows = likely.envelope[k].rows(np.concatenate(around, 1), near)
            self._put(self._at[c, k, here], rows, codes[k, here])
        return sums[BASE, AROUND:-AROUND]

    def _before(self, codes: Ints, places: Ints, here: Ints) -> Ints:
        """For codes [n] of the frames `here`, at these places: the code of the frame before, if it came before."""
        own, place = np.full(self._frames + 1, NONE), np.full(self._frames + 1, np.iinfo(np.int64).max)
        own[here + 1], place[here + 1] = codes, places
        return np.where(place[here] < places, own[here], NONE)

    def _add(self, places: Ints, table: int, of: Ints, codes: Ints) -> None:
        """Codes [n] by rows `of` [n] of a table."""
        rows = self._frequencies.rows(table, of.tolist())
        slices = [
            (row[code - 1] if code else 0, row[code], row[-1]) for row, code in zip(rows, codes.tolist(), strict=True)
        ]
        self.found[:, places] = np.array(slices).T

    def _put(self, places: Ints, rows: Rows, codes: Ints) -> None:
        """Codes [n] by a row each."""
        index = np.arange(len(codes))
        self.found[0, places] = np.where(codes > 0, rows[index, codes - 1], 0)
        self.found[1, places] = rows[index, codes]
        self.found[2, places] = rows[index, -1]


def _column(x: Ints) -> Whole:
    return x[:, None].astype(np.float32)
