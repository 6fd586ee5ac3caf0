"""ConvNeXt blocks of the decoder in a stream of windows, one channel (`network.layers.Block` says where from).

A block is a depthwise convolution over time, then a two-layer perceptron, added to its input. Norm, scale and the
factors of the activation are folded into the matrices around them.
"""

import math
from collections.abc import Sequence

import numpy as np

from rvqcodec.models.rvq44.cpu.weights import Weights
from rvqcodec.models.rvq44.tables import Floats

EPSILON = np.float32(1e-5)  # of the norm
TILE = 64  # rows that are worked on at once: what lies between the two layers stays in the cache

# GELU in its tanh form is h * sigmoid(a * h + b * h^3). With t = -b^(1/3) * h it is t / (1 + exp(t^3 + c * t)), but for
# a factor that the matrices have.
_A = 2 * math.sqrt(2 / math.pi)
_T = -((0.044715 * _A) ** (1 / 3))
_C = np.float32(-_A / _T)


class Block:
    """Weights of one block, folded; several streams may share it."""

    def __init__(self, weights: Weights, name: str) -> None:
        part = {key: weights[f"{name}.{key}"] for key in ("kernel", "bias", "norm.weight", "norm.bias", "scale")}
        widen, narrow = weights[f"{name}.widen.weight"], weights[f"{name}.narrow.weight"]
        factor = np.float32(_T)
        self.kernel, self.bias = part["kernel"], part["bias"]
        self.widen = np.ascontiguousarray((widen * (part["norm.weight"] * factor)).T)
        self.widen_bias = (weights[f"{name}.widen.bias"] + widen @ part["norm.bias"]) * factor
        self.narrow = np.ascontiguousarray((narrow * (part["scale"] / factor)[:, None]).T)
        self.narrow_bias = weights[f"{name}.narrow.bias"] * part["scale"]


class Chain:
    """A row of blocks with their pasts; its output lags the input by a sub-frame or so a block."""

    def __init__(self, blocks: Sequence[Block], past: int, future: int, first: int) -> None:
        """past, future: sub-frames that a block sees around its own; first: position of the first input, at most 0."""
        self._blocks, self._past, self._future, self._first = blocks, past, future, first
        self._held = [np.zeros((past + future, len(block.bias)), np.float32) for block in blocks]

    def __call__(self, x: Floats) -> Floats:
        """x [S, D], the next window -> [S, D], `future` sub-frames a block later; silence before position 0."""
        first = self._first
        self._first += len(x)
        for i, block in enumerate(self._blocks):
            first -= self._future
            before = np.concatenate([self._held[i], x])
            self._held[i] = before[len(x) :]
            with np.errstate(over="ignore"):  # of the exponential where the activation is 0
                x = _through(block, before, self._past, len(x))
            if first < 0:
                x[:-first] = 0
        return x


def _through(block: Block, before: Floats, past: int, rows: int) -> Floats:
    """before [past + rows + future, D] -> [rows, D]."""
    y, t = np.multiply(before[:rows], block.kernel[0]), np.empty((rows, before.shape[1]), np.float32)
    y += block.bias
    for i in range(1, len(block.kernel)):
        np.multiply(before[i : i + rows], block.kernel[i], out=t)
        y += t
    ones = np.full((y.shape[1], 1), 1 / y.shape[1], np.float32)
    y -= y @ ones  # a product is the fastest mean of a row
    np.multiply(y, y, out=t)
    y /= np.sqrt(t @ ones + EPSILON)
    for i in range(0, rows, TILE):
        h = y[i : i + TILE] @ block.widen
        h += block.widen_bias
        g = h * h
        g += _C
        g *= h
        np.exp(g, out=g)
        g += np.float32(1)
        h /= g
        np.matmul(h, block.narrow, out=t[i : i + TILE])
    t += block.narrow_bias
    t += before[past : past + rows]
    return t
