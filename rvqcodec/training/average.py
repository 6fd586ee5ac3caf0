"""A decoder that is the mean of several for the same codes: it keeps most of what each of them learned."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rvqcodec.errors import WeightsError
from rvqcodec.models.cards import read_card
from rvqcodec.models.interface import Card
from rvqcodec.models.loading import verified_tensors
from rvqcodec.models.rvq44 import config as configs
from rvqcodec.models.rvq44.config import Config
from rvqcodec.training import checkpoint
from rvqcodec.training.export import bitstream_of, network_on_steps, ship

CARRIER = "decoder_carrier"  # the noise, which has no mean
NOISE = "decoder_noise.weight", "decoder_noise.bias"  # its gain; a row a coefficient


def average(
    base: Path,
    parts: Sequence[tuple[float, Path]],
    folder: Path,
    *,
    decoder_version: int,
    training: dict[str, Any],
    noise_until: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the mean decoder of `parts` with the codebooks of `base`, as `export` does; returns the card's path.

    base: card of weights. parts: shares, which sum to 1, and where decoders are: a run, its last.pt, the card of
    weights, or a .safetensors with a decoder's tensors alone. noise_until: Hz from which on the noise's gain is read
    off as in the base: a corpus whose recordings end somewhere teaches a step there.

    Source: Wortsman et al., "Model soups", 2022.

    WeightsError: a part has other codebooks, another noise or other shapes than the base, or cannot be read; what
    `ship` refuses.
    """
    card = read_card(base)
    tensors = tensors_of(card)
    own = set(tensors) - set(configs.bitstream(tensors))
    mean = {name: torch.zeros_like(tensors[name], dtype=torch.float32) for name in own - {CARRIER}}
    for share, path in parts:
        part = decoder_of(path, card.bitstream_sha256)
        wrong = next((n for n in sorted(own) if n not in part or part[n].shape != tensors[n].shape), None)
        if wrong is not None or not torch.equal(part[CARRIER].half(), tensors[CARRIER]):
            raise WeightsError(f"{path}: its {wrong or CARRIER} is not that of {base}; only decoders alike have a mean")
        for name, sum_ in mean.items():
            sum_ += share * part[name].float()
    config = Config(**card.config)
    if noise_until is not None:
        high = config.coefficient(noise_until)
        for name in NOISE:
            mean[name][high:] = tensors[name][high:].float()
        training = training | {"noise_until": noise_until}
    return ship(
        tensors | {name: tensor.half() for name, tensor in mean.items()},
        base,
        folder,
        config=config,
        model_id=card.model_id,
        decoder_version=decoder_version,
        licence=card.licence,
        training=training | {"mean_of": {str(path): share for share, path in parts}},
        overwrite=overwrite,
    )


def tensors_of(card: Card) -> dict[str, Tensor]:
    """The tensors of shipped weights, in float16."""
    return {name: torch.from_numpy(tensor) for name, tensor in verified_tensors(card).items()}


def decoder_of(path: Path, bitstream: str) -> Mapping[str, Tensor]:
    """The tensors of a decoder, of the kinds that `average` takes; WeightsError when its codebooks are others."""
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{path}: cannot be read ({error}); give a run or the card of weights") from error
    if path.suffix == ".json":
        card = read_card(path)
        found, tensors = card.bitstream_sha256, tensors_of(card)
    else:
        tensors = network_on_steps(checkpoint.of(path)).state_dict()
        found = bitstream_of({name: tensor.half() for name, tensor in tensors.items()})
    if found != bitstream:
        raise WeightsError(f"{path}: its bitstream is {found[:16]}, not {bitstream[:16]}; it decodes other files")
    return tensors
