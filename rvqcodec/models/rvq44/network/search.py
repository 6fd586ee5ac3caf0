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
        self.project_out = [stage.project_out.weight for stage in stages]
        self._coupling: dict[int, Tensor] = {}

    def coupling(self, k: int) -> Tensor:
        """Effect of choosing an entry of codebook k on all later projections, so that no search needs the full latent.

        Made when it is first needed: few codebooks may be wanted.
        """
        found = self._coupling.get(k)
        if found is None:
            after = sum(self.dims[: k + 1])
            found = (self.project_in[:, after:].t() @ self.project_out[k]).t().contiguous()
            self._coupling[k] = found
        return found

    @torch.no_grad()
    def encode(self, latent: Tensor, n_q: int | Sequence[int], parts: int = 1) -> Tensor:
        """latent [B, T, L] -> codes int64 [B, K, T], K the most that are wanted.

        n_q: codes wanted, one number or one a part, falling; codes beyond it are zero. parts: B is a multiple of it,
        and the codes of each part are bit for bit what they are without the others.
        """
        shape = latent.shape[:2]
        wanted = [n_q] * parts if isinstance(n_q, int) else list(n_q)
        assert len(wanted) == parts
        assert wanted == sorted(wanted, reverse=True)
        last = [min(len(self.entries), k + self.ahead) if k else 0 for k in wanted]
        size = shape[0] * shape[1] // parts
        found = torch.zeros(size * parts, wanted[0], dtype=torch.int64, device=latent.device)
        first = self.project_in[:, : sum(self.dims[: last[0]])]
        left = torch.cat([x @ first for x in latent.flatten(0, 1).chunk(parts)])  # [n * chains, dims]
        weight = self.weigh(latent).flatten(0, 1) if self.weigh else None
        cost = left.new_zeros(len(left), 1)
        open_codes = torch.zeros(len(left), 1, 0, dtype=torch.int64, device=latent.device)  # [n, chains, not decided]
        active, decided = parts, 0
        for k in range(last[0]):
            still = sum(k < one for one in last)
            if still < active:  # the last parts have all that they want
                self._close(found, open_codes, size * still, decided)
                active, n = still, size * still
                left, cost, open_codes = left[: n * cost.shape[1]], cost[:n], open_codes[:n]
                weight = None if weight is None else weight[:n]
            n, chains = cost.shape
            encoded, left = left[:, : self.dims[k]], left[:, self.dims[k] :]
            cost, parent, code = self._best(encoded, cost, k, active, weight)
            rows = (parent + torch.arange(0, n * chains, chains, device=latent.device)[:, None]).flatten()
            if left.shape[1]:
                entry = F.embedding(code.flatten(), self.entries[k].t())
                left = left.index_select(0, rows)
                for x, e in zip(left.chunk(active), entry.chunk(active), strict=True):
                    x.addmm_(e, self.coupling(k)[:, : left.shape[1]], alpha=-1)
            earlier = open_codes.flatten(0, 1).index_select(0, rows).view(*code.shape, -1)
            open_codes = torch.cat([earlier, code[..., None]], 2)
            if open_codes.shape[2] > self.ahead:
                chosen = open_codes[:, :1, 0]
                found[:n, decided] = chosen[:, 0]
                decided += 1
                cost = cost.masked_fill(open_codes[:, :, 0] != chosen, torch.inf)
                open_codes = open_codes[:, :, 1:]
        self._close(found, open_codes, 0, decided)
        kept = torch.tensor(wanted, device=latent.device).repeat_interleave(size)
        found *= torch.arange(wanted[0], device=latent.device) < kept[:, None]
        return found.view(*shape, wanted[0]).transpose(1, 2)

    @staticmethod
    def _close(found: Tensor, open_codes: Tensor, begin: int, decided: int) -> None:
        """Decide all open codes [n, chains, open] from row `begin` on: those of the cheapest chain."""
        count = min(open_codes.shape[2], found.shape[1] - decided)
        found[begin : len(open_codes), decided : decided + count] = open_codes[begin:, 0, :count]

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
