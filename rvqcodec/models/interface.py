"""What the rest of the package knows of a model: its `Card`, `Model`, `Encoder` and `Decoder`; numpy only, no torch.

Encoders and decoders are streams: push pieces of any length, flush once. Any cutting gives the same result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from rvqcodec.container import ModelFacts
from rvqcodec.types import Codes, Samples

Counts: TypeAlias = int | Sequence[int] | npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Card:
    """What stands in NAME.json. `config` is the family's own affair; `training` is for people to read."""

    family: str
    model_id: str
    decoder_version: int
    sha256: str  # of NAME.safetensors
    bitstream_sha256: str
    config: dict[str, Any]
    licence: str
    training: dict[str, Any]
    path: Path  # of NAME.safetensors
    facts: ModelFacts  # as the family makes them of the rest
    tables_sha256: str | None = None  # of MODEL.tables.safetensors beside it, where the model has such tables

    @property
    def weights_hash(self) -> bytes:
        """The eight bytes that a file's header carries."""
        return self.facts.weights_hash


class Encoder(Protocol):
    """Samples of some coded channels at the model's rate to codes.

    Frames that are ready say what they demand; whoever shares codes out then says how many each of them gets.
    """

    @property
    def ready(self) -> int:
        """Frames whose codes can be had."""

    def push(self, samples: Samples, *, more: bool = False) -> None:
        """Take float32 [C, n].

        more: further samples come without delay, so the encoder may wait for them and work faster.
        """

    def flush(self) -> None:
        """Make the last frames ready; in all ceil((samples + pre_skip) / hop), none for no samples."""

    def demands(self, frames: int) -> npt.NDArray[np.uint8] | None:
        """How much each of the next frames, at most `ready`, asks for codes: uint8 [C, frames].

        0 (none) to 15, half an octave of codes a step (`container.allocation`). They do not depend on the bitrate, so
        that files of a lower bitrate are the first codes of a higher one's. None: all frames of all channels get the
        same.
        """

    def codes(self, n_q: npt.NDArray[np.integer]) -> Codes:
        """Give the next frames their codes: n_q [C, T] of each, at most max_n_q -> uint16 [C, K, T], K the most."""


class Decoder(Protocol):
    """Codes of some coded channels to samples at the model's rate."""

    def push(self, codes: Codes, n_q: Counts, *, more: bool = False) -> Samples:
        """uint16 [C, K, T] -> float32 [C, n], n may be 0; the first `pre_skip` samples come before the recording.

        n_q: codebooks in use, at most K: one number, one a channel [C], or one a channel and frame [C, T]. Rows
        beyond it are ignored; 0 is silence. more: further codes come without delay. ValueError for shapes that do
        not fit and codes that the model has not.
        """

    def flush(self) -> Samples:
        """The rest; in all frames * hop samples."""


class Model(Protocol):
    """A model that is loaded and ready."""

    @property
    def facts(self) -> ModelFacts:
        """What files have to know of it."""

    @property
    def context(self) -> int:
        """Frames before a position that affect the sound there: a reader that seeks begins this much earlier."""

    @property
    def lookahead(self) -> int:
        """Samples at the model's rate that must be known beyond one before it can be put out."""

    def encoder(self, channels: int, *, paired: bool = False) -> Encoder:
        """An encoder of `channels` coded channels; paired: they are two, stereo turned as `codec.rotation` does it."""

    def decoder(self, channels: int, *, paired: bool = False, start_frame: int = 0, begins: bool = False) -> Decoder:
        """A decoder of `channels` coded channels; `paired` as for the encoder.

        start_frame: where the first frame that will be pushed stands in the recording. begins: it is the first of a
        recording, as frame 0 always is, so its encoder too knew of nothing before.
        """
