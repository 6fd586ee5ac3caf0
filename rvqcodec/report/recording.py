"""Recordings whole in memory, for comparing: audio files, `.rvq` files decoded on the way, stdin."""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from rvqcodec import speakers
from rvqcodec.container.headerbytes import MAGIC
from rvqcodec.errors import AudioError
from rvqcodec.files import is_special, temporary_folder
from rvqcodec.report.metrics.perceptual import resample
from rvqcodec.types import Samples

LONGEST = 1200.0  # seconds: both recordings are held in memory, a few times over


@dataclass(frozen=True)
class Sound:
    """Samples float32 [C, n] at `sample_rate` (Hz); `file_bytes` of their file, None from a pipe.

    `layout`: the mask of the channels' loudspeakers, as in `rvqcodec.speakers`.
    """

    name: str
    samples: Samples
    sample_rate: int
    layout: int
    file_bytes: int | None = None
    coded: bool = False  # was an `.rvq` file
    losses: tuple[str, ...] = ()  # lines about sound that was not read

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def seconds(self) -> float:
        return float(self.samples.shape[1] / self.sample_rate)


def read_recording(source: str, *, device: str = "auto") -> Sound:
    """Read a file or stdin ("-"); an `.rvq` file, known by its first bytes, is decoded.

    Errors: RvqError, OSError.
    """
    if source != "-" and not is_special(source):
        return _read(source, source, device)
    with _spooled(source) as path:
        return replace(_read(path, "stdin" if source == "-" else source, device), file_bytes=None)


def _read(path: str, name: str, device: str) -> Sound:
    if not os.path.exists(path):
        raise AudioError(f"{name}: no such file")
    if os.path.isdir(path):
        raise AudioError(f"{name}: is a folder; name a file")
    with open(path, "rb") as file:
        coded = file.read(len(MAGIC)) == MAGIC
    if not coded:
        return _samples(path, name, os.path.getsize(path))
    from rvqcodec.codec import DecodeOptions, decoding
    from rvqcodec.container import Reader

    with open(path, "rb") as file:
        chunks, options = Reader(file), DecodeOptions(device=device)
        rate = chunks.header.sample_rate
        blocks = decoding.decoded(chunks, decoding.Span(chunks.header, options), options)
        samples = _whole(blocks, name, rate)
    return Sound(name, samples, rate, chunks.header.layout, os.path.getsize(path), coded=True)


def _samples(path: str, name: str, file_bytes: int) -> Sound:
    from rvqcodec.audio import open_input

    with open_input(path, name=name) as audio:
        samples = _whole(audio.blocks(audio.sample_rate), name, audio.sample_rate)
        speakers, losses = audio.layout.speakers, tuple(audio.losses)
        return Sound(name, samples, audio.sample_rate, speakers, file_bytes, losses=losses)


def _whole(blocks: Iterable[Samples], name: str, sample_rate: int) -> Samples:
    """All blocks in one. AudioError for none, and for more than is compared."""
    kept, n = [], 0
    for block in blocks:
        kept.append(block)
        n += block.shape[1]
        if n > LONGEST * sample_rate:
            most = f"{LONGEST / 60:.0f} minutes"
            raise AudioError(f"{name}: longer than {most}, the most that is compared; cut a part out")
    if not n:
        raise AudioError(f"{name}: has no samples")
    return np.concatenate(kept, axis=1)


@contextmanager
def _spooled(source: str) -> Iterator[str]:
    """Stdin or a pipe by name as a temporary file, because what it is shows only in its first bytes."""
    if source == "-" and (sys.stdin is None or sys.stdin.isatty()):
        raise AudioError("stdin is a terminal; pipe audio in or name a file")
    with temporary_folder() as folder:
        path = folder / "sound"
        with path.open("wb") as copy:
            if source == "-":
                shutil.copyfileobj(sys.stdin.buffer, copy, 1 << 20)
            else:
                with open(source, "rb") as stream:
                    shutil.copyfileobj(stream, copy, 1 << 20)
        yield str(path)


def make_alike(reference: Sound, other: Sound) -> tuple[Sound, Sound, list[str]]:
    """Both at the higher of their rates, and both mono if one of them is; and notes that say so.

    Raises AudioError for other differences in channels.
    """
    notes = []
    if reference.channels != other.channels:
        if min(reference.channels, other.channels) != 1:
            raise AudioError(
                f"cannot compare {reference.channels} channels ({reference.name}) with {other.channels} "
                f"({other.name}): give both the same number, or make one mono"
            )
        wider = reference if reference.channels > 1 else other
        notes.append(f"{wider.name} was mixed down to mono, as the other is")
        reference, other = _mono(reference), _mono(other)
    elif reference.layout != other.layout:
        layouts = (f"{sound.name} is {speakers.name(sound.layout, sound.channels)}" for sound in (reference, other))
        notes.append(f"channels are compared in their order, though {' and '.join(layouts)}")
    rate = max(reference.sample_rate, other.sample_rate)
    for recording in (reference, other):
        if recording.sample_rate != rate:
            rates = f"from {recording.sample_rate} to {rate} Hz"
            notes.append(f"{recording.name} was taken {rates}, the other's rate")
    if abs(reference.seconds - other.seconds) > 0.001:
        notes.append(f"lengths differ: {reference.seconds:.3f} s and {other.seconds:.3f} s")
    return _at(reference, rate), _at(other, rate), notes


def _mono(recording: Sound) -> Sound:
    from rvqcodec.codec.channels import mixed, mono_gains

    samples = mixed(recording.samples, mono_gains(recording.layout, recording.channels))
    return replace(recording, samples=samples, layout=speakers.usual(1))


def _at(recording: Sound, rate: int) -> Sound:
    samples = resample(recording.samples, recording.sample_rate, rate)
    return replace(recording, samples=samples, sample_rate=rate)
