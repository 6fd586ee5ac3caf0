"""Adds models to the user's folder and removes them: NAME.json, and NAME.safetensors as a link or a copy."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from rvqcodec import files
from rvqcodec.errors import WeightsError
from rvqcodec.models import cards
from rvqcodec.models.interface import Card

REPOSITORIES = {
    "encodec-24khz": "facebook/encodec_24khz",
    "encodec-32khz": "facebook/encodec_32khz",
    "dac-16khz": "descript/dac_16khz",
    "dac-24khz": "descript/dac_24khz",
    "dac-44khz": "descript/dac_44khz",
    "mimi": "kyutai/mimi",
}
"""Names of checkpoints that `download` knows -> where they are published on huggingface.co."""


def add(folder: Path, model_id: str | None = None, *, copy: bool = False) -> Card:
    """Check a folder as Hugging Face lays it out, and install it; gives its card. WeightsError, OSError.

    model_id: None for the usual one of its kind. copy: copy the weights, instead of linking to them.
    """
    from rvqcodec.models.published import folder as folders

    if model_id is not None:
        _check_free(model_id)
    source = folders.read(folder, model_id)
    name = source.fields["model_id"]
    _check_free(name)
    target = cards.user_folder() / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    weights = target.with_suffix(".safetensors")
    weights.unlink(missing_ok=True)  # left without a card
    try:
        if copy:
            _copy(source.weights, weights)
        else:
            os.symlink(source.weights.resolve(), weights)
        _write(target, source.fields)
        return cards.read_card(target)
    except BaseException:
        target.unlink(missing_ok=True)
        weights.unlink(missing_ok=True)
        raise


def download(name: str) -> Path:
    """The folder of a published checkpoint, fetched through huggingface_hub into its own cache. WeightsError."""
    if name == "encodec-48khz":
        from rvqcodec.models.published.encodec import JOINT

        raise WeightsError(f"{name}: {JOINT}")
    repository = REPOSITORIES.get(name)
    if repository is None:
        raise WeightsError(f"{name}: no checkpoint of that name is known; there are {', '.join(REPOSITORIES)}")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise WeightsError(f"{name}: fetching it needs huggingface_hub: pip install 'rvqcodec[families]'") from error
    try:
        found = snapshot_download(repository, allow_patterns=["config.json", "model.safetensors", "README.md"])
    except Exception as error:  # whatever its libraries for HTTP raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".")
        raise WeightsError(
            f"{name}: huggingface.co/{repository} cannot be fetched ({reason}); where there is no network, bring its "
            "config.json and model.safetensors in a folder and give that"
        ) from error
    return Path(found)


def remove(name: str) -> None:
    """Take a model out of the user's folder; what a link points to stays. WeightsError where there is none."""
    target = cards.user_folder() / f"{name}.json"
    if Path(name).name != name or not os.path.lexists(target):
        shipped = any(card.model_id == name for card in cards.available())
        known = ", ".join(sorted(path.stem for path in cards.user_folder().glob("*.json"))) or "none"
        why = "is part of rvq and stays" if shipped else "was not added"
        raise WeightsError(f"model {name}: {why}; added are {known}")
    target.unlink()
    target.with_suffix(".safetensors").unlink(missing_ok=True)


def _check_free(name: str) -> None:
    if os.path.lexists(cards.user_folder() / f"{name}.json"):
        raise WeightsError(f"model {name} is there already; give another --id, or first rvq models remove {name}")
    if any(card.model_id == name for card in cards.available()):
        raise WeightsError(f"model {name} is part of rvq; give another --id")


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as original, files.replacing(target) as file:
        shutil.copyfileobj(original, file, 1 << 20)


def _write(target: Path, fields: dict[str, Any]) -> None:
    with files.replacing(target) as file:
        file.write(json.dumps(fields, indent=1).encode() + b"\n")
