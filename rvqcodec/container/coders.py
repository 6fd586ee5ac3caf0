"""Who codes the payload of codec 1: `Coder`, and how one is found for a file by the names in its header.

What codes are likely only the model's tables say, and they lie beyond this folder. So `FINDER` names a module that is
imported when codes are wanted for the first time; a file whose codes stay packed is read without it.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rvqcodec.container.shapes import Key, Shape

FINDER = "rvqcodec.models.coding"
"""Module with `coder(key: Key) -> Coder`, which raises WeightsError where the tables are not installed."""


class Coder(Protocol):
    """Codes to bytes and back by what a model's tables say is likely; the same bytes on every machine."""

    def encode(
        self, codes: Sequence[NDArray[np.uint16]], shape: Shape, size: int | None = None, least: int = 0
    ) -> tuple[bytes, int]:
        """Codes uint16 [K, frames] of each channel -> bytes, and of how many codes.

        size: only as many are coded as take at most so many bytes, but `least` in any case; the first ones in the order
        in which they are handed out, and where all frames get the same, of all frames. ValueError for more codes of a
        frame than there are tables for.
        """

    def decode(self, payloads: Sequence[tuple[bytes, Shape]]) -> list[tuple[NDArray[np.uint16], ...] | ValueError]:
        """The inverse, of several chunks side by side, which is faster; in place of codes the ValueError of one whose
        bytes `encode` never gives.
        """


def coder(key: Key) -> Coder:
    """The coder of a file. WeightsError where it takes tables that are not installed."""
    return cast(Coder, importlib.import_module(FINDER).coder(key))
