"""The start from data: before the first step the network is a classical transform codec (design: model.md)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rvqcodec.models.rvq44.network import Network, search
from rvqcodec.models.rvq44.network.coders import Searched
from rvqcodec.models.rvq44.network.envelope import on_steps
from rvqcodec.models.rvq44.network.quantize import LatentQuantizer
from rvqcodec.training.onset_shapes import start_onsets

ROUNDS = 8
CHUNK = 16384  # vectors that are worked on at once
ROWS = 1024  # ... that are compared with all entries at once: the distances stay in the cache
REMAINDER_WEIGHT = 0.2  # importance of the envelope remainders beside the coefficients
REFIT_FRAMES, REFIT_ROUNDS, REFIT_SWEEPS = 300_000, 4, 3
PRIOR = 20  # frames that an entry's old place counts for


def nearest(entries: Tensor, vectors: Tensor) -> Tensor:
    """Index of the nearest entry for every vector."""
    power = entries.square().sum(1)
    return torch.cat([search.nearest(torch.addmm(power, v, entries.t(), alpha=-2)) for v in vectors.split(ROWS)])


def k_means(vectors: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """vectors [n, d] -> entries [size, d] and how many vectors chose each, after a fixed number of rounds.

    `api.residual` has its own in numpy: that one needs no torch, this one runs on the GPU.
    """
    entries = vectors[torch.randperm(len(vectors), device=vectors.device)[:size]].clone()
    for _ in range(ROUNDS):
        index = nearest(entries, vectors)
        count = torch.bincount(index, minlength=size)
        total = torch.zeros_like(entries).index_add_(0, index, vectors)
        used = count > 0
        entries[used] = total[used] / count[used, None]
        missing = int((~used).sum())
        if missing:
            entries[~used] = vectors[torch.randint(len(vectors), (missing,), device=vectors.device)]
    return entries, torch.bincount(nearest(entries, vectors), minlength=size)


@torch.no_grad()
def start_quantizer(quantizer: LatentQuantizer, latent: Tensor, weight: Tensor, frames: int) -> Tensor:
    """Set the codebooks one after the other; the distance is measured in weight * latent. Returns what they lose.

    latent [n, L], weight [L]; frames: how many a training batch holds (for the moving counts).
    """
    left = latent * weight
    for codebook in quantizer.stages:
        size, dim = codebook.entries.shape
        if dim == latent.shape[1]:
            directions = torch.eye(dim, device=latent.device)
        else:
            directions = torch.linalg.eigh(left.t() @ left / len(left))[1][:, -dim:]
        encoded = left @ directions
        entries, count = k_means(encoded, size)
        codebook.project_in.weight.copy_(directions.t() * weight)
        codebook.project_out.weight.copy_(directions / weight[:, None])
        codebook.entries.copy_(entries)
        codebook.usage.copy_((count / len(latent) * frames).clamp_min(1e-3 * frames / size))
        codebook.total.copy_(entries * codebook.usage[:, None])
        left = left - entries[nearest(entries, encoded)] @ directions.t()
    return left / weight


@torch.no_grad()
def start_from_data(network: Network, crops: Callable[[int], Tensor], few: int, more: int, frames: int) -> None:
    """Set the envelope's mean and all codebooks from few + more batches of crops [B, (S + 2) * sub_frame] (S even).

    The waveform codebooks are made from `few` of them and polished with the rest, `few` at a time: high-dimensional
    entries overfit the crops they were made from; more crops help.
    """
    config = network.config
    sums = [network.analyse(crops(i))[0].mean((0, 1)) for i in range(few)]
    network.envelope_mean.add_(torch.stack(sums).mean(0) / config.envelope_scale)
    envelope_weight, waveform_weight = weights(network)
    width = config.frame_sub_frames * config.bands
    flat = torch.cat([network.analyse(crops(i))[0].reshape(-1, width) for i in range(2 * few)])
    start_quantizer(network.envelope_quantizer, flat, envelope_weight, frames)
    refit(network.envelope_quantizer, flat, config.envelope_step)
    # The waveform's latents depend on the envelope's codes.
    coder = Searched(network.quantizers)
    start_onsets(network, crops, few)

    def latents(first: int, last: int) -> Tensor:
        return torch.cat(
            [network.encode([crops(i)], coder)[0].shape.waveform_latent.flatten(0, 1) for i in range(first, last)]
        )

    flat = latents(0, few)
    start_quantizer(network.waveform_quantizer, flat, waveform_weight, frames)
    seen = len(flat)
    for begin in range(few, few + more, few):
        flat = latents(begin, min(begin + few, few + more))
        polish_quantizer(network.waveform_quantizer, flat, seen)
        seen += len(flat)


def polish_quantizer(quantizer: LatentQuantizer, latent: Tensor, seen: int) -> None:
    """Two rounds of k-means a codebook on latent [n, L], in which the frames seen before count as they did."""
    left = latent.clone()
    for codebook in quantizer.stages:
        encoded = codebook.project_in(left)
        before = codebook.usage / codebook.usage.sum() * seen
        total, entries = codebook.entries * before[:, None], codebook.entries.clone()
        for _ in range(2):
            index = nearest(entries, encoded)
            count = before + torch.bincount(index, minlength=len(entries))
            entries = torch.index_add(total, 0, index, encoded) / count[:, None]
        codebook.entries.copy_(entries)
        codebook.usage.copy_(count / count.sum() * codebook.usage.sum())
        codebook.total.copy_(entries * codebook.usage[:, None])
        for part, chosen in zip(left.split(CHUNK), nearest(entries, encoded).split(CHUNK), strict=True):
            part -= codebook.lookup(chosen)


@torch.no_grad()
def refit(quantizer: LatentQuantizer, latent: Tensor, step: float) -> None:
    """Fit the codebooks together to the codes that the search finds for latent [n, L]; projections are identities.

    Afterwards entries are multiples of `step`. One after the other they were fitted to what the nearest entries left
    over.
    """
    for _ in range(REFIT_ROUNDS):
        some = latent[torch.randperm(len(latent), device=latent.device)[:REFIT_FRAMES]]
        count = len(quantizer.stages)
        weight = torch.ones_like(some) if quantizer.weigh is None else quantizer.weigh(some[None])[0]
        codes = torch.cat([quantizer.encode(part[None], count)[0] for part in some.split(CHUNK // 4)], 1)
        left = some - sum(F.embedding(c, s.entries) for c, s in zip(codes, quantizer.stages, strict=True))
        for _ in range(REFIT_SWEEPS):
            for chosen, stage in zip(codes, quantizer.stages, strict=True):
                left += F.embedding(chosen, stage.entries)
                number = torch.full_like(stage.entries, PRIOR).index_add_(0, chosen, weight)
                total = torch.index_add(stage.entries * PRIOR, 0, chosen, left * weight)
                stage.entries.copy_(total / number)
                left -= F.embedding(chosen, stage.entries)
    for stage in quantizer.stages:
        stage.entries.copy_(on_steps(stage.entries, step))
        stage.total.copy_(stage.entries * stage.usage[:, None])


def weights(network: Network) -> tuple[Tensor, Tensor]:
    """How much each dimension counts when the codebooks are set: of the envelope latent, of the waveform latent."""
    config = network.config
    remainder = torch.full((config.bands,), REMAINDER_WEIGHT, device=network.device)
    both = torch.cat([remainder, torch.ones(config.coded_coefficients, device=network.device)])
    envelope = torch.ones(config.frame_sub_frames * config.bands, device=network.device)
    return envelope, both.repeat(config.frame_sub_frames)
