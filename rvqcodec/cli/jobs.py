"""Runs one job after another, or several at a time; failures are counted."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from rvqcodec import types
from rvqcodec.cli.errors import Batch
from rvqcodec.cli.names import Job, check_job
from rvqcodec.cli.progress import Bar
from rvqcodec.cli.streams import STREAM, called, say
from rvqcodec.files import copy_time
from rvqcodec.models import threads

# Takes a job and a callback for its progress; returns a line about the result.
Run = Callable[[Job, types.Progress], str]


def run_jobs(
    jobs: Sequence[Job],
    run: Run,
    *,
    force: bool,
    workers: int = 1,
    batch: Batch,
    label: str,
    preserve_modtime: bool = False,
) -> None:
    """Check and run every job, and end `batch`, which gets the errors; a line on stderr for each result."""

    def one(job: Job, progress: types.Progress) -> str:
        check_job(job, force=force)
        line = run(job, progress)
        if preserve_modtime and job.target != STREAM:
            copy_time(0 if job.source == STREAM else job.source, job.target)
        return line

    if workers > 1 and len(jobs) > 1:
        _run_at_once(jobs, one, workers=min(workers, len(jobs)), batch=batch, label=label)
    else:
        for job in jobs:
            with batch.item(called(job.source)), Bar(label=label, unit="s", quiet=batch.quiet) as progress:
                line = one(job, progress.to)
                progress.close()
                _tell(job, line, batch)
    batch.finish()


def _run_at_once(jobs: Sequence[Job], run: Run, *, workers: int, batch: Batch, label: str) -> None:
    """Threads: one process loads the weights once, and numpy computes outside Python's lock."""
    with (
        Bar(label=label, unit="file", quiet=batch.quiet) as progress,
        ThreadPoolExecutor(workers, initializer=_share_cores, initargs=(workers,)) as pool,
    ):
        futures: dict[Future[str], Job] = {pool.submit(run, job, _unseen): job for job in jobs}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                job = futures[future]
                with batch.item(called(job.source)):
                    _tell(job, future.result(), batch)
                progress.to(done, len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _unseen(done: float, total: float | None) -> None:
    """Progress within a file, of which several are at work."""


def _share_cores(workers: int) -> None:
    """Give each worker thread its share of the cores."""
    threads.limit(threads.cores() // workers)


def _tell(job: Job, line: str, batch: Batch) -> None:
    if not batch.quiet and job.target != STREAM:
        say(f"{called(job.source)} -> {job.target}: {line}", prefix="")
