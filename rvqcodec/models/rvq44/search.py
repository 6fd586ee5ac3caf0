"""Search: latents to codes by the M algorithm, several chains of entries at a time instead of the nearest entry only.

Source: Jelinek & Anderson, 1971, with the decision delayed by a fixed number of codebooks: a code depends on the latent
and on the codebooks up to `ahead` beyond its own, never on how many are kept. So the codes of a low bitrate are the
first ones of a high bitrate, as with the nearest entry.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = 32  # of a chain's entries: `cheapest` looks at the least of each first


class Stage(Protocol):
    """One codebook: latent -> `project_in` -> nearest of `entries` [size, dim] -> `project_out` -> its share."""

    entries: Tensor
    project_in: nn.Linear
    project_out: nn.Linear


class Search:
    """Finds codes for the codebooks `stages` as they are now; make another one when they have changed.

    width: chains that are followed (1: the nearest entry each time); ahead: codebooks looked at before a decision;
    weigh: from latents [B, T, L] to weights of their squared errors, for codebooks that see them without projection.
    """

    def __init__(
        self, stages: Sequence[Stage], *, width: int, ahead: int, weigh: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        assert width >= 1
        assert ahead >= 0
        self.width, self.ahead, self.weigh = width, ahead if width > 1 else 0, weigh
        self.entries = [stage.entries.t().contiguous() for stage in stages]
        self.powers = [stage.entries.square().sum(1) for stage in stages]
        self.squares = [e.square() for e in self.entries] if weigh else []
        self.dims = [len(e) for e in self.entries]
        self.project_in = torch.cat([stage.project_in.weight for stage in stages]).t().contiguous()
        # Precomputed effect of choosing an entry on all later projections, so the search never needs the full latent.
        after, self.coupling = 0, []
        for stage, dim in zip(stages, self.dims, strict=True):
            after += dim
            self.coupling.append((self.project_in[:, after:].t() @ stage.project_out.weight).t().contiguous())

    @torch.no_grad()
    def encode(self, latent: Tensor, n_q: int, parts: int = 1) -> Tensor:
        """latent [B, T, L] -> codes int64 [B, n_q, T].

        parts: B is a multiple of it, and the codes of each part are bit for bit what they are without the others.
        """
        shape = latent.shape[:2]
        last = min(len(self.entries), n_q + self.ahead) if n_q else 0
        first = self.project_in[:, : sum(self.dims[:last])]
        left = torch.cat([x @ first for x in latent.flatten(0, 1).chunk(parts)])  # [n * chains, dims]
        weight = self.weigh(latent).flatten(0, 1) if self.weigh else None
        n = len(left)
        cost = left.new_zeros(n, 1)
        open_codes = torch.zeros(n, 1, 0, dtype=torch.int64, device=latent.device)  # [n, chains, not decided]
        codes = []
        for k in range(last):
            encoded, left = left[:, : self.dims[k]], left[:, self.dims[k] :]
            chains = cost.shape[1]
            cost, parent, code = self._best(encoded, cost, k, parts, weight)
            rows = (parent + torch.arange(0, n * chains, chains, device=latent.device)[:, None]).flatten()
            if left.shape[1]:
                entry = F.embedding(code.flatten(), self.entries[k].t())
                left = left.index_select(0, rows)
                for x, e in zip(left.chunk(parts), entry.chunk(parts), strict=True):
                    x.addmm_(e, self.coupling[k][:, : left.shape[1]], alpha=-1)
            earlier = open_codes.flatten(0, 1).index_select(0, rows).view(*code.shape, -1)
            open_codes = torch.cat([earlier, code[..., None]], 2)
            if open_codes.shape[2] > self.ahead:
                decided = open_codes[:, :1, 0]
                codes.append(decided[:, 0])
                cost = cost.masked_fill(open_codes[:, :, 0] != decided, torch.inf)
                open_codes = open_codes[:, :, 1:]
        codes += open_codes[:, 0].unbind(1)
        found = torch.stack(codes[:n_q], 1) if n_q else open_codes[:, 0]
        return found.view(*shape, n_q).transpose(1, 2)

    def _best(
        self, encoded: Tensor, cost: Tensor, k: int, parts: int, weight: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """encoded [n * chains, dim], cost [n, chains], weight [n, dim] -> three tensors [n, width].

        Returns the `width` cheapest continuations, sorted: cost, index of the chain extended, code. With orthonormal
        directions |c|^2 - 2 e.c is what entry c adds to the squared distance.
        """
        distance = encoded.new_empty(len(encoded), len(self.powers[k]))
        if weight is None:
            for x, out in zip(encoded.chunk(parts), distance.chunk(parts), strict=True):
                torch.addmm(self.powers[k], x, self.entries[k], alpha=-2, out=out)
        else:
            chains = cost.shape[1]
            weighted = (encoded.view(len(cost), chains, -1) * (-2 * weight)[:, None]).flatten(0, 1)
            for x, w, out in zip(weighted.chunk(parts), weight.chunk(parts), distance.chunk(parts), strict=True):
                torch.mm(x, self.entries[k], out=out)
                out.view(len(w), chains, -1).add_((w @ self.squares[k])[:, None])
        if self.width == 1:
            code = nearest(distance)[:, None]
            return cost, torch.zeros_like(code), code
        return cheapest(distance.view(*cost.shape, -1), cost, self.width)


def nearest(distance: Tensor) -> Tensor:
    """distance [n, size] -> int64 [n]. Like argmin, but faster: only amin is vectorised."""
    columns = BLOCKS if distance.shape[1] % BLOCKS == 0 else 1
    rows = distance.view(len(distance), -1, columns)
    column = rows.amin(1).argmin(1)
    best = rows.gather(2, column[:, None, None].expand(-1, rows.shape[1], 1)).squeeze(2).argmin(1)
    return best * columns + column


def cheapest(distance: Tensor, cost: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """distance [n, chains, size], cost [n, chains] -> the `count` least sums of both, sorted: sum, chain, entry.

    Like topk, but faster: take each block's minimum (vectorised), then search only the winning blocks.
    """
    n, chains, size = distance.shape
    flat = distance.view(n, chains * size)
    if size % BLOCKS or chains * BLOCKS < count:
        found, place = (distance + cost[..., None]).flatten(1).topk(min(count, chains * size), 1, largest=False)
        return found, place // size, place % size
    rows = distance.view(n, chains, size // BLOCKS, BLOCKS)  # block b of a chain: entries b, b + BLOCKS, ...
    smallest = rows.amin(2).add_(cost[..., None]).flatten(1)
    winning = smallest.topk(count, 1, largest=False, sorted=False).indices
    chain = winning // BLOCKS
    first = winning.add_(chain, alpha=size - BLOCKS)
    places = (first[..., None] + torch.arange(0, size, BLOCKS, device=cost.device)).flatten(1)
    few = flat.gather(1, places).view(n, count, -1).add_(cost.gather(1, chain)[..., None])
    found, place = few.flatten(1).topk(count, 1, largest=False)
    place = places.gather(1, place)
    return found, place // size, place % size
