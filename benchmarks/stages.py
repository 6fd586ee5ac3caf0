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
from rvqcodec.models.rvq44.decoder import StreamDecoder
from rvqcodec.models.rvq44.encoder import StreamEncoder
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.network.quantize import LatentQuantizer
from rvqcodec.models.rvq44.network.search import Search
from rvqcodec.report.run import table

REST = "the rest"
# Where each stage's work is done; what a stage calls of another is counted as that other's.
PLACES: tuple[tuple[str, Any, str], ...] = (
    ("reading audio", AudioInput, "blocks"),
    ("resampling", Resampler, "push"),
    ("resampling", Resampler, "flush"),
    ("network", StreamEncoder, "push"),
    ("network", StreamEncoder, "flush"),
    ("network", Network, "encode"),  # in threads
    ("network", StreamDecoder, "push"),
    ("network", StreamDecoder, "flush"),
    ("codebook search", Search, "encode"),
    ("codebook look-up", LatentQuantizer, "decode"),
    ("noise", Network, "noise"),
    ("chunks, packing, writing", Chunker, "push"),
    ("chunks, packing, writing", Chunker, "flush"),
    ("chunks, packing, writing", Writer, "write_chunk"),
    ("reading, unpacking chunks", Reader, "__iter__"),
    ("writing audio", AudioOutput, "write"),
    ("writing audio", AudioOutput, "close"),
)


def spent(work: Callable[[], object]) -> dict[str, float]:
    """Stage -> seconds of all its Python threads, largest first. Those that torch adds work beside them, uncounted."""
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


def print_profile(name: str, work: Callable[[], Any]) -> None:
    """The network's operations that take most of the time, on one thread: the profiler sees no other."""
    from rvqcodec.models.rvq44.workers import one_core_each
    from torch.profiler import ProfilerActivity, profile

    start = time.process_time()
    with one_core_each(), profile(activities=[ProfilerActivity.CPU]) as seen:
        work()
    whole = time.process_time() - start
    events = sorted(seen.key_averages(), key=lambda event: -event.self_cpu_time_total)
    by_name = [(event.key, event.self_cpu_time_total / 1e6, str(event.count)) for event in events]
    total = sum(seconds for _, seconds, _ in by_name)
    rows = [[key, f"{seconds:.2f}", f"{seconds / total:.0%}", count] for key, seconds, count in by_name[:10]]
    rows.append(["all operations", f"{total:.2f}", "100%", ""])
    print(table([f"{name}, profiled: {whole:.2f} CPU s", "seconds", "share", "calls"], rows), end="\n\n")
