"""Audio -> blocks -> the model's rate -> coded channels -> codes -> chunks -> file: the encoder's straight line."""

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rvqcodec import files
from rvqcodec.audio import AudioInput, Resampler, open_input
from rvqcodec.codec.channels import Mix
from rvqcodec.codec.chunker import Chunker
from rvqcodec.codec.offset import Offset
from rvqcodec.codec.options import EncodeOptions, EncodeReport, Remarks
from rvqcodec.codec.turning import Turner
from rvqcodec.codes import bitrate, filling
from rvqcodec.codes.grid import Codes
from rvqcodec.container import (
    FRAMES_PER_CHUNK,
    MAX_FRAMES_PER_CHUNK,
    Chunk,
    Header,
    ModelFacts,
    Reader,
    Writer,
    usable_tags,
)
from rvqcodec.errors import AudioError, BitrateError, FormatError
from rvqcodec.models import coding, loading
from rvqcodec.models.interface import Model
from rvqcodec.types import Progress, Samples

LOUD = 4.0  # times full scale: a peak that is worth telling
TOLD = 0.001  # of full scale: an offset that is worth telling
PATIENCE = 0.01  # seconds in which a pipe's writer that is faster than we are sends more


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
    with open_input(source, options.raw, options.layout, ignore_length=options.ignore_length) as audio:
        if not isinstance(target, (str, Path)):
            return _encode(audio, target, options, progress)[0]
        with files.replacing(target, force=force) as sink:
            report, digest = _encode(audio, sink, options, progress)
            if digest is not None:
                _read_back(Path(sink.name), digest.digest())
        return report


def encode_codes(
    source: str | Path, options: EncodeOptions, *, progress: Progress | None = None
) -> tuple[Codes, Remarks]:
    """The codes of one recording ("-": stdin), and what is to be said about it; otherwise as `encode_file`."""
    with open_input(source, options.raw, options.layout, ignore_length=options.ignore_length) as audio:
        model, header = _begin(audio, options)
        chunks = list(_chunks(audio, model, header, options, progress))
        remarks = _remarks(audio)
        return Codes.from_chunks(replace(header, n_samples=audio.samples_read), chunks), remarks


def _encode(
    audio: AudioInput, sink: BinaryIO, options: EncodeOptions, progress: Progress | None
) -> tuple[EncodeReport, "hashlib._Hash | None"]:
    """The line itself; gives the report and, to verify, a digest of the codes."""
    model, header = _begin(audio, options)
    digest = hashlib.sha256() if options.verify else None
    writer = Writer(sink, header)
    sink.flush()
    for chunk in _chunks(audio, model, header, options, progress):
        writer.write_chunk(chunk)
        sink.flush()  # a pipe's reader hears this chunk now
        if digest is not None:
            _digest(digest, chunk)
    writer.close(audio.samples_read)
    sink.flush()
    report = EncodeReport(
        audio.sample_rate,
        header.channels,
        audio.samples_read,
        writer.payload_bytes,
        writer.total_bytes,
        _remarks(audio),
    )
    return report, digest


def _begin(audio: AudioInput, options: EncodeOptions) -> tuple[Model, Header]:
    model = loading.load(options.model, options.device)
    tags = _tags(audio, options.tags)
    header = header_of(
        model.facts, options, audio.sample_rate, audio.channels, audio.n_samples, tags, audio.layout.speakers
    )
    return model, header


