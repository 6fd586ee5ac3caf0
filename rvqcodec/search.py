"""Search: latents to codes by the M algorithm, several chains of entries at a time instead of the nearest entry only.

Source: Jelinek & Anderson, 1971, with the decision delayed by a fixed number of codebooks: a code depends on the latent
and on the codebooks up to `ahead` beyond its own, never on how many are kept. So the codes of a low bitrate are the
first ones of a high bitrate, as with the nearest entry.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from rvqcodec.quantize import LatentQuantizer

CHILDREN = 2  # entries that each chain goes on with
BLOCKS = 32


class Search:
    """Finds codes for the codebooks of `quantizer` as they are now; make another one when they have changed.

    width: chains that are followed (1: the nearest entry each time); ahead: codebooks looked at before a decision.
    """

    def __init__(self, quantizer: "LatentQuantizer", *, width: int, ahead: int) -> None:
        assert width >= 1
        assert ahead >= 0
        stages = quantizer.stages
        self.width, self.ahead = width, ahead if width > 1 else 0
        self.entries = [stage.entries.t().contiguous() for stage in stages]
        self.powers = [stage.entries.square().sum(1) for stage in stages]
        self.dims = [len(e) for e in self.entries]
        self.project_in = torch.cat([stage.project_in.weight for stage in stages]).t().contiguous()
        # What an entry takes away from the encodings of all later codebooks: everything stays in their few dimensions.
        after, self.coupling = 0, []
        for stage, dim in zip(stages, self.dims, strict=True):
            after += dim
            self.coupling.append((self.project_in[:, after:].t() @ stage.project_out.weight).t().contiguous())

    @torch.no_grad()
    def encode(self, latent: Tensor, n_q: int) -> Tensor:
        """latent [B, T, L] -> codes int64 [B, n_q, T]."""
        shape = latent.shape[:2]
        last = min(len(self.entries), n_q + self.ahead) if n_q else 0
        left = latent.flatten(0, 1) @ self.project_in[:, : sum(self.dims[:last])]  # [n * chains, dims]
        n = len(left)
        cost = left.new_zeros(n, 1)
        codes = torch.zeros(n, 1, 0, dtype=torch.int64, device=latent.device)
        after = 0
        for k in range(last):
            encoded = left[:, after : after + self.dims[k]]
            after += self.dims[k]
            chains = cost.shape[1]
            cost, parent, code = self._best(encoded, cost, k)
            rows = (parent + torch.arange(0, n * chains, chains, device=latent.device)[:, None]).flatten()
            earlier = codes.flatten(0, 1).index_select(0, rows).view(*code.shape, k)
            codes = torch.cat([earlier, code[..., None]], 2)
            if after < left.shape[1]:
                left = left.index_select(0, rows)
                entry = F.embedding(code.flatten(), self.entries[k].t())
                left[:, after:].addmm_(entry, self.coupling[k][:, : left.shape[1] - after], alpha=-1)
            decided = k - self.ahead
            if decided >= 0 and self.width > 1:
                cost = cost.masked_fill(codes[:, :, decided] != codes[:, :1, decided], torch.inf)
        return codes[:, 0, :n_q].view(*shape, n_q).transpose(1, 2)

    def _best(self, encoded: Tensor, cost: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """encoded [n * chains, dim], cost [n, chains] -> the cheapest [n, chains']: cost, chain they go on, code.

        Sorted by cost. With orthonormal directions |c|^2 - 2 e.c is what entry c adds to the squared distance.
        """
        n, chains = cost.shape
        distance = torch.addmm(self.powers[k], encoded, self.entries[k], alpha=-2)
        if self.width == 1:
            code = distance.argmin(1, keepdim=True)
            return cost, torch.zeros_like(code), code
        if chains == 1:
            found, code = distance.topk(min(self.width, distance.shape[1]), 1, largest=False)
            return found + cost, torch.zeros_like(code), code
        values, code = two_least(distance)
        total = values.view(n, chains, CHILDREN) + cost[..., None]
        code = code.view(n, chains * CHILDREN)
        found, place = total.flatten(1).topk(self.width, 1, largest=False)
        return found, place // CHILDREN, code.gather(1, place)


def two_least(values: Tensor) -> tuple[Tensor, Tensor]:
    """values [n, size] -> the two least of each row, the least first, and where they stand: [n, 2] each.

    As topk, in 0.65 of its time: the least of blocks first, by vector instructions, then the two blocks in question.
    """
    size = values.shape[1]
    if size % BLOCKS or size < 2 * BLOCKS:
        return values.topk(CHILDREN, 1, largest=False)
    blocks = values.view(len(values), size // BLOCKS, BLOCKS)  # block b: entries b, b + BLOCKS, ...
    nearest = blocks.amin(1).topk(CHILDREN, 1, largest=False, sorted=False).indices
    few = blocks.gather(2, nearest[:, None].expand(-1, size // BLOCKS, -1))
    found, place = few.flatten(1).topk(CHILDREN, 1, largest=False)
    return found, place // CHILDREN * BLOCKS + nearest.gather(1, place % CHILDREN)
