"""`ResidentPool`: the recordings of a `Pool` in a GPU's memory, cut, mixed and levelled there.

A GPU trains on more crops a second than a CPU can cut out of files. The CPU only draws the numbers, and at the start a
store of synthetic sounds, which come again and again; nothing waits for the GPU.
"""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rvqcodec.training import synthetic
from rvqcodec.training.data import MOST_VOICE, QUIET, Pool, as_int16, made_ahead, ways_to_mono

TRIES = 4  # places that are looked at for a crop that is not silent
BYTES_A_SAMPLE = 4  # two channels of int16
STORE = 4096  # synthetic sounds: made anew in every step they took longer than the step
STORE_LEVELS = -3.0, 3.0  # dB, by which they are varied: they have levels of their own


@dataclass(frozen=True)
class Plan:
    """What a batch of B crops is made of: places [B, TRIES] and ways [B, TRIES, 2], the same of voices [B, 1], and
    how loud: of voices [B] (0: none), of all [B], signed. synthetic [k]: crops that are a sound of the store instead;
    sounds [k]: which one.
    """

    places: npt.NDArray[np.int64]
    ways: npt.NDArray[np.float32]
    voice_places: npt.NDArray[np.int64]
    voice_ways: npt.NDArray[np.float32]
    voices: npt.NDArray[np.float32]
    gains: npt.NDArray[np.float32]
    synthetic: npt.NDArray[np.int64]
    sounds: npt.NDArray[np.int64]


