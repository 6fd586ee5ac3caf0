"""Checkpoints: one file with everything that going on needs; replaced as a whole, read without running code."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from rvqcodec import files
from rvqcodec.errors import WeightsError
from rvqcodec.models.rvq44.config import NEW, Config

LAST = "last.pt"
PARTS = (
    *("config", "options", "progress", "random"),
    *("codec", "counts", "average", "optimizer"),
    *("judges", "judge_optimizer"),
)
# What torch raises for anything but tensors and plain values.
_REFUSED = torch.serialization.pickle.UnpicklingError  # type: ignore[attr-defined]


def write(path: Path, state: dict[str, Any]) -> None:
    """Write under a hidden name, then rename: a checkpoint is there whole or not at all."""
    with files.replacing(path, force=True) as file:
        torch.save(state, file)


def of(run: Path) -> Path:
    """The checkpoint of a run: in its folder, or the file itself."""
    return run / LAST if run.is_dir() else run


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


OLD_NAMES = {
    "coded": "coded_coefficients",
    "block": "block_size",
    "flatten": "flatten_exponent",
    "carrier": "carrier_length",
    "level": "level_exponent",
    "onset_bin": "onset_coefficient",
}
OLD_CONSTANTS = (
    *("frame_sub_frames", "log_amplitude_least", "log_amplitude_most", "envelope_step", "share_step"),
    *("level_floor", "flat_rms", "importance_hz", "block_past", "block_future", "smooth_window"),
)
"""What stood in code when checkpoints had the old names, with the values that `NEW` has."""


def _renamed(said: dict[str, Any]) -> dict[str, Any]:
    """The config of a checkpoint from before fields had their names of today, so that runs can go on."""
    absent = ("envelope_dim", "envelope_blocks", "encoder_blocks")
    kept = {OLD_NAMES.get(name, name): value for name, value in said.items() if name not in absent}
    return kept | {name: getattr(NEW, name) for name in OLD_CONSTANTS}


def config_of(path: Path, state: dict[str, Any]) -> Config:
    """The architecture that a checkpoint was made with."""
    said = state["config"]
    if "carrier" in said:
        said = _renamed(said)
    try:
        return Config(**said)
    except TypeError as error:
        raise WeightsError(f"{path}: made for an architecture that this version does not know ({error})") from error
