"""A run's averaged weights -> the two files that are shipped: NAME.safetensors and NAME.json."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from rvqcodec.envelope import on_steps
from rvqcodec.errors import WeightsError
from rvqcodec.model import Codec
from rvqcodec.training import checkpoint
from rvqcodec.weights import bitstream_sha256, read_info


def averaged(path: Path) -> Codec:
    """The codec of a checkpoint's averaged weights, in float32, ready to run."""
    state = checkpoint.read(path)
    codec = Codec(checkpoint.config_of(path, state))
    try:
        codec.load_state_dict(state["average"])
    except RuntimeError as error:
        raise WeightsError(f"{path}: its weights do not fit its architecture") from error
    return codec.eval().requires_grad_(False)


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
    """Write the average of a checkpoint as float16 and its description; returns the description's path.

    WeightsError: numbers that float16 cannot hold; weights of that name exist; another decoder version of the same
    model id in `folder` has another bitstream, so that files of one could not be decoded with the other.
    """
    state = checkpoint.read(source)
    tensors = {name: shipped(name, t).half().contiguous() for name, t in state["average"].items()}
    broken = [name for name, t in tensors.items() if not torch.isfinite(t).all()]
    if broken:
        raise WeightsError(f"{source}: {broken[0]} does not fit float16; train with a lower rate")
    bitstream = bitstream_sha256(tensors)
    data = save(tensors)
    path = folder / f"{model_id}-d{decoder_version}.safetensors"
    card = path.with_suffix(".json")
    if card.exists() and not overwrite:
        raise WeightsError(f"{card}: exists; use -f to replace it, or another --decoder-version")
    for other in sorted(folder.glob(f"{model_id}-d*.json")):
        found = read_info(other)
        if other != card and found.bitstream_sha256 != bitstream:
            raise WeightsError(
                f"{other}: has the same model id and bitstream {found.bitstream_sha256[:16]}, but {source} has "
                f"{bitstream[:16]}: files of one do not decode with the other; choose another --model-id"
            )
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "model_id": model_id,
        "decoder_version": decoder_version,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bitstream_sha256": bitstream,
        "config": state["config"],
        "licence": licence,
        "training": training | {"steps": state["progress"]["step"], "options": state["options"]},
    }
    write(path, data)
    write(card, (json.dumps(description, indent=2) + "\n").encode())
    return card


def shipped(name: str, tensor: Tensor) -> Tensor:
    """A weight as it is shipped: envelope codebooks move in training, but `Order` needs them on steps."""
    envelope = name.startswith("envelope_quantizer") and name.endswith(".entries")
    return on_steps(tensor) if envelope else tensor


def write(path: Path, data: bytes) -> None:
    """Replace a file as a whole."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)
