"""Audio -> blocks -> the model's rate -> coded channels -> codes -> chunks -> file: the encoder's straight line."""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rvqcodec import files
from rvqcodec.audio import AudioInput, RawFormat, Resampler, open_input
from rvqcodec.codec.chunker import Chunker
from rvqcodec.codes import bitrate
from rvqcodec.container import FRAMES_PER_CHUNK, Chunk, Header, ModelFacts, Reader, Writer, usable_tags
from rvqcodec.errors import AudioError, BitrateError, FormatError
from rvqcodec.models import loading
from rvqcodec.models.interface import Model

Progress = Callable[[float, float | None], None]
PATIENCE = 0.01  # seconds in which a pipe's writer that is faster than we are sends more


@dataclass(frozen=True)
class EncodeOptions:
    """What the user may choose.

    bitrate: the most the payload takes, bits per second over all coded channels; n_q (codebooks a frame over
    all coded channels) overrides it. chunk_seconds None: 128 frames. tags are added to the input's, or
    replace them. raw: the input's bytes are headerless PCM. verify: read back and compare what was written.
    """

    bitrate: int = bitrate.DEFAULT
    n_q: int | None = None
    mono: bool = False
    model: str | None = None
    device: str = "auto"
    chunk_seconds: float | None = None
    tags: tuple[tuple[str, str], ...] = ()
    raw: RawFormat | None = None
    verify: bool = False


@dataclass(frozen=True)
class EncodeReport:
    """What was done: samples per channel at `sample_rate`, bytes of codes and of the whole file, warnings."""

    sample_rate: int
    channels: int
    n_samples: int
    payload_bytes: int
    file_bytes: int
    warnings: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return self.n_samples / self.sample_rate


