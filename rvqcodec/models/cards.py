"""Models as data: NAME.json beside NAME.safetensors -> `Card`; which are installed. No torch.

`model_id` names the bitstream (what codes mean), and `bitstream_sha256` is the hash of just the tensors that define it:
a later decoder for the same files has the same model id and hash and a higher `decoder_version`.
"""

import json
from pathlib import Path

from rvqcodec.errors import WeightsError
from rvqcodec.models import families
from rvqcodec.models.interface import Card

PACKAGE = Path(__file__).parents[1]
FOLDERS = (PACKAGE / "_weights", PACKAGE.parent / "weights")  # installed from a wheel; a checkout
LARGEST_CARD = 1 << 20  # bytes


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
        raise WeightsError(f"{path}: cannot be read as a description of weights ({error}); reinstall rvq") from error
    return card


def available() -> list[Card]:
    """The models that are installed: newest id first, and of one id the newest decoder first."""
    folder = next((f for f in FOLDERS if f.is_dir()), None)
    cards = sorted(folder.glob("*.json")) if folder else []
    return sorted((read_card(path) for path in cards), key=lambda c: (c.model_id, c.decoder_version), reverse=True)


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
                f"model {name or 'of any kind'}{wanted}: no such weights are installed; installed: {known}"
            )
    if bitstream is not None:
        same = [card for card in candidates if card.weights_hash == bitstream]
        if not same:
            raise WeightsError(
                f"model {candidates[0].model_id}: the file was made with weights {bitstream.hex()}, installed are "
                f"{candidates[0].weights_hash.hex()}; install the rvq version that made it"
            )
        candidates = same
    return candidates[0]
