"""The family `encodec`: EnCodec of one channel, causal (24 kHz) or not (32 kHz, MusicGen's)."""

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
    "target_bandwidths", "sampling_rate", "audio_channels", "normalize", "chunk_length_s", "overlap", "hidden_size",
    "num_filters", "num_residual_layers", "upsampling_ratios", "norm_type", "kernel_size", "last_kernel_size",
    "residual_kernel_size", "dilation_growth_rate", "use_causal_conv", "pad_mode", "compress", "num_lstm_layers",
    "trim_right_ratio", "codebook_size", "codebook_dim", "use_conv_shortcut",
)  # fmt: skip
JOINT = (
    "it codes channels together, in overlapping windows with a scale each (as EnCodec 48 kHz does), for which an .rvq "
    "file has no place; take EnCodec 24 or 32 kHz"
)


def facts(fields: dict[str, Any], model_id: str, weights_hash: bytes) -> ModelFacts:
    """What files have to know of a model. ValueError, TypeError or KeyError for a config that is none."""
    hop = math.prod(fields["upsampling_ratios"])
    # As transformers reckons: with a whole number of frames a second, rounded up.
    a_codebook = math.log2(fields["codebook_size"]) * math.ceil(fields["sampling_rate"] / hop)
    n_q = [max(1, int(1000 * kbps // a_codebook)) for kbps in fields["target_bandwidths"]]
    return config.facts(fields, model_id, weights_hash, hop=hop, n_q=n_q[-1], steps=tuple(sorted(set(n_q))))


def default_id(fields: dict[str, Any]) -> str:
    """The id of a model for which nobody chose one."""
    return f"encodec-{fields['sampling_rate'] // 1000}khz"


def canonical(fields: dict[str, Any]) -> dict[str, Any]:
    """A config that was checked in one form, whichever version of transformers filled it: its hash is the model's."""
    return fields | {
        "target_bandwidths": [float(kbps) for kbps in fields["target_bandwidths"]],
        "trim_right_ratio": float(fields["trim_right_ratio"]),
        "chunk_length_s": None,
        "overlap": None,
    }


def check(fields: dict[str, Any]) -> None:
    """ValueError for a variant that is not supported, with the reason."""
    if fields["audio_channels"] != 1 or fields["normalize"] or fields["chunk_length_s"]:
        raise ValueError(JOINT)
    config.must_be(fields, norm_type="weight_norm")


def load(card: Card, tensors: Mapping[str, npt.NDArray[Any]], device: str) -> Published:
    """The model of a card. ValueError, TypeError or RuntimeError for tensors that do not fit."""
    check(card.config)
    model = checkpoint.network("encodec", card.config, tensors, device)
    return Published(Network(model, model.config.codebook_dim), card.facts)


class Network(Wrapped):
    """`stream.Network` of an EncodecModel."""

    def quantize(self, latents: "Tensor", n_q: int) -> "Tensor":
        import torch

        codes = []
        for layer in self._model.quantizer.layers[:n_q]:
            codes.append(layer.encode(latents))
            latents = latents - layer.decode(codes[-1])
        return torch.stack(codes, 1)

    def dequantize(self, codes: "Tensor", used: "Tensor") -> "Tensor":
        layers = self._model.quantizer.layers
        parts = [layers[k].decode(codes[:, k]) * used[:, k] for k in range(codes.shape[1])]
        return summed(parts)
