"""Card -> verified `Model`, once a process. Weights are data: safetensors, hashed before use, never pickled."""

import functools
import hashlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from rvqcodec.container import Header
from rvqcodec.errors import RvqError, WeightsError, needs_torch
from rvqcodec.models import cards, families
from rvqcodec.models.interface import Card, Model

LARGEST = 1 << 30  # bytes of a weights file that we are willing to read

_lock = threading.Lock()


def device_of(name: str) -> str:
    """ "auto", "cpu" or "cuda" as a device that is there; RvqError when CUDA is asked for and is not.

    "auto" imports torch only where it is installed and a GPU's driver is there: importing it takes a second.
    """
    if name == "cpu" or (name == "auto" and not _has_driver()):
        return "cpu"
    needs_torch("device cuda")
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise RvqError("device cuda: this machine or this torch has none; use --device cpu")
    return "cpu"


def _has_driver() -> bool:
    """Whether a driver of NVIDIA's or AMD's is loaded, for which torch might have CUDA; where we cannot tell, yes."""
    if importlib.util.find_spec("torch") is None:
        return False
    if sys.platform != "linux":
        return sys.platform == "win32"
    return any(os.path.exists(path) for path in ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/dxg", "/dev/kfd"))


def load(name: str | None, device: str) -> Model:
    """The model of that id (None: the default one) on a device ("auto": CUDA where there is one)."""
    if name is not None and name.endswith(".json"):
        with _lock:
            return _load(name, device_of(device), None)
    card = cards.find(name)  # under the very key that `load_for` uses, or it would be loaded twice
    with _lock:
        return _load(card.model_id, device_of(device), card.weights_hash)


def load_for(header: Header, device: str) -> Model:
    """The model that a file was made with. WeightsError, naming id and hash, when ours is another."""
    with _lock:
        model = _load(header.model_id, device_of(device), header.weights_hash)
    ours = model.facts
    if replace(header.facts, max_n_q=ours.max_n_q, first_n_q=ours.first_n_q, side=ours.side) != ours:
        raise WeightsError(f"the file's rate, hop, pre-skip or code size do not go with model {header.model_id}")
    if max(most for _, most in header.limits) > ours.max_n_q:
        raise WeightsError(f"frames of the file may have more codes than the {ours.max_n_q} of model {header.model_id}")
    return model


@functools.lru_cache(maxsize=4)
def _load(name: str | None, device: str, bitstream: bytes | None) -> Model:
    return open_card(cards.find(name, bitstream=bitstream), device)


def open_card(card: Card, device: str = "cpu") -> Model:
    """The model of a card, its file and its tensors verified. WeightsError when they are not what the card says."""
    family = families.family(card.family)
    tensors = verified_tensors(card)
    if bitstream_sha256(tensors, family.bitstream(tensors)) != card.bitstream_sha256:
        raise WeightsError(
            f"model {card.model_id}: its tensors do not hash to {card.bitstream_sha256}; {cards.remedy(card.path)}"
        )
    try:
        return family.load(card, tensors, device)
    except (ValueError, TypeError, RuntimeError) as error:
        raise _misfit(card, error) from error


def verified_tensors(card: Card) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a card's file, which has the hash that the card names. WeightsError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as parse

    try:
        if card.path.stat().st_size > LARGEST:
            raise WeightsError(f"{card.path}: larger than {LARGEST} bytes; model {card.model_id} is not")
        data = card.path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"model {card.model_id}: {card.path} cannot be read ({error.strerror}); expected sha256 "
            f"{card.sha256}; {cards.remedy(card.path)}"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise WeightsError(
            f"model {card.model_id}: {card.path} has sha256 {found}, expected {card.sha256}; it was altered, "
            f"{cards.remedy(card.path)}"
        )
    try:
        return parse(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise _misfit(card, error) from error


def bitstream_sha256(tensors: Mapping[str, npt.NDArray[Any]], names: Iterable[str]) -> str:
    """The hash over the tensors named: name, type, shape and bytes of each, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(names):
        tensor = tensors[name]
        # Types are called as torch calls them, in every family: hashes of models that exist depend on it.
        digest.update(f"{name} torch.{tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _misfit(card: Card, error: Exception) -> WeightsError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return WeightsError(f"model {card.model_id} (sha256 {card.sha256}): weights do not fit their config: {first}")
