"""Network blocks that know their own context: transform, ConvNeXt blocks.

Shapes: B batch, S sub-frames, D features; everything is channels-last, [B, S, D].
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvqcodec.models.rvq44 import tables


class MDCT(nn.Module):
    """Modified discrete cosine transform with a sine window; orthonormal, perfect reconstruction by overlap-add.

    Source: Princen & Bradley, 1986. Folded to half, then a DCT-IV as a matrix product: at a few hundred coefficients
    that costs less than half a network block.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.dct: Tensor
        self.window: Tensor
        self.register_buffer("dct", torch.from_numpy(tables.cosines(size)).clone(), persistent=False)
        self.register_buffer("window", torch.from_numpy(tables.sine_window(size)).clone(), persistent=False)

    def forward(self, frames: Tensor, count: int | None = None) -> Tensor:
        """frames [B, S, 2 * size] -> coefficients [B, S, size], or only the lowest `count` of them."""
        a, b, c, d = (frames * self.window).chunk(4, -1)
        return torch.cat([-c.flip(-1) - d, a - b.flip(-1)], -1) @ self.dct[:, :count]

    def inverse(self, coefficients: Tensor) -> Tensor:
        """coefficients [B, S, size] -> windowed frames [B, S, 2 * size], to be overlap-added."""
        a, b = (coefficients @ self.dct).chunk(2, -1)
        return torch.cat([b, -b.flip(-1), -a.flip(-1), -a], -1) * self.window


def overlap_add(frames: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
    """frames [B, S, 2n] that overlap by half, tail [B, n] of the frame before -> samples [B, S * n], new tail."""
    n = tail.shape[-1]
    halves = torch.cat([tail[:, None], frames[..., n:]], 1)
    samples = frames[..., :n] + halves[:, :-1]
    return samples.flatten(1), halves[:, -1]


def start_as_identity(weight: Tensor, pairs: int, noise: float = 0.005) -> None:
    """Fill a linear layer's weight so that output i copies input i for i < pairs, plus a little noise."""
    with torch.no_grad():
        weight.normal_(0, noise / math.sqrt(weight.shape[1]))
        index = torch.arange(pairs)
        weight[index, index] = 1.0


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form (Hendrycks & Gimpel, 2016). Without gradients as x * sigmoid(...), at half the time."""
    if torch.is_grad_enabled():
        return F.gelu(x, approximate="tanh")
    scale = 2 * math.sqrt(2 / math.pi)
    return x.square().mul_(0.044715 * scale).add_(scale).mul_(x).sigmoid_().mul_(x)


class Block(nn.Module):
    """ConvNeXt block: depthwise convolution over time, then a two-layer perceptron, added to its input.

    Source: Liu et al., 2022 (one dimension as in Vocos). Starts as the identity: its last layer is zero.
    """

    def __init__(self, *, dim: int, expansion: int, past: int, future: int) -> None:
        """past, future: sub-frames that the convolution sees before and after its own."""
        super().__init__()
        self.past, self.future = past, future
        self.kernel = nn.Parameter(torch.randn(past + 1 + future, dim) * 0.2)
        self.bias = nn.Parameter(torch.zeros(dim))
        self.norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, dim * expansion)
        self.narrow = nn.Linear(dim * expansion, dim)
        self.scale = nn.Parameter(torch.full((dim,), 0.3))
        nn.init.normal_(self.widen.weight, 0, 0.7 / math.sqrt(dim))
        for parameter in (self.widen.bias, self.narrow.weight, self.narrow.bias):
            nn.init.zeros_(parameter)

    def mix(self, x: Tensor) -> Tensor:
        """x [B, past + S + future, D] -> [B, S, D]: the convolution, without padding, as shifted sums."""
        length = x.shape[1] - self.past - self.future
        y = torch.addcmul(self.bias, x[:, :length], self.kernel[0])
        for i in range(1, len(self.kernel)):
            y = torch.addcmul(y, x[:, i : i + length], self.kernel[i])
        return y

    def body(self, x: Tensor) -> Tensor:
        """x [B, past + S + future, D] -> [B, S, D]."""
        y: Tensor = self.narrow(gelu(self.widen(self.norm(self.mix(x)))))
        return x[:, self.past : x.shape[1] - self.future] + self.scale * y

    def forward(self, x: Tensor) -> Tensor:
        """x [B, S, D] -> [B, S, D]: a whole recording, silence (zeros) before and after it."""
        return self.body(F.pad(x, (0, 0, self.past, self.future)))

    def step(self, x: Tensor, past: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """One window of a stream, x [B, S, D] -> output `future` sub-frames earlier, and the new past.

        past [B, past + future, D] holds the input's last sub-frames (zeros at the start). `first` is the
        position of the first output; outputs before position 0 are zero, as `forward` pads them.
        """
        x = torch.cat([past, x], 1)
        y = self.body(x)
        if first < 0:
            y[:, : min(-first, y.shape[1])] = 0
        return y, x[:, -(self.past + self.future) :]


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Within it there are no gradients, and products are of float32 even where training runs in bf16."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def means(x: Tensor, first: Tensor, end: Tensor) -> Tensor:
    """[..., n] -> [..., n]: element i becomes the mean of elements first[i] .. end[i] - 1."""
    sums = F.pad(x, (1, 0)).cumsum(-1)
    return (sums[..., end] - sums[..., first]) / (end - first)
