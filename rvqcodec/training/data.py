"""Crops of audio for training: a folder is decoded once to a cache, then random crops are cut from it."""

import contextlib
import hashlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rvqcodec import files
from rvqcodec.audio import Resampler, open_input
from rvqcodec.errors import AudioError
from rvqcodec.training import synthetic
from rvqcodec.types import Samples

Made = TypeVar("Made")
SHARES = {"speech": 0.40, "music": 0.47, "sound": 0.13}  # of the crops; by the start of a file's name
ENDINGS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf"}
QUIET = 1e-3  # RMS of a crop below which another is looked for
MOST_VOICE = 3.0  # gain of a voice that is put on top of music
HOLD_OUT = 25  # every 25th file (by the hash of its name) is never trained on and serves to choose between runs


@dataclass(frozen=True)
class Mix:
    """How crops are varied: level in dB, share of music crops that get a voice on top, share of synthetic ones."""

    quietest: float = -16.0
    loudest: float = 3.0
    voice_over: float = 0.15
    synthetic: float = 0.2


def held_out(name: str) -> bool:
    """Whether a file belongs to the validation set; depends on nothing but its name."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:4], "big") % HOLD_OUT == 0


def domain_of(name: str) -> str:
    """speech, music or sound by the start of the file's name; anything else counts as music."""
    return next((domain for domain in SHARES if name.startswith(domain)), "music")


def sources_in(folder: Path, warn: Callable[[str], None] = lambda line: None) -> list[Path]:
    """The audio files in a folder and below, in a fixed order; AudioError when there are none.

    warn: told of folders below that cannot be looked into.
    """

    def left_out(error: OSError) -> None:
        warn(f"{os.fsdecode(error.filename)}: {error.strerror}; left out")

    tree = os.walk(folder, onerror=left_out)
    sources = sorted(Path(root, name) for root, _, names in tree for name in names)
    sources = [path for path in sources if path.suffix.lower() in ENDINGS and path.is_file()]
    if not sources:
        raise AudioError(f"{folder}: no audio files in it; give a folder with files that libsndfile opens")
    return sources


