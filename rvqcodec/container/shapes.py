"""`Shape`: what the payload of a chunk holds, and by whose tables it may be coded (`Key`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rvqcodec.container import allocation
from rvqcodec.container.allocation import Allocation, Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TABLES_HASH = 4
"""Bytes of the hash of its tables that a header holds."""


@dataclass(frozen=True)
class Key:
    """Which tables a file's codes were coded with. `paired`: two coded channels that are main and second one."""

    model_id: str
    weights_hash: bytes
    tables: bytes
    paired: bool


@dataclass(frozen=True)
class Shape:
    """What a payload holds: codes of `code_bits` bits for `frames` frames, as many of each as the allocation says.

    coder: who codes them, where they are not packed.
    """

    limits: Limits
    allocation: Allocation
    frames: int
    code_bits: int
    coder: Key | None = None

    @property
    def count(self) -> int:
        """Codes in all."""
        return self.allocation.total

    @property
    def step(self) -> int:
        """Codes that only come together: one of every frame where all get the same."""
        return self.frames // self.allocation.columns(self.frames)

    def n_q(self) -> NDArray[np.uint8]:
        """Codes of each frame and coded channel, uint8 [C, T]."""
        return allocation.n_q(self.limits, self.allocation, self.frames)

    def places(self) -> tuple[NDArray[np.intp], ...]:
        """Channel, codebook, frame of each code, in the order in which the rule hands them out: arrays [count]."""
        return allocation.places(self.limits, self.allocation, self.frames)

    def with_total(self, total: int) -> Shape:
        """The same with at most that many codes: the first of them."""
        return replace(self, allocation=self.allocation.with_total(total))
