"""The start from data: before the first step the network is a classical transform codec (design: model.md)."""

import torch
from torch import Tensor

from rvqcodec.config import SUB_FRAMES
from rvqcodec.model import Codec, by_frame, by_sub_frame
from rvqcodec.quantize import ResidualQuantizer

ROUNDS = 8
CHUNK = 16384  # vectors that are compared with all entries at once
REMAINDER_WEIGHT = 0.2  # importance of the envelope remainders beside the coefficients
LOUDEST = 0.98  # quantile of the latents' norms above which they are limited: outliers must not own entries


def nearest(entries: Tensor, vectors: Tensor) -> Tensor:
    """Index of the nearest entry for every vector."""
    half = entries.square().sum(1)
    return torch.cat([torch.addmm(half, v, entries.t(), alpha=-2).argmin(1) for v in vectors.split(CHUNK)])


def k_means(vectors: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """vectors [n, d] -> entries [size, d] and how many vectors chose each, after a fixed number of rounds."""
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
def start_quantizer(quantizer: ResidualQuantizer, latent: Tensor, weight: Tensor, frames: int) -> Tensor:
    """Set the codebooks one after the other; the distance is measured in weight * latent. Returns what they lose.

    latent [n, L], weight [L]; frames: how many a training batch holds (for the moving counts).
    """
    left = latent * weight
    norm = left.norm(dim=1)
    left = left * (norm.quantile(LOUDEST) / norm.clamp_min(1e-9)).clamp_max(1)[:, None]
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
def start_from_data(codec: Codec, batches: list[Tensor], frames: int) -> None:
    """Set the envelope's mean and all codebooks from crops [B, (S + 1) * sub_frame] (S even)."""
    config = codec.config
    analysed = [codec.frames(x) for x in batches]
    envelopes = [codec.envelope(f) for f in analysed]
    mean = torch.cat([e.flatten(0, 1) for e in envelopes]).mean(0) / config.envelope_scale
    codec.envelope_mean.add_(mean)
    envelopes = [e - mean * config.envelope_scale for e in envelopes]
    shapes = [by_frame(e) for e in envelopes]
    flat = torch.cat([s.flatten(0, 1) for s in shapes])
    start_quantizer(codec.envelope_quantizer, flat, torch.ones(flat.shape[1], device=flat.device), frames)
    latents = []
    for x, envelope, shape in zip(analysed, envelopes, shapes, strict=True):
        codes = codec.envelope_quantizer.encode(shape, config.envelope_codebooks)
        n_q = torch.full((len(x), shape.shape[1]), config.envelope_codebooks, device=x.device)
        quantized = by_sub_frame(codec.envelope_quantizer.decode(codes, n_q))
        features = codec.encoder_features(envelope, quantized, codec.transform(x))
        latents.append(by_frame(codec.analysed(features)).flatten(0, 1))
    importance = codec.importance[: config.coefficients]
    weight = torch.cat([torch.full((config.bands,), REMAINDER_WEIGHT, device=importance.device), importance])
    start_quantizer(codec.waveform_quantizer, torch.cat(latents), weight.repeat(SUB_FRAMES), frames)