def encode_file(
    source: str | Path,
    target: str | Path | BinaryIO,
    options: EncodeOptions,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> EncodeReport:
    """Encode one recording ("-": stdin) to a file, which appears whole or not at all, or to a binary stream.

    `progress` is called with the seconds read so far and, where known, in all; what it raises ends the run.
    Errors: RvqError, OSError.
    """
    with open_input(source, options.raw) as audio:
        if isinstance(target, (str, Path)):
            with files.replacing(target, force=force) as sink:
                report, codes = _encode(audio, sink, options, progress)
                if options.verify:
                    _read_back(Path(sink.name), codes)
            return report
        return _encode(audio, target, options, progress)[0]


def _encode(
    audio: AudioInput, sink: BinaryIO, options: EncodeOptions, progress: Progress | None
) -> tuple[EncodeReport, bytes]:
    """The line itself; gives the report and a digest of the codes."""
    model = loading.load(options.model, options.device)
    tags = _tags(audio, options.tags)
    header = header_of(model, options, audio.sample_rate, audio.channels, audio.n_samples, tags)
    writer = Writer(sink, header)
    sink.flush()
    encoder = Encoder(model, header, mono=options.mono)
    length = None if audio.expected is None else audio.expected / audio.sample_rate
    digest = hashlib.sha256()

    def write(ready: Iterable[Chunk]) -> None:
        for chunk in ready:
            writer.write_chunk(chunk)
            sink.flush()  # a pipe's reader hears this chunk now
            _digest(digest, chunk)

    for block in audio.blocks(audio.sample_rate // 4):
        write(encoder.push(block, more=audio.ready(PATIENCE)))
        if progress is not None:
            progress(audio.samples_read / audio.sample_rate, length)
    write(encoder.flush())
    writer.close(audio.samples_read)
    if audio.repaired:
        audio.warnings.append(f"{audio.name}: {audio.repaired:,} samples were NaN, infinite or absurd: repaired")
    sink.flush()
    report = EncodeReport(
        audio.sample_rate,
        header.channels,
        audio.samples_read,
        writer.payload_bytes,
        writer.total_bytes,
        tuple(audio.warnings),
    )
    return report, digest.digest()


def header_of(
    model: Model,
    options: EncodeOptions,
    sample_rate: int,
    channels: int,
    n_samples: int | None,
    tags: tuple[tuple[str, str], ...],
) -> Header:
    """The header of a recording that a model will encode; `channels` and `n_samples` are the audio's."""
    channels = 1 if options.mono else channels
    return Header.of(
        model.facts,
        sample_rate=sample_rate,
        channels=channels,
        total_n_q=_total_n_q(options, channels, model.facts),
        frames_per_chunk=_frames_per_chunk(options.chunk_seconds, model.facts.frame_rate),
        n_samples=n_samples,
        tags=tags,
    )


class Encoder:
    """A recording's samples to chunks of its codes, the same for any cutting: push, then flush once."""

    def __init__(self, model: Model, header: Header, *, mono: bool = False) -> None:
        self._mono = mono
        self._chunker = Chunker(header, model.facts.max_n_q)
        self._resampler = Resampler(header.sample_rate, header.model_rate, header.coded_channels)
        self._encoder = model.encoder(header.coded_channels, self._chunker.n_q_needed)

    def push(self, samples: NDArray[np.float32], *, more: bool = False) -> list[Chunk]:
        """Take the audio's float32 [C, n] at its own rate; give the chunks that are full.

        more: further samples come without delay, so chunks may be held back for a while (see `interface.Encoder`).
        """
        return self._step(self._resampler.push(coded_channels(samples, mono=self._mono)), more=more)

    def flush(self) -> list[Chunk]:
        """The remaining chunks."""
        chunks = self._step(self._resampler.flush(), more=True)
        return chunks + list(self._chunker.push_codes(self._encoder.flush(), last=True))

    def _step(self, samples: NDArray[np.float32], *, more: bool) -> list[Chunk]:
        self._chunker.push_samples(samples)
        return list(self._chunker.push_codes(self._encoder.push(samples, more=more)))


def coded_channels(samples: NDArray[np.float32], *, mono: bool = False) -> NDArray[np.float32]:
    """float32 [C, n] as the channels to code: the mean of all (`mono`), mid and side of two, else as is."""
    if mono and len(samples) > 1:
        return samples.mean(axis=0, dtype=np.float32, keepdims=True)
    if len(samples) != 2:
        return samples
    left, right = samples
    return np.stack([(left + right) * np.float32(0.5), (left - right) * np.float32(0.5)])


def _total_n_q(options: EncodeOptions, channels: int, facts: ModelFacts) -> int:
    if options.n_q is None:
        return bitrate.total_n_q(options.bitrate, channels, facts)
    least, max_n_q = channels if channels > 2 else 1, facts.max_n_q
    if not least <= options.n_q <= max_n_q * channels:
        raise BitrateError(
            f"{options.n_q} codebooks for {channels} coded channels: must be {least} to {max_n_q * channels} "
            f"({max_n_q} each)"
        )
    return options.n_q - options.n_q % least


def _frames_per_chunk(seconds: float | None, frame_rate: float) -> int:
    if seconds is None:
        return FRAMES_PER_CHUNK
    if not 0.1 <= seconds <= 10:
        raise AudioError(f"chunk of {seconds:g} s: must be 0.1 to 10 seconds")
    return max(1, round(seconds * frame_rate))


def _tags(audio: AudioInput, own: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The input's tags, the user's in place of those of the same key; what does not fit becomes a warning."""
    keys = {key.upper() for key, _ in own}
    tags = [(key, value) for key, value in audio.tags.items() if key.upper() not in keys]
    kept, dropped = usable_tags([*own, *tags])
    audio.warnings += [f"{audio.name}: {reason}; left out" for reason in dropped]
    return kept


def _digest(digest: "hashlib._Hash", chunk: Chunk) -> None:
    for codes in chunk.codes:
        digest.update(np.ascontiguousarray(codes, np.uint16).tobytes())


def _read_back(path: Path, expected: bytes) -> None:
    """Read a file that was just written, with all its checks, and compare its codes with what was encoded."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in Reader(file):
            if isinstance(chunk, Chunk):
                _digest(digest, chunk)
    if digest.digest() != expected:
        raise FormatError(f"{os.fspath(path)}: what was read back is not what was written; check the disk")
