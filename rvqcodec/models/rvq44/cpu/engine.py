"""The numpy engine: what `engine.Engine` asks for, from a model's tensors."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvqcodec.models import threads
from rvqcodec.models.rvq44 import tables
from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.cpu.analysis import Analysis
from rvqcodec.models.rvq44.cpu.search import Search
from rvqcodec.models.rvq44.cpu.synthesis import Decoding, Synthesis
from rvqcodec.models.rvq44.cpu.weights import Weights
from rvqcodec.models.rvq44.decoder import DECODER_GROUP
from rvqcodec.models.rvq44.engine import WAVEFORM_AHEAD, WAVEFORM_WIDTH, Window
from rvqcodec.models.rvq44.onsets import Onsets
from rvqcodec.models.rvq44.scales import Scales
from rvqcodec.types import Samples


class NumpyEngine:
    """A model on the CPU. What only encoding or only decoding needs is made when it is first needed."""

    windows_in_one = 1

    def __init__(self, config: Config, tensors: Mapping[str, NDArray[Any]]) -> None:
        """ValueError for an architecture that is none, and for tensors that are not its own."""
        tables.of(config).check()
        self.config, self._weights = config, Weights(config, tensors)
        self.scales = Scales(config, self._weights["envelope_mean"])
        self.onsets = Onsets(config, self._weights["onset.entries"])

    @functools.cached_property
    def stereo_table(self) -> NDArray[np.float32]:
        return self._weights["stereo_table"]

    @functools.cached_property
    def _analysis(self) -> Analysis:
        return Analysis(self._weights, self.scales, self.onsets)

    @functools.cached_property
    def _search(self) -> Search:
        return Search(self._weights, "waveform_quantizer", width=WAVEFORM_WIDTH, ahead=WAVEFORM_AHEAD)

    @functools.cached_property
    def _decoding(self) -> Decoding:
        return Decoding(self._weights, self.scales, self.onsets, self.stereo_table)

    def analyse(self, windows: Sequence[Samples], *, paired: bool) -> list[Window]:
        analysis = self._analysis
        return threads.each(lambda samples: analysis.window(samples, paired=paired), windows)

    def details(self, latents: Sequence[NDArray[np.float32]], n_q: Sequence[int]) -> list[NDArray[np.int64]]:
        search = self._search
        return threads.each(lambda one: search.encode(*one), list(zip(latents, n_q, strict=True)))

    def synthesis(self, channels: int, *, paired: bool, first: int) -> Synthesis:
        return Synthesis(self._decoding, channels, paired=paired, first=first)

    def windows_together(self) -> int:
        return DECODER_GROUP if threads.count() > 1 else 1
