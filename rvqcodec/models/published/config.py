"""What the families of published checkpoints have in common: their hash, their tensors, numbers out of a config."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from rvqcodec.container import ModelFacts
from rvqcodec.container.header import MAX_N_Q


def bitstream(names: Iterable[str]) -> list[str]:
    """All tensors: a checkpoint is one whole, and has no later decoder."""
    return list(names)


def facts(
    config: dict[str, Any],
    model_id: str,
    weights_hash: bytes,
    *,
    hop: int,
    n_q: int,
    steps: tuple[int, ...] = (),
) -> ModelFacts:
    """The facts of a model of single channels, whose hash is that of weights and config: both say what codes mean."""
    size, rate = int(config["codebook_size"]), int(config["sampling_rate"])
    if size & (size - 1) or not 2 <= size <= 1 << 16:
        raise ValueError(f"codebook_size {size}: must be a power of 2 up to 65536")
    if not 1 <= n_q <= MAX_N_Q:
        raise ValueError(f"{n_q} codebooks: must be 1 to {MAX_N_Q}")
    if not 1 <= hop <= 65535 or not 1000 <= rate <= 768000:
        raise ValueError(f"{hop} samples a frame at {rate} Hz: must be at most 65535, and 1000 to 768000 Hz")
    text = json.dumps(config, sort_keys=True)
    return ModelFacts(
        model_id=model_id,
        weights_hash=hashlib.sha256(weights_hash + text.encode()).digest()[:8],
        model_rate=rate,
        hop=hop,
        pre_skip=0,
        code_bits=size.bit_length() - 1,
        max_n_q=n_q,
        pairs=False,
        steps=steps,
    )


def must_be(config: dict[str, Any], **wanted: Any) -> None:
    """Refuse, with ValueError, a config of which a field has another value than ours can handle."""
    for name, value in wanted.items():
        if config[name] != value:
            raise ValueError(f"{name} is {config[name]!r}, and only {value!r} is supported")
