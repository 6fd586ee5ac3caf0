"""Blocks of the network in a stream: they keep their pasts from window to window."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rvqcodec.layers import FUTURE, PAST, Block, Correction


class Chain:
    """A row of blocks with their pasts; lags its input by one sub-frame a block."""

    def __init__(self, blocks: Iterable[nn.Module], channels: int, like: Tensor) -> None:
        self.blocks = [block for block in blocks if isinstance(block, Block)]
        self.lag = len(self.blocks) * FUTURE
        self.pasts = [like.new_zeros(channels, PAST + FUTURE, block.bias.numel()) for block in self.blocks]

    def push(self, x: Tensor, first: int) -> Tensor:
        """x [C, S, D], the position of its first sub-frame -> output [C, S, D] from position first - lag on."""
        if first < 0:
            x = x.clone()
            x[:, :-first] = 0
        for i, block in enumerate(self.blocks):
            x, self.pasts[i] = block.step(x, self.pasts[i], first - (i + 1) * FUTURE)
        return x


class CorrectionChain(Chain):
    """A network that corrects a classical analysis, in a stream; lags by one sub-frame a block."""

    def __init__(self, net: Correction, channels: int, like: Tensor) -> None:
        super().__init__(net.blocks, channels, like)
        self.net = net
        self._bases = Delay(self.lag)

    def correct(self, base: Tensor, x: Tensor, first: int) -> Tensor:
        """base [C, S, outputs] and x [C, S, inputs] from position `first` on -> corrected, from first - lag on."""
        base = self._bases.push(base)
        if self.net.widen is None or self.net.narrow is None:
            return base
        return base + self.net.narrow(self.push(self.net.widen(x), first))


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
