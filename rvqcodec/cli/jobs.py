"""Runs one job after another, or several at a time; failures are counted, Ctrl-C stops all."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from rvqcodec import types
from rvqcodec.cli.errors import Batch, Stopped
from rvqcodec.cli.names import Job, check_target
from rvqcodec.cli.progress import Bar
from rvqcodec.cli.streams import STREAM, say, stdin, stdout

# Takes a job and a callback for its progress; returns a line about the result.
Run = Callable[[Job, types.Progress], str]


def run_jobs(
    jobs: Sequence[Job], run: Run, *, force: bool, workers: int, batch: Batch, quiet: bool, label: str
) -> None:
    """Check and run every job; errors go to `batch`, results to stderr as one line each unless `quiet`."""
    if workers > 1 and len(jobs) > 1:
        workers = min(workers, len(jobs))
        _run_at_once(jobs, run, force=force, workers=workers, batch=batch, quiet=quiet, label=label)
        return
    for job in jobs:
        with batch.item(name_of(job.source)), Bar(label=label, unit="s", quiet=quiet) as progress:
            check_job(job, force=force)
            line = run(job, progress.to)
            progress.close()
            _tell(job, line, quiet)


def check_job(job: Job, *, force: bool) -> None:
    """Refuse terminals, the input itself as target, and targets that exist, before any work is done."""
    if job.source == STREAM:
        stdin()
    if job.target == STREAM:
        stdout()
    check_target(job, force=force)


def name_of(source: str) -> str:
    """What messages call an input."""
    return "stdin" if source == STREAM else source


def _run_at_once(
    jobs: Sequence[Job], run: Run, *, force: bool, workers: int, batch: Batch, quiet: bool, label: str
) -> None:
    """Threads: one process loads torch and the weights once, and torch computes outside Python's lock."""
    stop = threading.Event()

    def one(job: Job) -> str:
        check_job(job, force=force)
        return run(job, unless_stopped)

    def unless_stopped(done: float, total: float | None) -> None:
        if stop.is_set():
            raise Stopped

    with (
        Bar(label=label, unit="file", quiet=quiet) as progress,
        ThreadPoolExecutor(workers, initializer=_share_cores, initargs=(workers,)) as pool,
    ):
        futures: dict[Future[str], Job] = {pool.submit(one, job): job for job in jobs}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                job = futures[future]
                with batch.item(name_of(job.source)):
                    _tell(job, future.result(), quiet)
                progress.to(done, len(jobs))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _share_cores(workers: int) -> None:
    """Give each worker thread its share of the cores: torch's default would start as many threads in each."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, min(torch.get_num_threads(), cores // workers)))


def _tell(job: Job, line: str, quiet: bool) -> None:
    if not quiet and job.target != STREAM:
        say(f"{name_of(job.source)} -> {job.target}: {line}", prefix="")
