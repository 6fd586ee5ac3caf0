"""Layers of whole numbers in float32: every product and sum is exact, so any machine finds the same bits.

float32 holds whole numbers up to 2^24, and whatever adds them up in whatever order, fused or not, gives the same as
long as no sum goes beyond. A column of weights is whole numbers times a power of two, which changes nothing of that.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Whole: TypeAlias = NDArray[np.float32]
"""float32 that holds whole numbers, from -MOST to MOST where a layer is given them."""
Rows: TypeAlias = NDArray[np.int32]
"""Cumulative frequencies [n, size]: code i is the slice from rows[:, i - 1] (0 for the first) to rows[:, i]."""

MOST = 511
SUMS = 1 << 24  # that float32 holds, in steps of a column
STEPS = 256  # of logits in a nat
TAIL = 16 * STEPS  # steps below the largest logit from which on a code is as likely as can be written


def product(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """a @ b; all products of this package go through here, so that a test can put another arithmetic in its place."""
    result: NDArray[Any] = a @ b
    return result


@dataclass(frozen=True)
class Layer:
    """x [n, in] -> x @ weight + bias, rounded down [n, out]; `activated`: cut off at 0 and MOST."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, weight: NDArray[Any], bits: NDArray[Any], bias: NDArray[Any]) -> "Layer":
        """weight [in, out], bias [out] in whole numbers of 2^-bits [out]. ValueError for sums that could be too large.

        A column has a scale of its own: entries far from all others have logits of hundreds of nats.
        """
        sums = MOST * np.abs(weight.astype(np.int64)).sum(0) + np.abs(bias.astype(np.int64))
        steps = np.ldexp(sums.astype(float), -bits.astype(int))  # whole numbers, once they are rounded
        if sums.max() >= SUMS or not steps.max() < SUMS / 2:
            raise ValueError(f"sums of a layer reach {sums.max()}, {steps.max():.0f} in all: more than float32 holds")
        scaled = (np.ldexp(x.astype(np.float32), -bits.astype(np.int32)) for x in (weight, bias))
        return cls(*scaled)

    def __call__(self, x: Whole) -> Whole:
        y = product(x, self.weight)
        y += self.bias
        np.floor(y, out=y)
        return y

    def activated(self, x: Whole) -> Whole:
        y = self(x)
        np.maximum(y, 0, out=y)
        np.minimum(y, MOST, out=y)
        return y


@dataclass(frozen=True)
class Head:
    """What a layer makes of x, as logits in STEPS -> `Rows`.

    table: frequencies, 1 to 65,536, by distance from the largest logit [TAIL].
    """

    layer: Layer
    table: NDArray[np.int32]

    def __post_init__(self) -> None:
        if len(self.table) != TAIL or not 1 <= self.table.min() <= self.table.max() <= 1 << 16:
            raise ValueError("frequencies are not 1 to 65,536")

    def __call__(self, x: Whole) -> Rows:
        logits = self.layer(x)
        np.subtract(logits.max(1, keepdims=True), logits, out=logits)
        np.minimum(logits, TAIL - 1, out=logits)
        frequencies = self.table.take(logits.astype(np.intp))
        rows: Rows = np.add.accumulate(frequencies, 1, dtype=np.int32)
        return rows


def scaled(x: NDArray[np.float64], scale: float) -> Whole:
    """Whole numbers times `scale`, a whole number of 2^-24, rounded down and cut off at -MOST and MOST."""
    y = x * scale
    np.floor(y, out=y)
    np.maximum(y, -MOST, out=y)
    np.minimum(y, MOST, out=y)
    return y.astype(np.float32)
