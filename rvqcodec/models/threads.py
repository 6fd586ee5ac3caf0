"""Work shared out to the processor's cores: one pool of threads for all that this process encodes and decodes.

A product of matrices here is too small to share out; whole windows of sound are shared out instead, each on one core,
while the BLAS library is held to one thread. So nothing spins, and results are the same for any number of threads.
The thread that asks works too, and goes on alone where all others are busy.
"""

import contextlib
import functools
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

In = TypeVar("In")
Out = TypeVar("Out")
Stage = Callable[[Any], Any]

BLAS = {"openblas": "OPENBLAS_NUM_THREADS", "accelerate": "VECLIB_MAXIMUM_THREADS"}
"""What a command sets to 1 before numpy is imported, by numpy's name for the library; MKL's is not among them, for
torch uses it too. OMP_NUM_THREADS stays the user's: it limits `cores`."""

_lock = threading.Lock()
_local = threading.local()
_pool: "ThreadPoolExecutor | None" = None


def cores() -> int:
    """How many this process may use, at most OMP_NUM_THREADS."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(there, int(wanted))) if wanted.isdecimal() else there


def count() -> int:
    """Threads that work for whoever calls, itself included."""
    return getattr(_local, "most", None) or cores()


def limit(most: int) -> None:
    """From now on at most so many threads work for this one."""
    _local.most = max(1, most)


def each(work: Callable[[In], Out], items: Sequence[In]) -> list[Out]:
    """What work makes of all items, in their order. What it raises comes out, after the others have stopped."""
    results: list[Any] = [None] * len(items)
    places = itertools.count()
    failed = threading.Event()

    def run() -> None:
        try:
            while (i := next(places)) < len(items) and not failed.is_set():
                results[i] = work(items[i])
        except BaseException:
            failed.set()
            raise

    together(run, min(count(), len(items)))
    return results


def together(run: Callable[[], None], threads: int) -> None:
    """Call `run` here and, on threads of the pool that are free, up to threads - 1 times more. Wait for all."""
    helpers: list[Future[None]] = []
    if threads > 1 and (pool := _shared_pool()) is not None:
        helpers = [pool.submit(run) for _ in range(threads - 1)]
    try:
        run()
    finally:
        begun = [helper for helper in helpers if not helper.cancel()]
        errors = [error for helper in begun if (error := helper.exception()) is not None]
    if errors:
        raise errors[0]


def pipeline(lines: Sequence[Sequence[Stage]], items: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Take the items of every line through its stages, each of which takes them one by one in their order."""
    if count() < 2:
        return [[functools.reduce(lambda x, stage: stage(x), line, item) for item in row]
                for line, row in zip(lines, items, strict=True)]  # fmt: skip
    work = _Pipeline(lines, items)
    together(work.run, count())
    return work.done


class _Pipeline:
    """Items between stages; every thread takes the next one that a stage can take, the last stages first."""

    def __init__(self, lines: Sequence[Sequence[Stage]], items: Sequence[Sequence[Any]]) -> None:
        self._stages = [(i, k, stage) for i, line in enumerate(lines) for k, stage in enumerate(line)][::-1]
        self._waiting = {(i, 0): list(row)[::-1] for i, row in enumerate(items)}
        self._free = {(i, k) for i, k, _ in self._stages}
        self._left = sum(len(line) * len(row) for line, row in zip(lines, items, strict=True))
        self._changed = threading.Condition()
        self._failed = False
        self.done: list[list[Any]] = [[] for _ in lines]

    def run(self) -> None:
        """Work until nothing is left, or a stage has failed."""
        while (claimed := self._claim()) is not None:
            i, k, stage, item = claimed
            try:
                result = stage(item)
            except BaseException:
                with self._changed:
                    self._failed = True
                    self._changed.notify_all()
                raise
            with self._changed:
                if (i, k + 1) in self._free or (i, k + 1) in self._waiting:
                    self._waiting.setdefault((i, k + 1), []).insert(0, result)
                else:
                    self.done[i].append(result)
                self._free.add((i, k))
                self._left -= 1
                self._changed.notify_all()

    def _claim(self) -> tuple[int, int, Stage, Any] | None:
        """Something to do, as soon as there is something; None when all is done or has failed."""
        with self._changed:
            while self._left and not self._failed:
                for i, k, stage in self._stages:
                    if (i, k) in self._free and self._waiting.get((i, k)):
                        self._free.remove((i, k))
                        return i, k, stage, self._waiting[i, k].pop()
                self._changed.wait()
            return None


def _shared_pool() -> "ThreadPoolExecutor | None":
    global _pool
    with _lock:
        if _pool is None and cores() > 1:
            from concurrent.futures import ThreadPoolExecutor  # costs more than all else here

            _pool = ThreadPoolExecutor(cores() - 1, "rvq")
        return _pool


def _after_fork() -> None:
    """A child has none of its parent's threads."""
    global _pool, _lock, _within
    _pool, _lock, _within = None, threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# ---- the threads of the BLAS library

_limiter: Any = None
_within = 0
_early = False  # whether `hold_blas` came before numpy


def hold_blas() -> None:
    """For a command, before numpy is imported: products of matrices run on the thread that asks for them."""
    global _early
    if "numpy" not in sys.modules:
        os.environ.update(dict.fromkeys(BLAS.values(), "1"))
        _early = True


@functools.cache
def _alone() -> bool:
    """Whether BLAS was loaded with one thread."""
    if not _early:
        return False
    import numpy as np

    built: Any = np.show_config(mode="dicts")
    name = str(built.get("Build Dependencies", {}).get("blas", {}).get("name", ""))
    return any(library in name for library in BLAS)


@functools.cache
def _blas() -> Any:
    """The libraries that numpy has loaded; None without threadpoolctl: then products are right, and slow."""
    try:
        import threadpoolctl
    except ImportError:
        return None
    return threadpoolctl.ThreadpoolController()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within it, BLAS runs on the thread that calls it, in the whole process; several threads may be within."""
    if _alone() or _blas() is None:
        yield
        return
    global _limiter, _within
    with _lock:
        if _within == 0:
            _limiter = _blas().limit(limits=1, user_api="blas")
        _within += 1
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if _within == 0:
                _limiter.restore_original_limits()
