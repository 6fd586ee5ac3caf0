"""Checkpoints: one file with everything that going on needs; replaced as a whole, read without running code."""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from rvqcodec.config import Config
from rvqcodec.errors import WeightsError

LAST = "last.pt"
PARTS = (
    *("config", "options", "progress", "random"),
    *("codec", "counts", "average", "optimizer"),
    *("judges", "judge_optimizer"),
)
_REFUSED = torch.serialization.pickle.UnpicklingError  # what torch raises for anything but tensors and plain values


def write(path: Path, state: dict[str, Any]) -> None:
    """Write under a hidden name, then rename: a checkpoint is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        torch.save(state, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The parts of a checkpoint; WeightsError when it is missing, damaged or something else."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such checkpoint")
    if not zipfile.is_zipfile(path):
        raise WeightsError(f"{path}: no checkpoint, or a damaged one; give a last.pt that `rvq train` wrote")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (_REFUSED, RuntimeError, ValueError, KeyError, EOFError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: this checkpoint cannot be read ({first})") from error
    missing = [name for name in PARTS if name not in state] if isinstance(state, dict) else list(PARTS)
    if missing:
        raise WeightsError(f"{path}: no checkpoint of `rvq train`; it lacks {', '.join(missing)}")
    return dict(state)


def config_of(path: Path, state: dict[str, Any]) -> Config:
    """The architecture that a checkpoint was made with."""
    try:
        return Config(**state["config"])
    except TypeError as error:
        raise WeightsError(f"{path}: made for an architecture that this version does not know ({error})") from error
