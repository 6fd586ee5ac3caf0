"""Models in use: loaded once a process, and checked against what a file says."""

import functools
import threading
from dataclasses import dataclass, replace

import torch

from rvqcodec import weights
from rvqcodec.container import MAX_N_Q, Header, ModelFacts
from rvqcodec.errors import RvqError, WeightsError
from rvqcodec.model import Codec, Config

_lock = threading.Lock()


@dataclass(frozen=True)
class Model:
    """A codec with what files have to know of it."""

    codec: Codec
    facts: ModelFacts

    @property
    def config(self) -> Config:
        return self.codec.config


def device_of(name: str) -> str:
    """ "auto", "cpu" or "cuda" as a device that is there; RvqError when CUDA is asked for and is not."""
    if name == "cpu":
        return name
    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise RvqError("device cuda: this machine or this torch has none; use --device cpu")
    return "cpu"


def takes_bf16(precision: str, device: str) -> bool:
    """Whether "auto", "float32" or "bf16" means bf16 products in the decoder: "auto" where the processor has them.

    Only what is heard may depend on the machine, so this is no matter of the encoder: codes are float32's everywhere.
    """
    if precision == "auto":
        return device_of(device) == "cpu" and _processor_has_bf16()
    return precision == "bf16"


@functools.cache
def _processor_has_bf16() -> bool:
    """AMX or AVX512-BF16, as this torch sees it. Processors without them imitate bf16, far more slowly than float32."""
    checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(check is not None and check() for check in checks)


def load(name: str | None, device: str) -> Model:
    """The model of that id (None: the default one) on a device ("auto": CUDA where there is one)."""
    if name is not None and name.endswith(".json"):
        with _lock:
            return _load(name, device_of(device), None)
    chosen = weights.info(name)  # under the very key that `load_for` uses, or it would be loaded twice
    with _lock:
        return _load(chosen.model_id, device_of(device), chosen.weights_hash)


@functools.lru_cache(maxsize=4)
def _load(name: str | None, device: str, bitstream: bytes | None) -> Model:
    codec = weights.load(name, device=device, bitstream=bitstream)
    return Model(codec, codec.config.facts(codec.model_id, codec.weights_hash))


def load_for(header: Header, device: str) -> Model:
    """The model that a file was made with. WeightsError, naming id and hash, when ours is another."""
    with _lock:
        model = _load(header.model_id, device_of(device), header.weights_hash)
    if replace(model.facts, max_n_q=MAX_N_Q) != header.facts:
        raise WeightsError(f"the file's rate, hop or code size do not go with model {header.model_id}")
    return model
