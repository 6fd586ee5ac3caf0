"""The tables of installed models by which the codes of files are coded (`container.coders`); numpy, no torch.

MODEL.tables.safetensors stands beside the weights and names, in its metadata, the bitstream that it is made for; the
model's card names its sha256. What a file's header says of it is the beginning of that: other tables, another hash.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from rvqcodec.container.coders import Coder
from rvqcodec.container.shapes import TABLES_HASH, Key
from rvqcodec.errors import WeightsError
from rvqcodec.models import cards, families
from rvqcodec.models.interface import Card

LARGEST = 32 << 20  # bytes
ENDING = ".tables.safetensors"
FOR = "bitstream_sha256"
"""Name in the metadata."""


@dataclass(frozen=True)
class Tables:
    """Tables as they ship. made_for: the sha256 of a bitstream, where the file names one."""

    sha256: str
    made_for: str | None
    tensors: Mapping[str, npt.NDArray[Any]]

    @property
    def hash(self) -> bytes:
        """What a header says of them."""
        return bytes.fromhex(self.sha256)[:TABLES_HASH]


def tables_of(card: Card) -> Tables | None:
    """The tables of a model; None where it has none. WeightsError where they are not those that the card names."""
    path = card.path.with_name(f"{card.model_id}{ENDING}")
    return _checked(path, card.bitstream_sha256, card.tables_sha256)


def tables_hash(model_id: str, weights_hash: bytes) -> bytes:
    """What the header of a file says whose codes are coded; empty where the model has no tables: codes are packed."""
    card = cards.of_bitstream(model_id, weights_hash)
    found = tables_of(card) if card else None
    return found.hash if found else b""


@functools.lru_cache(maxsize=8)
def coder(key: Key) -> Coder:
    """The coder of a file, as its header names it. WeightsError where the tables are not installed, or are others."""
    card = cards.find(key.model_id, bitstream=key.weights_hash)
    found = tables_of(card)
    if found is None or found.hash != key.tables:
        ours = f"installed are {found.hash.hex()}" if found else "none are installed"
        raise WeightsError(
            f"model {key.model_id}: the file's codes were coded with tables {key.tables.hex()}, {ours}; "
            "install the rvq version that made it"
        )
    try:
        return families.family(card.family).coder(found.tensors, paired=key.paired)
    except (ValueError, TypeError) as error:
        raise WeightsError(f"model {key.model_id}: its tables {found.hash.hex()} do not fit: {error}") from error


def read(path: Path) -> Tables:
    """The tables in a file, whatever they are for. WeightsError where it has none."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"larger than {LARGEST} bytes")
        data = path.read_bytes()
        tensors = load(data)  # so the bytes begin as those of safetensors do: the length of a JSON object, and that
        made_for = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {}).get(FOR)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as tables ({error}); reinstall rvq") from error
    return Tables(hashlib.sha256(data).hexdigest(), made_for, tensors)


@functools.lru_cache(maxsize=4)
def _checked(path: Path, bitstream: str, sha256: str | None) -> Tables | None:
    if sha256 is None and not path.exists():
        return None
    found = read(path)
    if found.made_for != bitstream:
        raise WeightsError(
            f"{path}: made for bitstream {str(found.made_for)[:16]}, not {bitstream[:16]}; reinstall rvq"
        )
    # Nobody else would notice: what damaged tables code, they decode, and no other machine does.
    if sha256 is None:
        raise WeightsError(f"{path}: the model's card names no tables_sha256; rvq train name-tables writes it")
    if found.sha256 != sha256:
        raise WeightsError(f"{path}: has sha256 {found.sha256}, expected {sha256}; it was altered, reinstall rvq")
    return found
