"""A run's averaged weights -> the two files that are shipped: NAME.safetensors and NAME.json."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from rvqcodec.errors import WeightsError
from rvqcodec.weights import bitstream_sha256


def export(
    checkpoint: Path, folder: Path, *, model_id: str, decoder_version: int, licence: str, training: dict[str, Any]
) -> Path:
    """Write the average of a checkpoint as float16 and its description; returns the description's path."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    tensors = {name: t.half().contiguous() for name, t in state["average"].items()}
    broken = [name for name, t in tensors.items() if not torch.isfinite(t).all()]
    if broken:
        raise WeightsError(f"{checkpoint}: {broken[0]} does not fit float16; train with a lower rate")
    data = save(tensors)
    path = folder / f"{model_id}-d{decoder_version}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "model_id": model_id,
        "decoder_version": decoder_version,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bitstream_sha256": bitstream_sha256(tensors),
        "config": state["config"],
        "licence": licence,
        "training": training | {"steps": state["progress"]["step"], "options": state["options"]},
    }
    write(path, data)
    card = path.with_suffix(".json")
    write(card, (json.dumps(description, indent=2) + "\n").encode())
    return card


def write(path: Path, data: bytes) -> None:
    """Replace a file as a whole."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)
