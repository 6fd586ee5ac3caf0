"""The family `dac`: the Descript Audio Codec at 16, 24 or 44.1 kHz."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from rvqcodec.container import ModelFacts
from rvqcodec.models.interface import Card
from rvqcodec.models.published import checkpoint, config
from rvqcodec.models.published.config import bitstream
from rvqcodec.models.published.stream import Published
from rvqcodec.models.published.wrapped import Wrapped, summed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FIELDS", "bitstream", "canonical", "check", "default_id", "facts", "load"]

# Not hop_length, which is wrong in published files.
FIELDS = (
    "encoder_hidden_size", "downsampling_ratios", "decoder_hidden_size", "n_codebooks", "codebook_size",
    "codebook_dim", "sampling_rate",
)  # fmt: skip


def facts(fields: dict[str, Any], model_id: str, weights_hash: bytes) -> ModelFacts:
    """What files have to know of a model. ValueError, TypeError or KeyError for a config that is none."""
    hop = math.prod(fields["downsampling_ratios"])
    return config.facts(fields, model_id, weights_hash, hop=hop, n_q=fields["n_codebooks"])


def default_id(fields: dict[str, Any]) -> str:
    """The id of a model for which nobody chose one."""
    return f"dac-{fields['sampling_rate'] // 1000}khz"


def canonical(fields: dict[str, Any]) -> dict[str, Any]:
    """A config that was checked in one form: these fields have only one."""
    return fields


def check(fields: dict[str, Any]) -> None:
    """Every config is supported of which there are facts."""


def load(card: Card, tensors: Mapping[str, npt.NDArray[Any]], device: str) -> Published:
    """The model of a card. ValueError, TypeError or RuntimeError for tensors that do not fit."""
    model = checkpoint.network("dac", card.config, tensors, device)
    return Published(Network(model, model.config.hidden_size), card.facts)


class Network(Wrapped):
    """`stream.Network` of a DacModel."""

    fills = True  # as its feature extractor does: the network drops what is no whole frame

    def quantize(self, latents: "Tensor", n_q: int) -> "Tensor":
        return self._model.quantizer(latents, n_q)[1]  # type: ignore[no-any-return]

    def dequantize(self, codes: "Tensor", used: "Tensor") -> "Tensor":
        quantizers = self._model.quantizer.quantizers
        parts = [
            quantizers[k].out_proj(quantizers[k].codebook(codes[:, k]).transpose(1, 2)) * used[:, k]
            for k in range(codes.shape[1])
        ]
        return summed(parts)
