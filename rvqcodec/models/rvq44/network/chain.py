"""Blocks of the network in a stream: they keep their pasts from window to window."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rvqcodec.models.rvq44.network.layers import Block


class Chain:
    """A row of blocks with their pasts; it lags its input, and what goes around it is delayed as much."""

    def __init__(self, blocks: Iterable[nn.Module], channels: int, like: Tensor) -> None:
        self.blocks = [block for block in blocks if isinstance(block, Block)]
        self.lag = sum(block.future for block in self.blocks)  # sub-frames
        self.position = 0  # of the next sub-frame that is pushed
        self._pasts = [like.new_zeros(channels, b.past + b.future, b.bias.numel()) for b in self.blocks]
        self._around: list[Delay] = []

    def __call__(self, x: Tensor, *around: Tensor) -> tuple[Tensor, ...]:
        """x [C, S, D] and what goes around the blocks [C, S, ...] -> all of them, `lag` sub-frames later."""
        self._around = self._around or [Delay(self.lag) for _ in around]
        first = self.position
        self.position += x.shape[1]
        for i, block in enumerate(self.blocks):
            first -= block.future
            x, self._pasts[i] = block.step(x, self._pasts[i], first)
        return x, *(delay.push(one) for delay, one in zip(self._around, around, strict=True))


class Delay:
    """Holds back the last `count` rows along time of what is pushed; zeros come out first."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.held: Tensor | None = None

    def push(self, x: Tensor) -> Tensor:
        """x [C, S, ...] -> the same shape, `count` rows later."""
        if self.count == 0:
            return x
        if self.held is None:
            self.held = x.new_zeros(x.shape[0], self.count, *x.shape[2:])
        both = torch.cat([self.held, x], 1)
        self.held = both[:, x.shape[1] :]
        return both[:, : x.shape[1]]
