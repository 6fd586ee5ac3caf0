"""A run's averaged weights -> the two files that are shipped: NAME.safetensors and NAME.json."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from rvqcodec import files
from rvqcodec.errors import WeightsError
from rvqcodec.models import coding
from rvqcodec.models.cards import read_card
from rvqcodec.models.loading import bitstream_sha256
from rvqcodec.models.rvq44 import config as configs
from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.family import Rvq44
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.network.engine import TorchEngine
from rvqcodec.models.rvq44.network.envelope import on_steps
from rvqcodec.training import checkpoint


def averaged(path: Path) -> Rvq44:
    """The model of a checkpoint's averaged weights, in float32, ready to run."""
    return Rvq44(TorchEngine(averaged_network(path)))


def averaged_network(path: Path) -> Network:
    """The network of a checkpoint's averaged weights, in float32, ready to run."""
    state = checkpoint.read(path)
    network = Network(checkpoint.config_of(path, state))
    try:
        network.load_state_dict(state["average"])
    except RuntimeError as error:
        raise WeightsError(f"{path}: its weights do not fit its architecture") from error
    return network.eval().requires_grad_(False)


def network_on_steps(path: Path) -> Network:
    """The same as it is shipped, but in float32: the envelope's entries move in training, and `Order` needs steps."""
    network = averaged_network(path)
    for stage in network.envelope_quantizer.stages:
        stage.entries.copy_(on_steps(stage.entries, network.config.envelope_step))
    return network


def export(
    source: Path,
    folder: Path,
    *,
    model_id: str,
    decoder_version: int,
    licence: str,
    training: dict[str, Any],
    overwrite: bool = False,
) -> Path:
    """Write the average of a checkpoint as float16 and its description, as `ship` does; returns that one's path."""
    state = checkpoint.read(source)
    network = network_on_steps(source)
    return ship(
        {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()},
        source,
        folder,
        config=network.config,
        model_id=model_id,
        decoder_version=decoder_version,
        licence=licence,
        training=training | {"steps": state["progress"]["step"], "options": state["options"]},
        overwrite=overwrite,
    )


def ship(
    tensors: Mapping[str, Tensor],
    source: Path,
    folder: Path,
    *,
    config: Config,
    model_id: str,
    decoder_version: int,
    licence: str,
    training: dict[str, Any],
    overwrite: bool,
) -> Path:
    """Write float16 tensors, which came from `source`, and their description; returns the description's path.

    Tables of their bitstream in `folder` are named in the description.

    WeightsError: numbers that float16 cannot hold; weights of that name exist; another decoder version of the same
    model id in `folder` has another bitstream, so that files of one could not be decoded with the other.
    """
    broken = [name for name, t in tensors.items() if not torch.isfinite(t).all()]
    if broken:
        raise WeightsError(f"{source}: {broken[0]} does not fit float16; train with a lower rate")
    bitstream = bitstream_of(tensors)
    data = save(dict(tensors))
    path = folder / f"{model_id}-d{decoder_version}.safetensors"
    card = path.with_suffix(".json")
    if card.exists() and not overwrite:
        raise WeightsError(f"{card}: exists; use -f to replace it, or another --decoder-version")
    for other in sorted(folder.glob(f"{model_id}-d*.json")):
        found = read_card(other)
        if other != card and found.bitstream_sha256 != bitstream:
            raise WeightsError(
                f"{other}: has the same model id and bitstream {found.bitstream_sha256[:16]}, but {source} has "
                f"{bitstream[:16]}: files of one do not decode with the other; choose another --model-id"
            )
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "family": "rvq44",
        "model_id": model_id,
        "decoder_version": decoder_version,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bitstream_sha256": bitstream,
        "config": config.to_dict(),
        "licence": licence,
        "training": training,
    }
    tables = folder / f"{model_id}{coding.ENDING}"
    if tables.exists():
        known = coding.read(tables)
        description |= {"tables_sha256": known.sha256} if known.made_for == bitstream else {}
    for target, content in ((path, data), (card, card_bytes(description))):
        with files.replacing(target, force=True) as file:
            file.write(content)
    return card


def card_bytes(fields: Mapping[str, Any]) -> bytes:
    """A card as it is written: what is long stands last."""
    ordered = sorted(fields.items(), key=lambda field: field[0] in ("config", "licence", "training"))
    return (json.dumps(dict(ordered), indent=2) + "\n").encode()


def bitstream_of(tensors: Mapping[str, Tensor]) -> str:
    """The hash of what codes mean, as a card of these tensors names it."""
    arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    return bitstream_sha256(arrays, configs.bitstream(arrays))
