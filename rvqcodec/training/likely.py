"""Networks that say how likely codes are, as they are trained: their whole-number form is `models.rvq44.likely`.

Shapes: N chunks, K codebooks, T frames (CHUNK of them, the last of a recording filled up with frames that demand
nothing). Losses are in bits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import process_time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvqcodec.models.rvq44.integers import MOST
from rvqcodec.models.rvq44.likely import AROUND, BANDS, ENVELOPE, ONE, ROW, USUAL_DEMAND

HIDDEN, NARROW, CHAIN = 128, 64, 48  # widths
RATE, DECAY, BATCH = 2e-3, 1e-4, 16
WARM_UP = 30  # steps


@dataclass(frozen=True)
class Chunks:
    """Codes int16 [N, K, T], how many of them frames have and what they demand int16 [N, T]; all of one kind."""

    codes: Tensor
    n_q: Tensor
    demand: Tensor

    def __len__(self) -> int:
        return len(self.codes)

    def pick(self, some: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Some chunks, as int64."""
        return self.codes[some].long(), self.n_q[some].long(), self.demand[some].long()


class EnvelopeNet(nn.Module):
    """The codes of envelopes, each by a net of its own that sees what is known of the frames around."""

    def __init__(self, entries: Tensor, known: Tensor, first: int) -> None:
        """entries [ENVELOPE, size, BANDS]; known: of `payload.known_levels`, for mono; first: of its limits."""
        super().__init__()
        self.first_codes = first
        self.known: Tensor
        self.entries: Tensor
        self.like: Tensor
        self.register_buffer("known", known)
        self.register_buffer("entries", entries)
        deviation = entries.std((1, 2))
        self.scale: float = 1 / float(deviation.square().sum().sqrt())  # of envelopes
        self.spread: list[float] = [1 / (1.5 * float(x)) for x in deviation]  # of distances between them
        self.first = nn.ModuleList(nn.Linear((2 * AROUND + 1) * ROW, HIDDEN) for _ in range(ENVELOPE))
        self.second = nn.ModuleList(nn.Linear(HIDDEN, HIDDEN) for _ in range(ENVELOPE))
        self.last = nn.ModuleList(nn.Linear(HIDDEN + 2 * BANDS, NARROW) for _ in range(ENVELOPE))
        like = entries / deviation[:, None, None]
        like = torch.cat([like, like * like], -1)
        like = (like - like.mean(1, keepdim=True)) / like.std(1, keepdim=True)
        self.register_buffer("like", like / (2 * BANDS) ** 0.5)
        self.mixed = nn.Parameter(torch.randn(ENVELOPE, 2 * BANDS, NARROW) * 0.1)
        self.bias = nn.Parameter(torch.zeros(ENVELOPE, entries.shape[1]))

    def tables(self) -> Tensor:
        """What heads multiply with [ENVELOPE, size, NARROW]: logits of entries are quadratic forms of them."""
        tables: Tensor = self.like @ self.mixed
        return tables

    def layers(self, k: int) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        """First, second and last layer of codebook k."""
        first, second, last = self.first[k], self.second[k], self.last[k]
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        assert isinstance(last, nn.Linear)
        return first, second, last

    def stages(self, k: int, codes: Tensor, n_q: Tensor, demand: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes [N, K, T] and what goes with them -> what the three layers of codebook k give [N, T, ...]."""
        parts = [F.embedding(codes[:, i], self.entries[i]) * (n_q > i)[..., None] for i in range(ENVELOPE)]
        sums = torch.stack([torch.zeros_like(parts[0]), *torch.stack(parts).cumsum(0)], 1)
        around, envelopes = [], []
        for o in range(-AROUND, AROUND + 1):
            theirs = moved(demand, o)
            level = self.known[demand, k, theirs] + ((o < 0) & ((theirs == demand) | (k < self.first_codes)))
            level = torch.where(theirs > 0, torch.minimum(level, moved(n_q, o)), 0) if o else torch.full_like(n_q, k)
            envelope = moved(sums, o, 2).gather(1, level[:, None, :, None].expand(-1, 1, -1, BANDS))[:, 0]
            there = theirs > 0
            value = torch.where(there, (theirs - USUAL_DEMAND) / 4, 0)
            around.append(torch.cat([envelope * self.scale, torch.stack([level / 4, value, there], -1)], -1))
            envelopes.append(envelope)
        own = envelopes[AROUND]
        far = MOST / ONE
        distances = [((envelopes[AROUND + o] - own) * self.spread[k]).clamp(-far, far) for o in (-1, 1)]
        first = F.relu(self.first[k](torch.cat(around, -1)))
        second = F.relu(self.second[k](first))
        return first, second, F.relu(self.last[k](torch.cat([second, *distances], -1)))

    def forward(self, codes: Tensor, n_q: Tensor, demand: Tensor) -> tuple[Tensor, Tensor]:
        """-> bits of each code [N, ENVELOPE, T], and which there are."""
        tables, bits = self.tables(), []
        for k in range(ENVELOPE):
            logits = self.stages(k, codes, n_q, demand)[-1] @ tables[k].t() + self.bias[k]
            bits.append(F.cross_entropy(logits.flatten(0, 1), codes[:, k].flatten(), reduction="none").view(n_q.shape))
        there = torch.stack([(n_q > k) & (demand > 0) for k in range(ENVELOPE)], 1)
        return torch.stack(bits, 1) / math.log(2), there.float()


class ChainNet(nn.Module):
    """A code given the one before it in time."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.seen = nn.Parameter(torch.randn(size + 1, CHAIN) * 0.3)  # the last: none before it
        self.table = nn.Parameter(torch.randn(size, CHAIN) * 0.05)
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, codes: Tensor, there: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [N, T], which there are, and for which of them the one before is known -> bits, which there are."""
        before = torch.where(known, moved(codes, -1), len(self.table))
        logits = F.relu(F.embedding(before, self.seen)) @ self.table.t() + self.bias
        bits = F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view(codes.shape)
        return bits[:, None] / math.log(2), there[:, None].float()


def moved(x: Tensor, offset: int, axis: int = 1) -> Tensor:
    """x with what stands `offset` further on in place of each, zeros where there is nothing."""
    result = torch.roll(x, -offset, axis)
    if offset:
        edge = [slice(None)] * x.ndim
        edge[axis] = slice(-offset, None) if offset > 0 else slice(0, -offset)
        result[tuple(edge)] = 0
    return result


def fit(
    net: nn.Module,
    losses: Callable[[Tensor], tuple[Tensor, Tensor]],
    count: int,
    seconds: float,
    *,
    rate: float = RATE,
    decay: float = DECAY,
    shown: Callable[[float, float], Any] = lambda share, bits: None,
) -> None:
    """Adam for so many seconds of this process. losses: numbers of chunks, of `count` -> bits, which there are."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay, betas=(0.9, 0.98))
    begin, step, share, order = process_time(), 0, 0.0, torch.randperm(count)
    while share < 1:
        if len(order) < min(BATCH, count):
            order = torch.randperm(count)
        some, order = order[:BATCH], order[BATCH:]
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / WARM_UP) * max(0.01, 0.5 + 0.5 * math.cos(math.pi * share))
        bits, there = losses(some)
        loss = (bits * there).sum() / there[:, 0].sum().clamp_min(1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        step += 1
        share = min(1, (process_time() - begin) / seconds)
        shown(share, float(loss.detach()))


def first_bias(codes: Tensor, there: Tensor, size: int) -> Tensor:
    """Logarithms of how often codes come [size], to begin with."""
    return (torch.bincount(codes[there], minlength=size).float() + 0.5).log().log_softmax(0)
