"""Where the time of a training step goes: data, network, losses, discriminators, update."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from rvqcodec.training.trainer import Trainer

WARM_UP = 2  # steps that are not timed


@dataclass(frozen=True)
class Profile:
    """Seconds per part over `steps` steps; audio_seconds: of sound that was trained on."""

    seconds: dict[str, float]
    steps: int
    audio_seconds: float

    @property
    def speed(self) -> float:
        """Seconds of audio trained per second."""
        return self.audio_seconds / sum(self.seconds.values())


class _Clock:
    """Sums the time of each part; on a GPU it waits at both ends of a part, so that nothing overlaps."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        begin = self.now()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self.now() - begin


def profile(trainer: Trainer, steps: int) -> Profile:
    """Train a few steps with a clock around every part. Batches are made in line here: their full cost shows.

    The steps count: weights move. Use a trainer that is thrown away.
    """
    clock = _Clock(trainer.device)
    options = trainer.options
    for step in range(-WARM_UP, steps):
        if step == 0:
            clock.seconds.clear()
            trainer.part = clock.part
        with trainer.part("data"):
            batch = trainer.pool.batch(options.batch, trainer.samples, options.seed + 2, trainer.progress.step)
        trainer.step(torch.as_tensor(batch))
    config = trainer.network.config
    audio = steps * options.batch * options.sub_frames * config.sub_frame / config.sample_rate
    return Profile(clock.seconds, steps, audio)
