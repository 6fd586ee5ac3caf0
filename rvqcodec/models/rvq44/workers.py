"""Windows of audio in several threads, with torch's own threads off.

The operations on one window are too small to share out: two threads of torch's encode no faster than one. Whole windows
are shared out instead, each operation on one core: this also makes the result the same for any number of threads.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

In = TypeVar("In")
Out = TypeVar("Out")

GROUP = 16  # windows at most that are worked on together


def merged(device: torch.device) -> int:
    """How many windows become a single long one: on CUDA, which wants large operations; the same but for rounding."""
    return 1 if device.type == "cpu" else GROUP


@contextmanager
def one_core_each() -> Iterator[None]:
    """Within it torch's operations run on the thread that calls them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Workers:
    """As many threads as torch may use where this is made; one on CUDA.

    They live only while work is shared out: a tenth of a millisecond each, against some 100 ms of work, and nobody has
    to close anything.
    """

    def __init__(self, device: torch.device) -> None:
        self.count = torch.get_num_threads() if device.type == "cpu" else 1

    def shared(self, work: Callable[[Sequence[In]], Sequence[Out]], items: Sequence[In]) -> list[Out]:
        """What work makes of all items, in order; every thread gets a row of them."""
        rows = [row for row in _shared_out(items, self.count) if row]
        if len(rows) < 2:
            return [result for row in rows for result in work(row)]
        with ThreadPoolExecutor(len(rows), "rvq", initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return [result for row in pool.map(work, rows) for result in row]


def _shared_out(items: Sequence[In], rows: int) -> list[Sequence[In]]:
    """The items in `rows` rows of equal length, or one shorter."""
    bounds = [-(-len(items) * i // rows) for i in range(rows + 1)]
    return [items[a:b] for a, b in itertools.pairwise(bounds)]