class ResidentPool:
    """Random crops as a `Pool` makes them, though not the same ones; `batch` and `batches` give tensors on `device`."""

    def __init__(self, pool: Pool, device: torch.device, *, store: int = STORE) -> None:
        self.pool, self.device, self.store = pool, device, store
        self._synthetic: dict[tuple[int, int], Tensor] = {}  # of a length and a seed, int16 [store, n]
        parts, total = [], 0
        self._starts: dict[str, list[int]] = {domain: [] for domain in pool.domains}  # of its tracks, in all
        for domain, (tracks, _) in pool.domains.items():
            for track in tracks:
                parts.append(torch.from_numpy(np.array(np.broadcast_to(track, (2, track.shape[1])))).to(device))
                self._starts[domain].append(total)
                total += track.shape[1]
        self._sound = torch.cat(parts, 1)

    @staticmethod
    def size(pool: Pool) -> int:
        """Bytes that the recordings of a pool take on the device."""
        return BYTES_A_SAMPLE * sum(int(t.shape[1]) for tracks, _ in pool.domains.values() for t in tracks)

    def batch(self, size: int, n: int, seed: int, step: int) -> Tensor:
        """[size, n]: the batch of this step."""
        return self.made(self.plan(size, n, seed, step), n, seed)

    def pairs(self, size: int, n: int, seed: int, step: int) -> npt.NDArray[np.float32]:
        """As `Pool.pairs`: they are few."""
        return self.pool.pairs(size, n, seed, step)

    def batches(self, size: int, n: int, seed: int, first: int, *, workers: int = 1) -> Generator[Tensor, None, None]:
        """The batches of steps `first`, `first` + 1, ...; threads make the plans ahead. Close it when done."""
        plans = made_ahead(lambda step: self.plan(size, n, seed, step), first, workers)
        try:
            for plan in plans:
                yield self.made(plan, n, seed)
        finally:
            plans.close()

    def plan(self, size: int, n: int, seed: int, step: int) -> Plan:
        """The random choices for the batch of this step."""
        rng, mix = np.random.default_rng((seed, step)), self.pool.mix
        domains = rng.choice(list(self.pool.domains), size, p=np.diff(self.pool.shares, prepend=0))
        chosen = [[self._place(domain, n, rng) for _ in range(TRIES)] for domain in domains]
        has_voice = "speech" in self.pool.domains
        voices = [self._place("speech" if has_voice else domains[i], n, rng) for i in range(size)]
        on_top = has_voice & (domains == "music") & (rng.random(size) < mix.voice_over)
        artificial = np.flatnonzero(rng.random(size) < mix.synthetic)
        decibels = rng.uniform(mix.quietest, mix.loudest, size)
        decibels[artificial] = rng.uniform(*STORE_LEVELS, len(artificial))
        return Plan(
            places=np.array([[place for place, _ in tries] for tries in chosen]),
            ways=np.array([[way for _, way in tries] for tries in chosen], np.float32),
            voice_places=np.array([[place] for place, _ in voices]),
            voice_ways=np.array([[way] for _, way in voices], np.float32),
            voices=(on_top * 10 ** (rng.uniform(-3, 9, size) / 20)).astype(np.float32),
            gains=(rng.choice([-1, 1], size) * 10 ** (decibels / 20)).astype(np.float32),
            synthetic=artificial,
            sounds=rng.integers(self.store, size=len(artificial)),
        )

    def _place(self, domain: str, n: int, rng: np.random.Generator) -> tuple[int, tuple[float, float]]:
        """First sample of a crop of n in the sound of all, and the weights of its two channels."""
        tracks, shares = self.pool.domains[domain]
        which = min(int(np.searchsorted(shares, rng.random())), len(tracks) - 1)
        start = int(rng.integers(0, max(1, tracks[which].shape[1] - n)))  # a track that is too short runs into the next
        place = min(self._starts[domain][which] + start, self._sound.shape[1] - n)
        return max(0, place), ways_to_mono(rng) if len(tracks[which]) == 2 else (1.0, 0.0)

    def made(self, plan: Plan, n: int, seed: int) -> Tensor:
        """The crops of a plan [B, n]; seed: of the synthetic sounds."""
        x, voice = self._cut(plan.places, plan.ways, n), self._cut(plan.voice_places, plan.voice_ways, n)
        level = rms(x) / (rms(voice) + 1e-4)
        x = x + voice * (level * self._put(plan.voices)).clamp_max(MOST_VOICE)[:, None]
        if len(plan.synthetic):
            x = x.index_copy(0, self._put(plan.synthetic), self.sounds(n, seed)[self._put(plan.sounds)].float() / 32768)
        gains, peak = self._put(plan.gains), x.abs().amax(1).clamp_min(1e-6)
        return x * (gains.sign() * torch.minimum(gains.abs(), 1 / peak))[:, None]

    def sounds(self, n: int, seed: int) -> Tensor:
        """The store of synthetic sounds, int16 [store, n]; made when it is first asked for."""
        if (n, seed) not in self._synthetic:
            made = np.empty((self.store, n), np.int16)

            def make(i: int) -> None:
                rng = np.random.default_rng((seed, i, STORE))
                made[i] = as_int16(synthetic.sound(n, self.pool.sample_rate, rng))

            with ThreadPoolExecutor() as makers:
                list(makers.map(make, range(self.store)))
            self._synthetic[n, seed] = torch.from_numpy(made).to(self.device)
        return self._synthetic[n, seed]

    def _cut(self, places: npt.NDArray[np.int64], ways: npt.NDArray[np.float32], n: int) -> Tensor:
        """places [B, tries], ways [B, tries, 2] -> [B, n]: of each crop the first that is not silent, if one is not."""
        index = self._put(places)[..., None] + torch.arange(n, device=self.device)
        both = self._sound[:, index].float() / 32768  # [2, B, tries, n]
        mono = torch.einsum("cbtn,btc->btn", both, self._put(ways))
        first = (rms(mono) > QUIET).float().argmax(1)
        return mono.gather(1, first[:, None, None].expand(-1, 1, n)).squeeze(1)

    def _put(self, values: npt.NDArray[np.generic]) -> Tensor:
        return onto(self.device, torch.from_numpy(values))


def for_device(pool: Pool | ResidentPool, device: torch.device) -> Pool | ResidentPool:
    """The pool itself, or on a GPU with memory to spare its recordings there."""
    if device.type != "cuda" or isinstance(pool, ResidentPool):
        return pool
    fits = 4 * ResidentPool.size(pool) < torch.cuda.mem_get_info(device)[0]
    return ResidentPool(pool, device) if fits else pool


def onto(device: torch.device, x: Tensor) -> Tensor:
    """A tensor onto a device, if it is not there, without waiting for it."""
    return x if x.device.type == device.type else x.pin_memory().to(device, non_blocking=True)


def rms(x: Tensor) -> Tensor:
    """[..., n] -> root mean square [...]."""
    return x.square().mean(-1).sqrt()
