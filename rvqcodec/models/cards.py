"""Models as data: NAME.json beside NAME.safetensors -> `Card`; which are installed. No torch.

There are those of the package, and those that a user added, in a folder of theirs (`user_folder`).

`model_id` names the bitstream (what codes mean), and `bitstream_sha256` is the hash of just the tensors that define it:
a later decoder for the same files has the same model id and hash and a higher `decoder_version`.
"""

import json
import os
from pathlib import Path

from rvqcodec.container import Header, ModelFacts
from rvqcodec.errors import WeightsError
from rvqcodec.models import families
from rvqcodec.models.interface import Card

PACKAGE = Path(__file__).parents[1]
FOLDERS = (PACKAGE / "_weights", PACKAGE.parent / "weights")  # installed from a wheel; a checkout
LARGEST_CARD = 1 << 20  # bytes


def user_folder() -> Path:
    """Where the user's own models are: RVQ_MODELS, or rvq/models where the system keeps a user's data (XDG)."""
    own = os.environ.get("RVQ_MODELS")
    if own:
        return Path(own)
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(data) / "rvq" / "models"


def remedy(path: Path) -> str:
    """What helps where a card or its weights are no use."""
    if path.name == "model.safetensors":  # is about to be added
        return "get it again"
    if path.parent != user_folder():
        return "reinstall rvq"
    return f"rvq models remove {path.stem}, then add it again"


def read_card(path: Path) -> Card:
    """NAME.json -> what it says; WeightsError when it is no description of weights."""
    try:
        if path.stat().st_size > LARGEST_CARD:
            raise WeightsError(f"larger than {LARGEST_CARD} bytes")
        fields = json.loads(path.read_text(encoding="utf-8"))
        weights_hash = bytes.fromhex(fields["bitstream_sha256"])[:8]
        bytes.fromhex(fields["sha256"])
        facts = families.family(fields["family"]).facts(fields["config"], fields["model_id"], weights_hash)
        card = Card(path=path.with_suffix(".safetensors"), facts=facts, **fields)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, WeightsError) as error:
        raise WeightsError(f"{path}: cannot be read as a description of weights ({error}); {remedy(path)}") from error
    return card


def available() -> list[Card]:
    """The models that are installed: first those of the package, the newest id first, and of one id the newest
    decoder; then the user's by name, but for those whose card cannot be read (`unreadable`).
    """
    folder = next((f for f in FOLDERS if f.is_dir()), None)
    own = [read_card(path) for path in sorted(folder.glob("*.json"))] if folder else []
    own.sort(key=lambda c: (c.model_id, c.decoder_version), reverse=True)
    return [*own, *(card for card in _users() if isinstance(card, Card))]


def unreadable() -> list[WeightsError]:
    """What is wrong with those of the user's cards that cannot be read: they must not stop the other models."""
    return [error for error in _users() if isinstance(error, WeightsError)]


def _users() -> list[Card | WeightsError]:
    found: list[Card | WeightsError] = []
    for path in sorted(user_folder().glob("*.json")):
        try:
            found.append(read_card(path))
        except WeightsError as error:
            found.append(error)
    return found


def facts_of(header: Header) -> ModelFacts:
    """The facts of the model that a file was made with: its own where it is installed, else what the file says."""
    card = of_bitstream(header.model_id, header.weights_hash)
    return card.facts if card else header.facts


def of_bitstream(model_id: str, weights_hash: bytes) -> Card | None:
    """The newest decoder of what a file's header names; None where it is not installed."""
    return next((c for c in available() if (c.model_id, c.weights_hash) == (model_id, weights_hash)), None)


def find(name: str | None = None, *, bitstream: bytes | None = None) -> Card:
    """The newest model, or the newest decoder of model id `name`, or the card at a path ending in .json.

    bitstream: the eight hash bytes that a file names; a model with another hash cannot decode it. WeightsError.
    """
    if name is not None and name.endswith(".json"):
        candidates = [read_card(Path(name))]
    else:
        installed = available()
        candidates = [card for card in installed if name in (None, card.model_id)]
        if not candidates:
            known = ", ".join(sorted({card.model_id for card in installed})) or "none"
            wanted = f" (hash {bitstream.hex()})" if bitstream else ""
            raise WeightsError(
                f"model {name or 'of any kind'}{wanted}: no such weights are installed; installed: {known}{_hint(name)}"
            )
    if bitstream is not None:
        same = [card for card in candidates if card.weights_hash == bitstream]
        if not same:
            raise WeightsError(
                f"model {candidates[0].model_id}: the file was made with weights {bitstream.hex()}, installed are "
                f"{candidates[0].weights_hash.hex()}; {_other(candidates[0])}"
            )
        candidates = same
    return candidates[0]


def _hint(name: str | None) -> str:
    """Further help for a model that is not there: why a user's is not, or how one is added."""
    for error in unreadable():
        if name and f"{name}.json" in str(error):
            return f"; {error}"
    return "" if name is None else "; others are added with rvq models add"


def _other(card: Card) -> str:
    """What helps where a file was made with other weights than those of the model's name."""
    if card.path.parent != user_folder():
        return "install the rvq version that made it"
    return "add the checkpoint that made it, under another --id"