def _chunks(
    audio: AudioInput, model: Model, header: Header, options: EncodeOptions, progress: Progress | None
) -> Iterator[Chunk]:
    """All chunks of the audio, each as soon as it is full."""
    mix = Mix(audio.layout.speakers, audio.channels) if options.mono else None
    encoder = Encoder(model, header, mix=mix, constant=options.constant)
    length = None if audio.expected is None else audio.expected / audio.sample_rate
    gain = np.float32(10 ** (options.gain / 20))
    for block in audio.blocks(audio.sample_rate // 4):
        block = block * gain if options.gain else block
        yield from encoder.push(block, more=audio.ready(PATIENCE))
        if progress is not None:
            progress(audio.samples_read / audio.sample_rate, length)
    yield from encoder.flush()
    if mix is not None:
        _note_cancelling(audio, mix)
    if encoder.offset >= TOLD:
        text = f"a constant offset (DC) of {encoder.offset:.3f} of full scale was taken away; nobody hears it"
        audio.warnings.append(f"{audio.name}: {text}")
    _note_loudness(audio, gain)


class Encoder:
    """A recording's samples to chunks of its codes, the same for any cutting: push, then flush once.

    Its counterpart is `decoding.Decoder`.
    """

    def __init__(self, model: Model, header: Header, *, mix: Mix | None = None, constant: bool = False) -> None:
        """mix: what makes one channel of those that are pushed, where the header has one and they are more.

        constant: every frame of a chunk gets the same number of codes.
        """
        self._mix = mix
        self._resampler = Resampler(header.sample_rate, header.model_rate, header.coded_channels)
        self._offset = Offset(header.model_rate, header.coded_channels)
        paired = header.coding == "mid-side"
        self._turner = Turner(header) if paired else None
        encoder = model.encoder(header.coded_channels, paired=paired)
        self._chunker = Chunker(header, encoder, self._turner.angle if self._turner else None, constant=constant)

    @property
    def offset(self) -> float:
        """The largest constant offset that was taken away, of full scale."""
        return self._offset.removed

    def push(self, samples: Samples, *, more: bool = False) -> list[Chunk]:
        """Take the audio's float32 [C, n] at its own rate; give the chunks that are full.

        more: further samples come without delay, so chunks may be held back for a while (see `interface.Encoder`).
        """
        coded = self._offset.push(self._resampler.push(samples if self._mix is None else self._mix.push(samples)))
        if self._turner is not None:
            coded = self._turner.push(coded)
        return list(self._chunker.push(coded, more=more))

    def flush(self) -> list[Chunk]:
        """The remaining chunks."""
        coded = np.concatenate([self._offset.push(self._resampler.flush()), self._offset.flush()], axis=1)
        if self._turner is not None:
            coded = np.concatenate([self._turner.push(coded), self._turner.flush()], axis=1)
        return [*self._chunker.push(coded, more=True), *self._chunker.flush()]


def header_of(
    facts: ModelFacts,
    options: EncodeOptions,
    sample_rate: int,
    channels: int,
    n_samples: int | None,
    tags: tuple[tuple[str, str], ...],
    layout: int | None = None,
) -> Header:
    """The header of a recording that a model will encode; `channels`, `n_samples` and `layout`, the mask of its
    loudspeakers (None: the usual one), are the audio's.
    """
    if options.mono and channels > 1:
        channels, layout = 1, None
    header = Header.of(
        facts,
        sample_rate=sample_rate,
        channels=channels,
        total_n_q=_total_n_q(options, channels, facts),
        frames_per_chunk=_frames_per_chunk(options.chunk_seconds, facts.frame_rate),
        n_samples=n_samples,
        tags=tags,
        speakers=layout,
    )
    tables = b"" if options.plain else coding.tables_hash(facts.model_id, facts.weights_hash)
    if not tables:
        return header
    return filling.coded(header, tables, 0 if options.n_q else bitrate.asked(options.bitrate, channels, facts))


def _total_n_q(options: EncodeOptions, channels: int, facts: ModelFacts) -> int:
    if options.n_q is None:
        return bitrate.total_n_q(options.bitrate, channels, facts)
    least, most = facts.least(channels), facts.capacity(channels)
    if not least <= options.n_q <= most:
        raise BitrateError(f"{options.n_q} codebooks for {channels} coded channels: must be {least} to {most}")
    return options.n_q


def _frames_per_chunk(seconds: float | None, frame_rate: float) -> int:
    if seconds is None:
        return FRAMES_PER_CHUNK
    if not 0.1 <= seconds <= 10:
        raise AudioError(f"chunk of {seconds:g} s: must be 0.1 to 10 seconds")
    return min(MAX_FRAMES_PER_CHUNK, max(1, round(seconds * frame_rate)))


def _tags(audio: AudioInput, own: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The input's tags, the user's in place of those of the same key; what does not fit becomes a warning."""
    keys = {key.upper() for key, _ in own}
    tags = [(key, value) for key, value in audio.tags.items() if key.upper() not in keys]
    kept, dropped = usable_tags([*own, *tags])
    audio.warnings += [f"{audio.name}: {reason}; left out" for reason in dropped]
    return kept


def _remarks(audio: AudioInput) -> Remarks:
    """All that is to be said about an input that was read to its end."""
    if audio.repaired:
        audio.warnings.append(f"{audio.name}: {audio.repaired:,} samples were NaN, infinite or absurd: repaired")
    return Remarks(tuple(audio.losses), tuple(audio.warnings), tuple(audio.notes))


def _note_loudness(audio: AudioInput, gain: float) -> None:
    """Float samples may be over full scale, but not by so much: somebody's full scale is another."""
    peak = audio.peak * gain
    if peak > LOUD:
        # 16 bits as floats are likely, whatever their peak.
        scale = 2.0**15 if 2**8 < peak <= 2**15 else peak
        least = math.ceil(2000 * math.log10(scale)) / 100
        audio.warnings.append(
            f"{audio.name}: samples reach {peak:,.0f} times full scale, which is 1 for floats; --gain -{least:.2f} "
            "brings them there"
        )


def _note_cancelling(audio: AudioInput, mix: Mix) -> None:
    lost, all_of_it = mix.cancelled / audio.sample_rate, audio.samples_read / audio.sample_rate
    if lost >= min(1.0, 0.1 * all_of_it) and lost:
        audio.warnings.append(
            f"{audio.name}: channels of opposite phase cancel in the mix to mono, over 10 dB for {lost:.1f} of "
            f"{all_of_it:.1f} s; without --mono they are kept"
        )


def _digest(digest: "hashlib._Hash", chunk: Chunk) -> None:
    digest.update(np.ascontiguousarray(chunk.n_q).tobytes())
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
