"""`Frequencies` of codes that need no net at their turn: rows of tables, added up once and then kept."""

from array import array
from collections.abc import Sequence

import numpy as np

from rvqcodec.models.rvq44.likely import CHAINED, Likely

SECOND, STATIC, STATIC_SECOND, ONSET = range(CHAINED, CHAINED + 4)
"""Tables; below them the chains, by waveform codebook."""
KEPT = 4096  # rows: 16 MB


class Frequencies:
    """Row `of` of a table: a chain's after code `of`, else of codebook `of`."""

    def __init__(self, likely: Likely) -> None:
        self._likely = likely
        self._kept: dict[tuple[int, int], array[int]] = {}

    def row(self, table: int, of: int) -> Sequence[int]:
        """One row, added up."""
        found = self._kept.get((table, of))
        if found is None:
            self._make_room(1)
            self._make(table, [of])
            found = self._kept[table, of]
        return found

    def rows(self, table: int, of: Sequence[int]) -> Sequence[Sequence[int]]:
        """Rows, one for each of these."""
        different = dict.fromkeys(of)
        self._make_room(len(different))
        missing = [one for one in different if (table, one) not in self._kept]
        if missing:
            self._make(table, missing)
        return [self._kept[table, one] for one in of]

    def _make_room(self, count: int) -> None:
        """Forget all, where as many more would be too many."""
        if len(self._kept) + count > KEPT:
            self._kept.clear()

    def _make(self, table: int, of: Sequence[int]) -> None:
        """Make rows that are not kept yet."""
        likely = self._likely
        if table <= SECOND:
            rows = (*likely.chains, likely.second)[table].rows(np.array(of))
        else:
            alone = (likely.static, likely.static_second, likely.onset)[table - STATIC]
            rows = np.cumsum(alone[of] + 1, 1, dtype=np.int32)
        self._kept.update({(table, one): array("i", row.tobytes()) for one, row in zip(of, rows, strict=True)})
