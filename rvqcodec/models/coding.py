"""The tables of installed models by which the codes of files are coded (`container.coders`); numpy, no torch.

MODEL.tables.safetensors stands beside the weights and names, in its metadata, the bitstream that it is made for. What a
file's header says of it is the beginning of its hash: other tables, another hash.
"""

import functools
import hashlib
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
    """Tables as they ship: tensors, and what a header says of them."""

    hash: bytes
    tensors: Mapping[str, npt.NDArray[Any]]


def tables_of(card: Card) -> Tables | None:
    """The tables of a model; None where it has none. WeightsError where they are damaged or another bitstream's."""
    return _read(card.path.with_name(f"{card.model_id}{ENDING}"), card.bitstream_sha256)


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


@functools.lru_cache(maxsize=4)
def _read(path: Path, bitstream: str) -> Tables | None:
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load

    if not path.exists():
        return None
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"larger than {LARGEST} bytes")
        data = path.read_bytes()
        tensors = load(data)
        with safe_open(path, "numpy") as file:
            made_for = (file.metadata() or {}).get(FOR)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as tables ({error}); reinstall rvq") from error
    if made_for != bitstream:
        raise WeightsError(f"{path}: made for bitstream {str(made_for)[:16]}, not {bitstream[:16]}; reinstall rvq")
    return Tables(hashlib.sha256(data).digest()[:TABLES_HASH], tensors)
