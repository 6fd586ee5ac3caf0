"""A folder as Hugging Face lays them out (config.json, model.safetensors) -> its `Card`, after all checks.

Every refusal is one line that names the folder and the remedy. WeightsError, OSError.
"""

import hashlib
import importlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from rvqcodec.container import ModelFacts
from rvqcodec.container.headerrules import valid_model_id
from rvqcodec.errors import WeightsError
from rvqcodec.models import loading
from rvqcodec.models.interface import Card

KINDS = ("encodec", "dac", "mimi")
CONFIG, WEIGHTS, README = "config.json", "model.safetensors", "README.md"
LARGEST_TEXT = 1 << 20  # bytes of a config or a model card
NOT_STATED = "not stated"

_POINTER = b"version https://git-lfs"


class Kind(Protocol):
    """What a family of published checkpoints has beside the functions of every family."""

    FIELDS: tuple[str, ...]

    def check(self, fields: dict[str, Any]) -> None: ...
    def canonical(self, fields: dict[str, Any]) -> dict[str, Any]: ...
    def default_id(self, fields: dict[str, Any]) -> str: ...
    def facts(self, fields: dict[str, Any], model_id: str, weights_hash: bytes) -> ModelFacts: ...
    def bitstream(self, names: Any) -> list[str]: ...


@dataclass(frozen=True)
class Source:
    """A folder that was checked: what its card will say, and where its weights are."""

    fields: dict[str, Any]  # of the card
    weights: Path


def read(folder: Path, model_id: str | None = None) -> Source:
    """Check a folder, load its network once, and describe it. model_id: None for the usual one of its kind."""
    from rvqcodec.models.published import checkpoint

    raw = _config(folder)
    kind_name = raw.get("model_type")
    if kind_name not in KINDS:
        raise WeightsError(f"{folder}: its model type is {kind_name!r}; rvq takes folders of {', '.join(KINDS)}")
    kind = cast(Kind, importlib.import_module(f"rvqcodec.models.published.{kind_name}"))
    weights = _weights(folder)
    try:
        config = checkpoint.complete_config(kind_name, raw, kind.FIELDS)
        kind.check(config)
        config = kind.canonical(config)
        facts = kind.facts(config, model_id or kind.default_id(config), bytes(8))
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise WeightsError(f"{folder}: {CONFIG} is no model that rvq can use: {_first_line(error)}") from error
    if not valid_model_id(facts.model_id):
        raise WeightsError(f"id {facts.model_id!a}: must be 1 to 32 letters, digits, '.', '_' or '-'")
    card = Card(
        family=kind_name,
        model_id=facts.model_id,
        decoder_version=1,
        sha256=_sha256(weights),
        bitstream_sha256="",
        config=config,
        licence=_licence(folder, raw),
        training={"source": str(folder.resolve()), "made_with": checkpoint.version()},
        path=weights,
        facts=facts,
    )
    try:
        tensors = loading.verified_tensors(card)
    except WeightsError as error:
        raise WeightsError(f"{folder}: {WEIGHTS} cannot be read: {error}") from error
    try:
        bitstream = loading.bitstream_sha256(tensors, kind.bitstream(tensors))
        checkpoint.network(kind_name, config, tensors, "cpu")
    except (ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(
            f"{folder}: {WEIGHTS} does not fit {CONFIG}: {_first_line(error)}; get both of the same revision again"
        ) from error
    fields = {name: getattr(card, name) for name in Card.__dataclass_fields__ if name not in ("path", "facts")}
    return Source(fields | {"bitstream_sha256": bitstream}, weights)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not folder.is_dir():
        raise WeightsError(
            f"{folder}: no such folder; give one that holds {CONFIG} and {WEIGHTS}, or a name and --download"
        )
    try:
        if path.stat().st_size > LARGEST_TEXT:
            raise ValueError(f"larger than {LARGEST_TEXT} bytes")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        below = sorted(path.parent for path in folder.glob(f"snapshots/*/{CONFIG}"))
        if below:  # the folder of a repository in Hugging Face's cache
            raise WeightsError(f"{folder}: its model lies deeper; give {below[-1]}") from None
        raise WeightsError(
            f"{folder}: no {CONFIG} in it; give the folder of a model as Hugging Face lays it out"
        ) from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: cannot be read ({_first_line(error)}); get it again") from error
    if not isinstance(raw, dict):
        raise WeightsError(f"{path}: is no JSON object; get it again")
    return raw


def _weights(folder: Path) -> Path:
    path = folder / WEIGHTS
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                raise WeightsError(f"{path}: only points to the weights; fetch them with git lfs pull")
        return path
    if (folder / f"{WEIGHTS}.index.json").exists():
        raise WeightsError(f"{folder}: its weights are in several files; save them as one {WEIGHTS}")
    if list(folder.glob("*.bin")) or list(folder.glob("*.pt*")):
        raise WeightsError(
            f"{folder}: has pickled weights only, which rvq does not open; get the revision with {WEIGHTS}"
        )
    raise WeightsError(f"{folder}: no {WEIGHTS} in it; get it from where {CONFIG} came from")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _licence(folder: Path, config: dict[str, Any]) -> str:
    """What the model card or the config says, in a word or a line."""
    said = config.get("license")
    path = folder / README
    if path.is_file() and path.stat().st_size <= LARGEST_TEXT:
        head = re.match(r"---\s*\n(.*?)\n---", path.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
        line = re.search(r"^license:[ \t]*(\S.*)$", head[1], re.MULTILINE) if head else None
        said = line[1].strip().strip("'\"") if line else said
    return said if isinstance(said, str) and 0 < len(said) <= 100 and said.isprintable() else NOT_STATED


def _first_line(error: BaseException) -> str:
    """An error of another library as the start of a line of ours."""
    return " ".join(str(error).split())[:300] or type(error).__name__
