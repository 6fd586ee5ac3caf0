"""The family `mimi`: a semantic codebook, acoustic ones, and transformers that look back ten seconds."""

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

FIELDS = (
    "sampling_rate", "audio_channels", "hidden_size", "num_filters", "num_residual_layers", "upsampling_ratios",
    "kernel_size", "last_kernel_size", "residual_kernel_size", "dilation_growth_rate", "use_causal_conv", "pad_mode",
    "compress", "trim_right_ratio", "codebook_size", "codebook_dim", "num_quantizers", "use_conv_shortcut",
    "vector_quantization_hidden_dimension", "num_semantic_quantizers", "upsample_groups", "num_hidden_layers",
    "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act",
    "max_position_embeddings", "norm_eps", "rope_parameters", "sliding_window", "attention_bias", "frame_rate",
)  # fmt: skip
DOWNSAMPLING = 2  # between the convolutions and the codes; fixed in transformers


def facts(fields: dict[str, Any], model_id: str, weights_hash: bytes) -> ModelFacts:
    """What files have to know of a model. ValueError, TypeError or KeyError for a config that is none."""
    hop = DOWNSAMPLING * math.prod(fields["upsampling_ratios"])
    return config.facts(fields, model_id, weights_hash, hop=hop, n_q=fields["num_quantizers"])


def default_id(fields: dict[str, Any]) -> str:
    """The id of a model for which nobody chose one."""
    return "mimi"


def canonical(fields: dict[str, Any]) -> dict[str, Any]:
    """A config that was checked in one form, whichever version of transformers filled it: its hash is the model's."""
    numbers = {name: float(fields[name]) for name in ("trim_right_ratio", "norm_eps", "frame_rate")}
    rope = {"rope_type": "default", "rope_theta": float(fields["rope_parameters"]["rope_theta"])}
    return fields | numbers | {"rope_parameters": rope}


def check(fields: dict[str, Any]) -> None:
    """ValueError for a variant that is not supported, with the reason."""
    config.must_be(fields, audio_channels=1, num_semantic_quantizers=1, use_causal_conv=True)
    hop = DOWNSAMPLING * math.prod(fields["upsampling_ratios"])
    config.must_be(fields, frame_rate=fields["sampling_rate"] / hop)
    config.must_be(fields["rope_parameters"], rope_type="default")


def load(card: Card, tensors: Mapping[str, npt.NDArray[Any]], device: str) -> Published:
    """The model of a card. ValueError, TypeError or RuntimeError for tensors that do not fit."""
    check(card.config)
    model = checkpoint.network("mimi", card.config, tensors, device)
    return Published(Network(model, model.config.hidden_size), card.facts)


class Network(Wrapped):
    """`stream.Network` of a MimiModel."""

    def quantize(self, latents: "Tensor", n_q: int) -> "Tensor":
        return self._model.quantizer.encode(latents, n_q).transpose(0, 1)  # type: ignore[no-any-return]

    def dequantize(self, codes: "Tensor", used: "Tensor") -> "Tensor":
        quantizer = self._model.quantizer
        halves = (quantizer.semantic_residual_vector_quantizer, quantizer.acoustic_residual_vector_quantizer)
        latents = None
        for half, begin, end in zip(halves, (0, 1), (1, codes.shape[1]), strict=True):
            if begin < end:
                parts = [half.layers[k - begin].decode(codes[:, k]) * used[:, k] for k in range(begin, end)]
                found = summed(parts)
                found = found if half.output_proj is None else half.output_proj(found)
                latents = found if latents is None else latents + found
        assert latents is not None  # there always is a first codebook
        return latents
