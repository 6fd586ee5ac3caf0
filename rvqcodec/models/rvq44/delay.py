"""Delay: rows along time that come out later."""

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Rows = TypeVar("Rows", bound=NDArray[Any])


class Delay(Generic[Rows]):
    """Holds back the last `count` rows of what is pushed; zeros come out first."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._held: Rows | None = None

    def push(self, x: Rows) -> Rows:
        """x [S, ...] -> the same shape, `count` rows later."""
        held: Any = np.zeros((self.count, *x.shape[1:]), x.dtype) if self._held is None else self._held
        both: Any = np.concatenate([held, x])
        self._held = both[len(x) :]
        found: Rows = both[: len(x)]
        return found
