"""How latents become codes: `Searched`, as in files, and `Trained`, with gradients and codebooks that move."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor

from rvqcodec.models.rvq44.network.quantize import LatentQuantizer, Quantized
from rvqcodec.models.rvq44.network.search import Search

Quantizers: TypeAlias = tuple[LatentQuantizer, LatentQuantizer]
"""Of the envelope and of the waveform."""
Searches: TypeAlias = tuple[Search, Search]
"""Likewise."""


class Coded(Protocol):
    """Codes int64 [B, K, T] and what all of them together stand for [B, T, L]."""

    @property
    def codes(self) -> Tensor: ...
    @property
    def full(self) -> Tensor: ...


Result = TypeVar("Result", bound=Coded)


class Coder(Protocol[Result]):
    """Codes latents [B, T, L] of several windows; those of the envelope first."""

    def envelope(self, latents: Sequence[Tensor]) -> list[Result]: ...
    def waveform(self, latents: Sequence[Tensor], onsets: Sequence[Tensor]) -> list[Result]: ...


@dataclass(frozen=True)
class Found:
    """Codes of a search, which are decoded only if somebody asks."""

    quantizer: LatentQuantizer
    codes: Tensor

    @property
    def full(self) -> Tensor:
        """What the codes stand for [B, T, L]."""
        batch, count, frames = self.codes.shape
        return self.quantizer.decode(self.codes, torch.full((batch, frames), count, device=self.codes.device))


class Searched:
    """Searches codes as an encoder does, with the codebooks as they are now; several threads may share it.

    n_q: codes of the waveform for every frame, where they are asked for with the envelope's (None: none).
    """

    def __init__(self, quantizers: Quantizers, n_q: int = 0) -> None:
        self._quantizers = quantizers
        self._searches = tuple(quantizer.search() for quantizer in quantizers)
        self._shape_count, self._detail_count = len(quantizers[0].codebooks), n_q

    def envelope(self, latents: Sequence[Tensor]) -> list[Found]:
        return _found(self._quantizers[0], self._searches[0], latents, self._shape_count)

    def waveform(self, latents: Sequence[Tensor], onsets: Sequence[Tensor]) -> list[Found]:
        return _found(self._quantizers[1], self._searches[1], latents, self._detail_count)

    def details(self, latents: Tensor, n_q: Sequence[int]) -> Tensor:
        """Waveform latents [P, T, L] of P parts -> codes [P, K, T], n_q (falling) of each part, then zeros."""
        return self._searches[1].encode(latents, n_q, len(latents))


def _found(quantizer: LatentQuantizer, search: Search, latents: Sequence[Tensor], n_q: int) -> list[Found]:
    codes = search.encode(torch.cat(list(latents)), n_q, len(latents))
    return [Found(quantizer, own) for own in codes.split(len(latents[0]))]


class Trained:
    """Codes for a training step: by the nearest entries, with gradients, while a quantizer is in training mode.

    n_q int64 [B, T]: how many codebooks each frame keeps. decay: of the codebooks' moving averages. searches: of
    codebooks that stay as they are; without them they are made again in each step.
    """

    def __init__(
        self, quantizers: Quantizers, n_q: Tensor, decay: float = 0.99, searches: Searches | None = None
    ) -> None:
        self._quantizers, self._n_q, self._decay, self._searches = quantizers, n_q, decay, searches

    def envelope(self, latents: Sequence[Tensor]) -> list[Quantized]:
        return [self._quantized(0, latent, self._n_q) for latent in latents]

    def waveform(self, latents: Sequence[Tensor], onsets: Sequence[Tensor]) -> list[Quantized]:
        left = self._n_q - len(self._quantizers[0].codebooks)
        return [self._quantized(1, x, left - flags.long()) for x, flags in zip(latents, onsets, strict=True)]

    def _quantized(self, which: int, latent: Tensor, n_q: Tensor) -> Quantized:
        quantizer = self._quantizers[which]
        if not quantizer.training:
            return quantizer.quantize(latent, n_q, self._searches[which] if self._searches else None)
        result: Quantized = quantizer(latent, n_q, self._decay)
        return result
