"""The training loop: a slice of a run with a log, checkpoints, and a clean end by steps, hours or signal."""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import torch

from rvqcodec.training.options import Options
from rvqcodec.training.trainer import Trainer

__all__ = ["LOG", "Options", "Trainer", "run"]

LOG = "log.jsonl"


def run(trainer: Trainer, *, shown: Callable[[float], None] = lambda share: None) -> int | None:
    """Train until the slice is over or a signal asks to stop; saves in either case.

    Returns the signal's number if one stopped it. shown: called after every step with the share of the slice that is
    over. RvqError when the losses are not numbers any more; the previous checkpoint is kept.
    """
    o, p = trainer.options, trainer.progress
    batches = trainer.pool.batches(o.batch, trainer.samples, o.seed + 2, p.step, workers=trainer.workers)
    stopped: list[int] = []
    with (
        _signals_into(stopped),
        contextlib.closing(batches),
        (trainer.out / LOG).open("a", encoding="utf-8") as log,
    ):
        saved = clock = time.monotonic()
        while not stopped and trainer.share_done() < 1:
            with trainer.part("data"):
                batch = torch.as_tensor(next(batches))
            for name, value in trainer.step(batch).items():
                p.sums.setdefault(name, []).append(value)
            now = time.monotonic()
            p.seconds, clock = p.seconds + now - clock, now
            if p.step % o.log_every == 0:
                log.write(json.dumps(log_row(trainer)) + "\n")
                log.flush()
            if now - saved > 60 * o.save_minutes:
                trainer.save()
                saved = now
            shown(trainer.share_done())
        trainer.save()
    return stopped[0] if stopped else None


def log_row(trainer: Trainer) -> dict[str, float]:
    """One line of the log: means of the losses since the last line, which are forgotten then."""
    p = trainer.progress
    row = {"step": p.step, "seconds": round(p.seconds, 1)}
    row |= {name: round(value, 5) for name, value in trainer.means().items()}
    p.sums.clear()
    return row | {"rate": round(trainer.rate_factor(trainer.share_done()), 5)}


@contextlib.contextmanager
def _signals_into(stopped: list[int]) -> Iterator[None]:
    """While inside, SIGTERM, SIGHUP and Ctrl-C only leave their number in `stopped`; what nohup ignores stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        stopped.append(number)

    names = ("SIGTERM", "SIGINT", "SIGHUP")  # Windows lacks the last
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {n: signal.signal(n, note) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