def build_cache(
    folder: Path,
    cache: Path,
    sample_rate: int,
    *,
    warn: Callable[[str], None] = lambda line: None,
    shown: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Decode every audio file below `folder` to int16 arrays [channels, samples] in `cache`, once, on all cores.

    A file that cannot be read is left out and reported by `warn`; one newer than its array is decoded again.
    shown: told how many files of how many are done. AudioError when nothing is left.
    """
    sources = sources_in(folder, warn)
    cache.mkdir(parents=True, exist_ok=True)

    def cached(index: int) -> Path | None:
        if index >= len(sources):
            return None
        source = sources[index]
        target = cache / f"{source.relative_to(folder).as_posix().replace('/', '+')}.{sample_rate}.npy"
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            try:
                samples = decode(source, sample_rate, warn=warn)
            except AudioError as error:
                warn(f"{error}; left out")
                return None
            with files.replacing(target, force=True) as out:
                np.save(out, samples)
        return target

    arrays = []
    with contextlib.closing(made_ahead(cached, 0, os.cpu_count() or 1)) as ready:
        for done, array in enumerate(itertools.islice(ready, len(sources))):
            shown(done, len(sources))
            if array is not None:
                arrays.append(array)
    if not arrays:
        raise AudioError(f"{folder}: none of its {len(sources)} audio files can be read")
    return arrays


def decode(source: Path, sample_rate: int, *, warn: Callable[[str], None] = lambda line: None) -> npt.NDArray[np.int16]:
    """A file as int16 [1 or 2, n] at `sample_rate`; channels beyond the second are left out.

    warn: told of sound that was not read.
    """
    with open_input(str(source)) as audio:
        kept = min(audio.channels, 2)
        resampler = Resampler(audio.sample_rate, sample_rate, kept)
        parts = [as_int16(resampler.push(block[:kept])) for block in audio.blocks(1 << 18)]
        for loss in audio.losses:
            warn(loss)
        return np.concatenate([*parts, as_int16(resampler.flush())], 1)


def as_int16(samples: Samples) -> npt.NDArray[np.int16]:
    """float32 of full scale 1 -> int16, limited."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


class Pool:
    """Random crops from cached arrays; which crop a step gets depends only on (seed, step)."""

    def __init__(self, arrays: list[Path], sample_rate: int, *, mix: Mix | None = None) -> None:
        self.sample_rate = sample_rate
        self.mix = mix or Mix()
        self.domains: dict[str, tuple[list[npt.NDArray[np.int16]], npt.NDArray[np.float64]]] = {}
        for domain in SHARES:
            tracks = [mapped(a) for a in arrays if domain_of(a.name) == domain]
            if tracks:
                lengths = np.array([t.shape[1] for t in tracks], float)
                self.domains[domain] = tracks, np.cumsum(lengths) / lengths.sum()
        shares = np.array([SHARES[d] for d in self.domains])
        self.shares = np.cumsum(shares) / shares.sum()

    def cut(self, domain: str, n: int, rng: np.random.Generator) -> Samples:
        """A mono crop [n] of one domain: mid 60 %, left or right 30 %, side 10 %; silence mostly skipped."""
        tracks, shares = self.domains[domain]
        x = np.zeros(n, np.float32)
        for _ in range(20):
            track = tracks[min(int(np.searchsorted(shares, rng.random())), len(tracks) - 1)]
            if track.shape[1] <= n:
                continue
            start = int(rng.integers(0, track.shape[1] - n))
            both = track[:, start : start + n].astype(np.float32) / 32768
            left, right = ways_to_mono(rng)
            x = both[0] if len(both) == 1 else np.float32(left) * both[0] + np.float32(right) * both[1]
            if np.sqrt(np.mean(x * x)) > QUIET or rng.random() < 0.05:
                break
        return x

    def crop(self, n: int, rng: np.random.Generator) -> Samples:
        """A mono crop [n] with random level and polarity, never clipped."""
        if rng.random() < self.mix.synthetic:
            return synthetic.sound(n, self.sample_rate, rng)
        names = list(self.domains)
        domain = names[min(int(np.searchsorted(self.shares, rng.random())), len(names) - 1)]
        x = self.cut(domain, n, rng)
        if domain == "music" and "speech" in self.domains and rng.random() < self.mix.voice_over:
            voice = self.cut("speech", n, rng)
            level = np.sqrt(np.mean(x * x)) / (np.sqrt(np.mean(voice * voice)) + 1e-4)
            x = x + voice * min(level * 10 ** (rng.uniform(-3, 9) / 20), MOST_VOICE)
        gain = 10 ** (rng.uniform(self.mix.quietest, self.mix.loudest) / 20)
        peak = float(np.abs(x).max())
        if peak * gain > 1:
            gain = 1 / peak
        return (x * gain * (1 if rng.random() < 0.5 else -1)).astype(np.float32)

    def batch(self, size: int, n: int, seed: int, step: int) -> Samples:
        """[size, n]: the batch of this step."""
        rng = np.random.default_rng((seed, step))
        return np.stack([self.crop(n, rng) for _ in range(size)])

    def pairs(self, size: int, n: int, seed: int, step: int) -> Samples:
        """[size, 2, n]: left and right of recordings with two channels; from (seed, step) alone."""
        rng = np.random.default_rng((seed, step))
        return np.stack([self._pair(n, rng) for _ in range(size)])

    def _pair(self, n: int, rng: np.random.Generator) -> Samples:
        """[2, n]; where no recording has two channels and n samples, of two crops the second is in both channels."""
        tracks = [t for some, _ in self.domains.values() for t in some if len(t) == 2 and t.shape[1] > n]
        if tracks:
            lengths = np.array([t.shape[1] for t in tracks], float)
            track = tracks[int(rng.choice(len(tracks), p=lengths / lengths.sum()))]
            start = int(rng.integers(0, track.shape[1] - n))
            both = track[:, start : start + n].astype(np.float32) / 32768
        else:
            one, other = self.crop(n, rng), self.crop(n, rng)
            both = np.stack([one + other, np.float32(rng.uniform(-1, 1)) * one + other]) / 2
        gain = 10 ** (rng.uniform(self.mix.quietest, self.mix.loudest) / 20)
        return (gain * both[:: rng.choice([-1, 1])]).astype(np.float32)  # as often mirrored

    def batches(self, size: int, n: int, seed: int, first: int, *, workers: int = 1) -> Generator[Samples, None, None]:
        """The batches of steps `first`, `first` + 1, ..., made ahead by threads; close it when done."""
        return made_ahead(lambda step: self.batch(size, n, seed, step), first, workers)


def ways_to_mono(rng: np.random.Generator) -> tuple[float, float]:
    """Weights of left and right: mid 60 %, left or right 30 %, side 10 %."""
    kind = rng.random()
    if kind < 0.6:
        return 0.5, 0.5
    if kind < 0.9:
        return (1.0, 0.0) if kind < 0.75 else (0.0, 1.0)
    return 0.5, -0.5


def made_ahead(make: Callable[[int], Made], first: int, workers: int) -> Generator[Made, None, None]:
    """make(first), make(first + 1), ... without end, made ahead by threads; close it when done."""
    with ThreadPoolExecutor(workers, "batches") as makers:
        ahead = deque(makers.submit(make, first + i) for i in range(workers + 3))
        try:
            for step in itertools.count(first + len(ahead)):
                ready = ahead.popleft()
                ahead.append(makers.submit(make, step))
                yield ready.result()
        finally:
            for one in ahead:
                one.cancel()


def mapped(array: Path) -> npt.NDArray[np.int16]:
    """A cached array, read as it is needed; AudioError when it is no such array."""
    try:
        track: npt.NDArray[np.int16] = np.load(array, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise AudioError(f"{array}: cannot be read ({error}); delete it, it is made again") from error
    if track.dtype != np.int16 or track.ndim != 2:
        raise AudioError(f"{array}: no cached audio; delete it, it is made again")
    return track
