"""A family of models without torch: 24 kHz, hop 320, 5 codebooks of 6 bits, no pre-skip.

A frame is coded as its mean, by uniform quantizers of which each refines what the ones before left over; it sounds as
that mean. Nothing here is like the built-in family, so a number of that family left elsewhere shows.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from rvqcodec.container import ModelFacts
from rvqcodec.models.interface import Card, Counts
from rvqcodec.models.loading import bitstream_sha256
from rvqcodec.types import Codes, Samples

RATE, HOP, N_Q, BITS = 24000, 320, 5, 6
LEVELS = 1 << BITS


def facts(config: dict[str, Any], model_id: str, weights_hash: bytes) -> ModelFacts:
    return ModelFacts(
        model_id=model_id,
        weights_hash=weights_hash,
        model_rate=config["rate"],
        hop=config["hop"],
        pre_skip=0,
        code_bits=config["bits"],
        max_n_q=config["n_q"],
    )


def bitstream(names: Iterable[str]) -> list[str]:
    return [name for name in names if name != "gain"]


def load(card: Card, tensors: Mapping[str, npt.NDArray[Any]], device: str) -> "Toy":
    if set(tensors) != {"range", "gain"}:
        raise ValueError("a toy has a range and a gain")
    return Toy(card.facts, float(tensors["range"][0]), float(tensors["gain"][0]))


class Toy:
    """The model: means from -range to range."""

    context, lookahead = 0, HOP

    def __init__(self, facts: ModelFacts, range_: float, gain: float) -> None:
        self.facts, self.range, self.gain = facts, range_, gain

    def steps(self) -> npt.NDArray[np.float64]:
        """The step of each codebook."""
        return 2 * self.range / LEVELS ** np.arange(1.0, N_Q + 1)

    def encoder(self, channels: int, *, paired: bool = False) -> "Encoder":
        return Encoder(self, channels)

    def decoder(self, channels: int, *, paired: bool = False, start_frame: int = 0, begins: bool = False) -> "Decoder":
        return Decoder(self, channels)


class Encoder:
    def __init__(self, toy: Toy, channels: int) -> None:
        self.toy = toy
        self.pending = np.zeros((channels, 0), np.float32)
        self.means = np.zeros((channels, 0))

    @property
    def ready(self) -> int:
        return self.means.shape[1]

    def push(self, samples: Samples, *, more: bool = False) -> None:
        self.pending = np.concatenate([self.pending, samples], 1)
        full = self.pending.shape[1] // HOP * HOP
        ready, self.pending = self.pending[:, :full], self.pending[:, full:]
        self.means = np.concatenate([self.means, ready.reshape(len(ready), -1, HOP).mean(2, dtype=np.float64)], 1)

    def flush(self) -> None:
        missing = -self.pending.shape[1] % HOP
        self.push(np.zeros((len(self.pending), missing), np.float32))

    def demands(self, frames: int) -> None:
        return None

    def codes(self, n_q: npt.NDArray[np.integer]) -> Codes:
        frames = n_q.shape[1]
        left, self.means = self.means[:, :frames] + self.toy.range, self.means[:, frames:]
        codes = np.zeros((len(left), int(n_q.max()), frames), np.uint16)
        for k, step in enumerate(self.toy.steps()[: codes.shape[1]]):
            codes[:, k] = np.clip(left // step, 0, LEVELS - 1)
            left = left - codes[:, k] * step
        return codes


class Decoder:
    def __init__(self, toy: Toy, channels: int) -> None:
        self.toy, self.channels = toy, channels

    def push(self, codes: Codes, n_q: Counts, *, more: bool = False) -> Samples:
        wanted = np.asarray(n_q)
        counts = np.broadcast_to(wanted[:, None] if wanted.ndim == 1 else wanted, (self.channels, codes.shape[2]))
        if counts.max(initial=0) > min(codes.shape[1], N_Q):
            raise ValueError(f"n_q {counts.max()} of {N_Q}")
        means = np.full(counts.shape, -self.toy.range)
        for k, step in enumerate(self.toy.steps()[: codes.shape[1]]):
            means += np.where(counts > k, codes[:, k] * step + (counts == k + 1) * step / 2, 0)
        means = np.where(counts > 0, means, 0) * self.toy.gain
        return np.repeat(means, HOP, 1).astype(np.float32)

    def flush(self) -> Samples:
        return np.zeros((self.channels, 0), np.float32)


def install(folder: Path, model_id: str = "toy-1") -> Path:
    """Write the two files of a toy into a folder; gives its card."""
    tensors = {"range": np.array([1.0], np.float32), "gain": np.array([1.0], np.float32)}
    data = save(tensors)
    (folder / f"{model_id}-d1.safetensors").write_bytes(data)
    card = folder / f"{model_id}-d1.json"
    fields = {
        "family": "toy",
        "model_id": model_id,
        "decoder_version": 1,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bitstream_sha256": bitstream_sha256(tensors, bitstream(tensors)),
        "config": {"rate": RATE, "hop": HOP, "bits": BITS, "n_q": N_Q},
        "licence": "CC0",
        "training": {},
    }
    card.write_text(json.dumps(fields))
    return card
