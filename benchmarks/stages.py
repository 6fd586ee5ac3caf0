"""Which share of an encode or decode each stage takes, from reading to writing: seconds of processor time."""

import functools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rvqcodec.audio import AudioInput, AudioOutput, Resampler
from rvqcodec.codec.chunker import Chunker
from rvqcodec.container import Reader, Writer
from rvqcodec.models.rvq44.cpu.analysis import Analysis
from rvqcodec.models.rvq44.cpu.blocks import Chain
from rvqcodec.models.rvq44.cpu.head import Head, Overlap
from rvqcodec.models.rvq44.cpu.lookup import Quantizer
from rvqcodec.models.rvq44.cpu.pair import PairDecoder
from rvqcodec.models.rvq44.cpu.search import Search
from rvqcodec.models.rvq44.decoder import StreamDecoder
from rvqcodec.models.rvq44.encoder import StreamEncoder
from rvqcodec.models.rvq44.pairing import PairEncoder
from rvqcodec.report.run import table

REST = "the rest"
# Where each stage's work is done; what a stage calls of another is counted as that other's.
PLACES: tuple[tuple[str, Any, str], ...] = (
    ("reading audio", AudioInput, "blocks"),
    ("resampling", Resampler, "push"),
    ("resampling", Resampler, "flush"),
    ("windows", StreamEncoder, "push"),
    ("windows", StreamEncoder, "flush"),
    ("analysis", Analysis, "window"),
    ("parameters of pairs", PairEncoder, "push"),
    ("demands", StreamEncoder, "demands"),
    ("order of frames", StreamEncoder, "codes"),
    ("codebook search", Search, "encode"),
    ("windows", StreamDecoder, "push"),
    ("windows", StreamDecoder, "flush"),
    ("codebook look-up", Quantizer, "decode"),
    ("blocks", Chain, "__call__"),
    ("levels and noise", Head, "coefficients"),
    ("second channel", PairDecoder, "push"),
    ("inverse transform", Overlap, "__call__"),
    ("chunks, packing, writing", Chunker, "push"),
    ("chunks, packing, writing", Chunker, "flush"),
    ("chunks, packing, writing", Writer, "write_chunk"),
    ("reading, unpacking chunks", Reader, "__iter__"),
    ("writing audio", AudioOutput, "write"),
    ("writing audio", AudioOutput, "close"),
)


def spent(work: Callable[[], object]) -> dict[str, float]:
    """Stage -> seconds of all its threads, largest first."""
    clock = _Clock()
    kept = [(place, name, getattr(place, name)) for _, place, name in PLACES]
    try:
        for stage, place, name in PLACES:
            setattr(place, name, clock.timed(stage, getattr(place, name)))
        with clock.in_stage(REST):
            work()
    finally:
        for place, name, original in kept:
            setattr(place, name, original)
    return dict(sorted(clock.seconds.items(), key=lambda item: -item[1]))


class _Clock:
    """Adds up the time between one change of stage and the next, in each thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._thread = threading.local()

    @contextmanager
    def in_stage(self, stage: str) -> Iterator[None]:
        outer = getattr(self._thread, "stage", None)
        self._change(stage)
        try:
            yield
        finally:
            self._change(outer)

    def _change(self, stage: str | None) -> None:
        now = time.thread_time()
        before = getattr(self._thread, "stage", None)
        if before is not None:
            self.seconds[before] += now - self._thread.since
        self._thread.stage, self._thread.since = stage, now

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, or generator function, with its time counted."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.in_stage(stage):
                result = function(*args, **kwargs)
            return self._steps(stage, result) if isinstance(result, Iterator) else result

        return wrapper

    def _steps(self, stage: str, steps: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.in_stage(stage):
                try:
                    item = next(steps)
                except StopIteration:
                    return
            yield item


def print_stages(name: str, work: Callable[[], Any], found: dict[str, Any]) -> None:
    """Where the time goes, stage by stage from reading to writing."""
    by_stage = spent(work)
    total = sum(by_stage.values())
    found[name]["stages"] = by_stage
    rows = [[stage, f"{seconds:.3f}", f"{seconds / total:.1%}"] for stage, seconds in by_stage.items()]
    print(table([f"{name}, by stage", "CPU s", "share"], rows), end="\n\n")
