"""What does the work behind the streams: `Engine`, in numpy for the CPU (`cpu`), in torch for CUDA (`network`).

Numpy in and out. Shapes: C coded channels (of a pair: the main one), S sub-frames, T frames, B bands, L values of a
frame that the waveform codebooks quantize.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.onsets import Onsets
from rvqcodec.models.rvq44.scales import Scales
from rvqcodec.models.rvq44.tables import Doubles, Floats
from rvqcodec.types import Codes, Samples

Counts: TypeAlias = npt.NDArray[np.int64]

# How codes are searched: wider comes closer, at the price of speed (weights/MODEL_CARD.md, "What was tried").
ENVELOPE_WIDTH, WAVEFORM_WIDTH, WAVEFORM_AHEAD = 6, 4, 3
ROWS = 32  # frames whose codes are searched in one product, of any channels and places in a chunk


@dataclass(frozen=True)
class Window:
    """What is known of some frames without their waveform codes.

    heads [C, T, K]: the envelope's codes; quantized [C, S, B]: the envelope that they stand for; levels [C, S]: for
    onsets; latents [C, T, L]; coefficients [C, 1 + S, coefficients]: MDCT, with the sub-frame before. second [1 + S,
    coefficients]: of a pair's second channel.
    """

    heads: npt.NDArray[np.int64]
    quantized: Floats
    levels: Doubles
    latents: Floats
    coefficients: Floats
    second: Floats | None = None


class Synthesis(Protocol):
    """Windows of codes to their sound, one after the other."""

    def __call__(self, windows: Sequence[tuple[Codes, Counts]]) -> list[Samples]:
        """Codes [C, K, T] and how many of them count [C, T] -> float32 [C, T * hop], `lag` sub-frames later."""

    @property
    def lag(self) -> int:
        """Sub-frames by which sound comes later than its codes."""


class Engine(Protocol):
    """A model's arithmetic. windows_in_one: how many windows of a stream it takes as one long window."""

    @property
    def config(self) -> Config: ...
    @property
    def scales(self) -> Scales: ...
    @property
    def onsets(self) -> Onsets: ...
    @property
    def stereo_table(self) -> Floats: ...
    @property
    def windows_in_one(self) -> int: ...

    def analyse(self, windows: Sequence[Samples], *, paired: bool) -> list[Window]:
        """Windows of samples [C, (S + 2) * sub_frame], two sub-frames before their first one included."""

    def details(self, latents: Sequence[Floats], n_q: Sequence[int]) -> list[npt.NDArray[np.int64]]:
        """Waveform latents [ROWS, L], n_q (falling) codes of each -> codes [n_q, ROWS] of each."""

    def synthesis(self, channels: int, *, paired: bool, first: int) -> Synthesis:
        """first: position in the recording of the first sub-frame that is pushed, for the noise."""

    def windows_together(self) -> int:
        """How many windows of codes are faster together, for whoever calls."""
