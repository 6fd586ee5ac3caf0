"""How likely each code is, given codes before it: the tables that ship with the weights, as functions of whole numbers.

    envelope  its codes, from what is known by then of the envelopes of the frames around, a net for each codebook
    chains    codes that go on from the same one of the frame before: the first of the waveform, the second channel's
    static    all others

What contexts see of a frame is a *row*: the sum of its envelope's codes so far, how many these are, what the frame
demands. All of it is made of whole numbers (`integers`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvqcodec.models.rvq44.integers import MOST, Head, Layer, Rows, Whole, scaled

BANDS = 48  # values of a frame's envelope
ROW = BANDS + 3  # the envelope, how many codes it is of, the demand, whether there is a frame
AROUND = 2  # frames before and after that an envelope's contexts see
ENVELOPE = 4  # codebooks of the envelope
BASE = 2  # of them that tell onsets
USUAL_DEMAND = 12
ONE = 64  # of rows and distances: a deviation of the envelope
LEVEL = ONE // 4  # of a row: a code of the envelope, a step of demand
SCALE = 1 << 24  # of scales
CHAINED = 4  # waveform codebooks with chains
NONE = -1  # in place of a code that is not known


def demand_values(demand: NDArray[np.uint8]) -> Whole:
    """Demands [T] -> the end of their rows [T, 2]."""
    there = demand > 0
    values = np.where(there, (demand.astype(np.float32) - USUAL_DEMAND) * LEVEL, 0)
    return np.stack([values, there * ONE], 1).astype(np.float32)


@dataclass(frozen=True)
class Envelope:
    """One codebook of the envelope."""

    first: Layer
    second: Layer
    last: Layer
    head: Head
    spread: float  # scale of distances

    def rows(self, around: Whole, near: NDArray[np.float64]) -> Rows:
        """Rows of the frames around side by side, its own in the middle [n, (2 * AROUND + 1) * ROW], and envelopes of
        the frame before, its own and the one after [n, 3, BANDS].
        """
        hidden = self.second.activated(self.first.activated(around))
        distances = scaled(near[:, ::2] - near[:, 1:2], self.spread)
        return self.head(self.last.activated(np.concatenate([hidden, distances.reshape(len(near), -1)], 1)))


@dataclass(frozen=True)
class Chain:
    """A code given the one of the frame before. seen [size + 1, in]: what the head is given, last for no such code."""

    seen: Whole
    head: Head

    def rows(self, before: NDArray[np.int64]) -> Rows:
        """Codes of the frame before [n], NONE where there is none."""
        return self.head(self.seen[before])


class Likely:
    """All of it, from tensors as they ship (`training/tables`). ValueError for tensors that do not fit."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        self._tensors = tensors
        self._frequencies = self._of("frequencies").astype(np.int32)
        self.entries = self._of("entries").astype(np.float64)  # [ENVELOPE, size, BANDS], in the model's envelope_step
        self.scale = float(self._of("scale")[0]) / SCALE
        self.envelope = tuple(self._envelope(f"envelope{k}") for k in range(ENVELOPE))
        self.chains = tuple(self._chain(f"chain{j}") for j in range(CHAINED))
        self.second = self._chain("second")
        # frequencies less 1 of codes that stand alone [codebooks, size]: the waveform's, the second channel's
        self.static, self.static_second = (self._of(name).astype(np.int32) for name in ("static", "static.second"))
        self.onset = self._of("onset").astype(np.int32)  # [1, size], as those
        self._rise, self._onset_band = (int(x) for x in self._of("onset.rule"))
        self.size = self.onset.shape[1]
        if self.entries.shape != (ENVELOPE, self.size, BANDS):
            raise ValueError(f"entries of shape {list(self.entries.shape)}")

    def seen(self, envelope: NDArray[np.float64]) -> Whole:
        """Envelopes [..., BANDS] as rows have them."""
        return scaled(envelope, self.scale)

    def onsets(self, base: NDArray[np.float64]) -> NDArray[np.int64]:
        """Sums of the first BASE codes [T, BANDS] -> 1 for frames with onsets, as far as their chunk tells, 0 [T]."""
        levels = base.reshape(2 * len(base), -1)[:, self._onset_band :].sum(1)
        before = np.concatenate([[np.inf, np.inf], levels])
        jump = levels - np.minimum(before[1:-1], before[:-2]) > self._rise
        found: NDArray[np.int64] = jump.reshape(-1, 2).any(1).astype(np.int64)
        return found

    def _of(self, name: str) -> NDArray[Any]:
        found = self._tensors.get(name)
        if found is None or found.dtype.kind not in "iu":
            raise ValueError(f"tables lack {name}, in whole numbers")
        return found

    def _envelope(self, name: str) -> Envelope:
        first, second, last, head = (self._layer(f"{name}.{part}") for part in ("first", "second", "last", "head"))
        spread = float(self._of(f"{name}.spread")[0]) / SCALE
        return Envelope(first, second, last, Head(head, self._frequencies), spread)

    def _chain(self, name: str) -> Chain:
        seen = self._of(f"{name}.seen").astype(np.float32)
        if not 0 <= seen.min() <= seen.max() <= MOST:
            raise ValueError(f"{name}: not from 0 to {MOST}")
        return Chain(seen, Head(self._layer(f"{name}.head"), self._frequencies))

    def _layer(self, name: str) -> Layer:
        return Layer.of(*(self._of(f"{name}.{part}") for part in ("weight", "bits", "bias")))
