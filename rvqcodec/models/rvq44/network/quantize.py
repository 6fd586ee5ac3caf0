"""Codebook and LatentQuantizer: latents to codes and back, one codebook after the other on the residual."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvqcodec.models.rvq44.network.search import Search, nearest


class Codebook(nn.Module):
    """One stage: project in, nearest entry by Euclidean distance, project out.

    The entries follow the encodings by an exponential moving average (van den Oord et al., 2017, appendix A);
    `usage` and `total` are the counts behind it and are needed for training only.
    """

    def __init__(self, *, latent: int, size: int, dim: int) -> None:
        super().__init__()
        self.project_in = nn.Linear(latent, dim, bias=False)
        self.project_out = nn.Linear(dim, latent, bias=False)
        self.entries: Tensor
        self.usage: Tensor
        self.total: Tensor
        self.register_buffer("entries", torch.randn(size, dim) * 0.1)
        self.register_buffer("usage", torch.ones(size), persistent=False)
        self.register_buffer("total", torch.zeros(size, dim), persistent=False)

    def nearest(self, encoded: Tensor) -> Tensor:
        """encoded [n, dim] -> int64 [n]: the index of the nearest entry."""
        return nearest(torch.addmm(self.entries.square().sum(1), encoded, self.entries.t(), alpha=-2))

    def lookup(self, index: Tensor) -> Tensor:
        """index int64 [...] -> the entries' contribution to the latent [..., latent]."""
        latent: Tensor = self.project_out(F.embedding(index, self.entries))
        return latent

    @torch.no_grad()
    def follow(self, encoded: Tensor, index: Tensor, decay: float) -> None:
        """Move the entries towards the encodings [n, dim] that chose them (index [n])."""
        share = torch.full((len(index),), 1 - decay, device=encoded.device)
        self.usage.mul_(decay).index_add_(0, index, share)
        self.total.mul_(decay).index_add_(0, index, encoded * (1 - decay))
        self.entries.copy_(self.total / self.usage.clamp_min(1e-6)[:, None])

    @torch.no_grad()
    def revive(self, encoded: Tensor, fewest: float) -> int:
        """Put entries whose moving count fell below `fewest` onto random encodings [n, dim]; how many they were."""
        dead = (self.usage < fewest).nonzero().squeeze(1)
        if len(dead):
            chosen = encoded[torch.randint(len(encoded), (len(dead),), device=encoded.device)]
            self.usage[dead] = 4 * fewest
            self.total[dead] = chosen * 4 * fewest
            self.entries[dead] = chosen
        return len(dead)


@dataclass(frozen=True)
class Quantized:
    """What training needs of one pass: gradients flow straight through to the encoder.

    latent: sum of the codebooks in use per item [B, T, L]; full: of all codebooks; codes int64 [B, K, T];
    commitment: squared distance of encodings to their entries, summed over codebooks in use, a scalar.
    """

    latent: Tensor
    full: Tensor
    codes: Tensor
    commitment: Tensor


def per_frame(n_q: Tensor, shape: Sequence[int]) -> Tensor:
    """n_q [B] or [B, T] -> [B, T] of the given shape."""
    return n_q if n_q.ndim == 2 else n_q[:, None].expand(*shape)


class LatentQuantizer(nn.Module):
    """A chain of codebooks, each on what the ones before left over. Source: SoundStream (Zeghidour et al., 2021)."""

    def __init__(
        self,
        *,
        latent: int,
        size: int,
        dims: Sequence[int],
        width: int = 1,
        ahead: int = 0,
        weigh: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """dims: of each codebook's entries; width, ahead, weigh: how codes are searched (see `Search`)."""
        super().__init__()
        self.codebooks = nn.ModuleList(Codebook(latent=latent, size=size, dim=dim) for dim in dims)
        self.width, self.ahead, self.weigh = width, ahead, weigh

    @property
    def stages(self) -> list[Codebook]:
        """The codebooks in order."""
        return [c for c in self.codebooks if isinstance(c, Codebook)]

    def search(self) -> Search:
        """What encodes with these codebooks, made ready once for many latents."""
        return Search(self.stages, width=self.width, ahead=self.ahead, weigh=self.weigh)

    def encode(self, latent: Tensor, n_q: int) -> Tensor:
        """latent [B, T, L] -> codes int64 [B, n_q, T]."""
        return self.search().encode(latent, n_q)

    @torch.no_grad()
    def decode(self, codes: Tensor, n_q: Tensor) -> Tensor:
        """codes [B, K, T], n_q [B, T] (how many of them count in each frame) -> latent [B, T, L]."""
        stages = self.stages[: codes.shape[1]]
        if not stages:
            return torch.zeros(*codes.shape[::2], self.stages[0].project_out.out_features, device=codes.device)
        kept = (n_q[:, None] > torch.arange(len(stages), device=codes.device)[:, None]).float()
        entries = [F.embedding(codes[:, k], s.entries) * kept[:, k, :, None] for k, s in enumerate(stages)]
        return torch.cat(entries, -1) @ torch.cat([s.project_out.weight for s in stages], 1).t()

    def quantize(self, latent: Tensor, n_q: Tensor, search: Search | None = None) -> Quantized:
        """latent [B, T, L], n_q int64 [B] or [B, T] -> as an encoder quantizes it: nothing follows, no gradients.

        search: made before, of these codebooks as they are now.
        """
        with torch.autocast(latent.device.type, enabled=False):
            codes = (search or self.search()).encode(latent.float(), len(self.codebooks))
            shape = codes.shape[::2]
            used = self.decode(codes, per_frame(n_q, shape))
            full = self.decode(codes, torch.full(shape, codes.shape[1], device=codes.device))
        return Quantized(used, full, codes, used.new_zeros(()))

    def forward(self, latent: Tensor, n_q: Tensor, decay: float) -> Quantized:
        """Training pass, by the nearest entry. latent [B, T, L]; n_q int64 [B] or [B, T]: codebooks that are kept."""
        shape = latent.shape
        n_q = per_frame(n_q, shape[:2])
        residual = latent.float()
        used, full = torch.zeros_like(residual), torch.zeros_like(residual)
        commitment = residual.new_zeros(())
        codes = []
        for k, codebook in enumerate(self.stages):
            encoded = codebook.project_in(residual)
            flat = encoded.detach().flatten(0, 1).float()  # bf16 under autocast
            index = codebook.nearest(flat)
            entries = F.embedding(index, codebook.entries).view_as(encoded)
            if self.training:
                codebook.follow(flat, index, decay)
            stage = codebook.project_out(encoded + (entries - encoded).detach())
            keep = (n_q > k).float()
            used = used + stage * keep[..., None]
            full = full + stage
            residual = residual - stage
            commitment = commitment + ((encoded - entries).square().mean(2) * keep).mean()
            codes.append(index.view(shape[:2]))
        return Quantized(used, full, torch.stack(codes, 1), commitment)

    @torch.no_grad()
    def revive(self, latent: Tensor, fewest: float) -> int:
        """Replace entries unused for long by encodings of this latent [B, T, L]; how many were replaced."""
        residual, replaced = latent.float().flatten(0, 1), 0
        for codebook in self.stages:
            encoded = codebook.project_in(residual)
            replaced += codebook.revive(encoded, fewest)
            residual = residual - codebook.lookup(codebook.nearest(encoded))
        return replaced
