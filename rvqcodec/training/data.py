"""Crops of audio for training: a folder is decoded once to a cache, then random crops are cut from it."""

import hashlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from tqdm import tqdm

from rvqcodec.errors import AudioError

Samples = npt.NDArray[np.float32]
SHARES = {"speech": 0.40, "music": 0.47, "sound": 0.13}  # of the crops; by the start of a file's name
ENDINGS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf"}
HOLD_OUT = 25  # every 25th file (by the hash of its name) is never trained on and serves to choose between runs


@dataclass(frozen=True)
class Mix:
    """How crops are varied: level in dB, share of music crops that get a voice on top."""

    quietest: float = -12.0
    loudest: float = 3.0
    voice_over: float = 0.15


def held_out(name: str) -> bool:
    """Whether a file belongs to the validation set; depends on nothing but its name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % HOLD_OUT == 0


def domain_of(name: str) -> str:
    """speech, music or sound by the start of the file's name; anything else counts as music."""
    return next((domain for domain in SHARES if name.startswith(domain)), "music")


def build_cache(folder: Path, cache: Path, sample_rate: int) -> list[Path]:
    """Decode every audio file below `folder` to int16 arrays [channels, samples] in `cache`, once."""
    sources = sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS)
    if not sources:
        raise AudioError(f"{folder}: no audio files in it; give a folder with files that libsndfile opens")
    cache.mkdir(parents=True, exist_ok=True)
    arrays = []
    for source in tqdm(sources, desc="decoding", disable=None):
        target = cache / f"{source.relative_to(folder).as_posix().replace('/', '+')}.{sample_rate}.npy"
        if not target.exists():
            x, rate = soundfile.read(source, dtype="float32", always_2d=True)
            x = soxr.resample(x[:, :2], rate, sample_rate, "HQ")
            part = target.with_suffix(".part")
            with part.open("wb") as out:
                np.save(out, np.clip(np.rint(x.T * 32768), -32768, 32767).astype(np.int16))
            part.replace(target)
        arrays.append(target)
    return arrays


class Pool:
    """Random crops from cached arrays; which crop a step gets depends only on (seed, step)."""

    def __init__(self, arrays: list[Path], *, mix: Mix | None = None) -> None:
        self.mix = mix or Mix()
        self.domains: dict[str, tuple[list[npt.NDArray[np.int16]], npt.NDArray[np.float64]]] = {}
        for domain in SHARES:
            tracks = [np.load(a, mmap_mode="r") for a in arrays if domain_of(a.name) == domain]
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
            kind = rng.random()
            if len(both) == 1:
                x = both[0]
            elif kind < 0.6:
                x = both.mean(0)
            elif kind < 0.9:
                x = both[int(rng.integers(2))]
            else:
                x = (both[0] - both[1]) / 2
            if np.sqrt(np.mean(x * x)) > 1e-3 or rng.random() < 0.05:
                break
        return x

    def crop(self, n: int, rng: np.random.Generator) -> Samples:
        """A mono crop [n] with random level and polarity, never clipped."""
        names = list(self.domains)
        domain = names[min(int(np.searchsorted(self.shares, rng.random())), len(names) - 1)]
        x = self.cut(domain, n, rng)
        if domain == "music" and "speech" in self.domains and rng.random() < self.mix.voice_over:
            voice = self.cut("speech", n, rng)
            level = np.sqrt(np.mean(x * x)) / (np.sqrt(np.mean(voice * voice)) + 1e-4)
            x = x + voice * min(level * 10 ** (rng.uniform(-3, 9) / 20), 3.0)
        gain = 10 ** (rng.uniform(self.mix.quietest, self.mix.loudest) / 20)
        peak = float(np.abs(x).max())
        if peak * gain > 1:
            gain = 1 / peak
        return (x * gain * (1 if rng.random() < 0.5 else -1)).astype(np.float32)

    def batch(self, size: int, n: int, seed: int, step: int) -> Samples:
        """[size, n]: the batch of this step."""
        rng = np.random.default_rng((seed, step))
        return np.stack([self.crop(n, rng) for _ in range(size)])

    def batches(self, size: int, n: int, seed: int, first: int) -> Iterator[Samples]:
        """The batches of steps `first`, `first` + 1, ..., made ahead by a thread."""
        ready: queue.Queue[Samples] = queue.Queue(4)

        def fill() -> None:
            step = first
            while True:
                ready.put(self.batch(size, n, seed, step))
                step += 1

        threading.Thread(target=fill, daemon=True).start()
        while True:
            yield ready.get()
