"""Windows of audio in several threads, with torch's own threads off.

The operations on one window are too small to share out: two threads of torch's encode no faster than one. Whole windows
are shared out instead, each operation on one core: this also makes the result the same for any number of threads.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

import torch

In = TypeVar("In")
Out = TypeVar("Out")
Step = Callable[[Any], Any]

GROUP = 16  # windows at most that are worked on together


class Workers:
    """As many threads as torch may use where this is made; one on CUDA, which wants large operations instead.

    merged: how many windows of a group become a single long one; the result is the same but for rounding.
    """

    def __init__(self, device: torch.device) -> None:
        self.count, self.merged = (torch.get_num_threads(), 1) if device.type == "cpu" else (1, GROUP)
        self._pool = ThreadPoolExecutor(self.count, "rvq", initializer=torch.set_num_threads, initargs=(1,))

    @contextmanager
    def one_core_each(self) -> Iterator[None]:
        """Within it torch's operations run on the thread that calls them."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def shared(self, work: Callable[[Sequence[In]], Sequence[Out]], items: Sequence[In]) -> list[Out]:
        """What work makes of all items, in order; every thread gets a row of them."""
        rows = [row for row in _shared_out(items, self.count) if row]
        results = map(work, rows) if len(rows) < 2 else self._pool.map(work, rows)
        return [result for row in results for result in row]

    def in_a_row(self, steps: Sequence[Step], items: Sequence[Any]) -> list[Any]:
        """Every item through all steps. Threads share the steps: each does a few, on one item after the other."""
        *others, last = _shared_out(steps, self.count if len(items) > 1 else 1)
        others = [part for part in others if part]
        made: Iterable[Any] = items
        for part in others:
            made = self._ahead(part, made, len(items))
        return [_through(last, item) for item in made]

    def _ahead(self, steps: Sequence[Step], items: Iterable[Any], count: int) -> Iterator[Any]:
        """What the steps make of the items, made in a thread while the caller uses those before."""
        results: SimpleQueue[Any] = SimpleQueue()

        def work() -> None:
            for item in items:
                results.put(_through(steps, item))

        done = self._pool.submit(work)
        done.add_done_callback(results.put)  # ends the waiting if a step fails
        for _ in range(count):
            result = results.get()
            if result is done:
                done.result()
            yield result


def _through(steps: Sequence[Step], item: Any) -> Any:
    for step in steps:
        item = step(item)
    return item


def _shared_out(items: Sequence[In], rows: int) -> list[Sequence[In]]:
    """The items in `rows` rows of equal length, or one shorter, the last above all: its thread writes the file too."""
    bounds = [-(-len(items) * i // rows) for i in range(rows + 1)]
    return [items[a:b] for a, b in itertools.pairwise(bounds)]
