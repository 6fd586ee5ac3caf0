"""Chunks -> codes -> coded channels -> channels -> the wanted rate -> audio: the decoder's line, as `encoding` back."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from rvqcodec.audio import Resampler, open_output, resampled_length
from rvqcodec.codec import rotation
from rvqcodec.codec.options import DecodeOptions, DecodeReport
from rvqcodec.codes.grid import Codes, CodesReader
from rvqcodec.container import MAX_N_Q, Chunk, Damage, Header, Reader, allocation
from rvqcodec.errors import AudioError, BitrateError, FormatError
from rvqcodec.models import interface, loading
from rvqcodec.models.interface import Model
from rvqcodec.types import Progress, Samples

# Samples at the model's rate that the resampler is given before the first one wanted, so that it has settled.
SETTLE = 4096


class Chunks(Protocol):
    """Chunks in order of time: a `container.Reader` of a file, or a `CodesReader` of what is in memory."""

    header: Header

    @property
    def seekable(self) -> bool: ...
    @property
    def n_samples(self) -> int | None: ...
    def seek_frame(self, frame: int) -> None: ...
    def __iter__(self) -> Iterator[Chunk | Damage]: ...


def decode_file(
    source: str | Path | BinaryIO | Codes,
    target: str | Path,
    options: DecodeOptions,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> DecodeReport:
    """Decode a file, a binary stream or codes to an audio file, which appears whole or never, or to "-" (stdout).

    An existing target is replaced only with `force`. `progress` is called with the seconds written
    so far and, where known, in all; what it raises ends the run. Errors: RvqError, OSError.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, (str, Path)):
            source = stack.enter_context(open(source, "rb"))
        chunks: Chunks = CodesReader(source) if isinstance(source, Codes) else Reader(source, salvage=options.salvage)
        header = chunks.header
        span = Span(header, options)
        losses: list[str] = []
        blocks = decoded(chunks, span, options, losses=losses)
        first = next(blocks, None)  # before there is a target: most errors show here
        known = None if options.salvage or header.n_samples is None else span.length
        output = stack.enter_context(
            open_output(
                target,
                span.rate,
                header.channels,
                format=options.format,
                subtype=options.subtype,
                layout=header.layout,
                n_samples=known,
                tags=_joined(header.tags),
                gain=options.gain,
                limit=options.limit,
                force=force,
            )
        )
        seconds = None if span.length is None or header.n_samples is None else span.length / span.rate
        while first is not None:
            output.write(first)
            if progress is not None:
                progress(output.samples_written / span.rate, seconds)
            first = next(blocks, None)
        output.close()
        return DecodeReport(
            span.rate,
            header.channels,
            output.samples_written,
            output.clipped,
            tuple(losses),
            output.lost_tags,
            output.layout_note,
            output.limited,
            output.peak,
        )


def decoded(
    chunks: Chunks,
    span: "Span",
    options: DecodeOptions,
    *,
    model: Model | None = None,
    losses: list[str] | None = None,
) -> Iterator[Samples]:
    """The wanted samples of a recording, float32 [C, n] at the wanted rate, as chunks come.

    model: None for the one that the header names. losses: gets a line for each place that is damaged.
    """
    header = chunks.header
    model = model or loading.load_for(header, options.device)
    decoder = Decoder(model, header, span, n_q=options.n_q)
    if decoder.first_frame:
        chunks.seek_frame(decoder.first_frame)
    for item in chunks:
        if isinstance(item, Damage):
            if losses is not None:
                losses.append(_loss(header, item))
            yield from decoder.silence(item.start_frame, item.frames)
        else:
            # In groups, which are faster on CUDA, while that much is wanted and nobody waits for the sound.
            samples = decoder.push(item, more=chunks.seekable)
            if samples.shape[1]:
                yield samples
        if decoder.done:
            return
    if chunks.n_samples is not None:
        span.end_at(chunks.n_samples)
    yield from decoder.flush(chunks.n_samples)


def decode_samples(chunks: Chunks, options: DecodeOptions, *, model: Model | None = None) -> Samples:
    """The wanted samples of a recording in one array, float32 [C, n]; otherwise as `decoded`."""
    blocks = decoded(chunks, Span(chunks.header, options), options, model=model)
    return np.concatenate([np.zeros((chunks.header.channels, 0), np.float32), *blocks], axis=1)


class Span:
    """Which samples of a recording are wanted, at the wanted rate: from `first` up to `last`, where that is known."""

    def __init__(self, header: Header, options: DecodeOptions | None = None) -> None:
        options = options or DecodeOptions()
        self.header = header
        self.rate = options.rate or header.sample_rate
        self.first = round(options.start * self.rate)
        self.last = None if options.duration is None else self.first + round(options.duration * self.rate)
        if header.n_samples is not None:
            self.end_at(header.n_samples)

    @property
    def length(self) -> int | None:
        """How many samples are wanted, where that is known."""
        return None if self.last is None else self.last - self.first

    def end_at(self, n_samples: int) -> None:
        """Cut off what lies beyond `n_samples` (at the file's rate). AudioError for a start behind the end."""
        total = resampled_length(n_samples, self.header.sample_rate, self.rate)
        if self.first > total or (self.first == total and total > 0):
            at, end = self.first / self.rate, total / self.rate
            raise AudioError(f"start {at:g} s lies behind the end, {end:g} s")
        self.last = total if self.last is None else min(self.last, total)


class Decoder:
    """Chunks of a recording to its samples, exact to the end and the same for any cutting: push, then flush once.

    Pushing begins with the chunk that holds `first_frame`, or an earlier one; chunks follow without gaps, and where
    one is lost `silence` stands for it. The end of a recording may be known only after its last chunk, and lies in
    the last frame: one frame is held back until then.
    """

    def __init__(self, model: Model, header: Header, span: Span, *, n_q: int | None = None) -> None:
        """n_q: limit of codebooks a frame over all coded channels (None: all). Errors: BitrateError."""
        self._model, self._header, self._span = model, header, span
        self._limit = None if n_q is None else _total_n_q(header, n_q)
        # The resampler's grid: it starts where a sample of the model's rate and one of the wanted rate coincide.
        step = header.model_rate // math.gcd(header.model_rate, span.rate)
        wanted = span.first * header.model_rate // span.rate
        settle = SETTLE if span.rate != header.model_rate else 0
        self._begin = max(0, wanted - settle) // step * step  # of what the resampler gets, at the model's rate
        self._given = self._begin * span.rate // header.model_rate  # so far, at the wanted rate
        self.first_frame = max(0, (self._begin + header.pre_skip) // header.hop - model.context)
        self._decoder: interface.Decoder | None = None
        self._resampler = Resampler(header.model_rate, span.rate, header.channels)
        self._held = np.zeros((header.coded_channels, 0), np.float32)
        self._at = 0  # where `_held` begins, at the model's rate
        self._frame: int | None = None  # that comes next
        self._turner: rotation.Rotation | None = None
        self._angle = rotation.MIDDLE  # of the last chunk

    @property
    def done(self) -> bool:
        """Whether everything that is wanted was given: nothing more need be pushed."""
        return self._span.last is not None and self._given >= self._span.last

    def push(self, chunk: Chunk, *, more: bool = False) -> Samples:
        """Take the next chunk; give samples float32 [C, n] at the wanted rate, what is ready so far.

        more: further chunks come without delay, so samples may be held back. FormatError for a chunk that does not
        follow the last one, or that the model cannot have made.
        """
        if chunk.start_frame + chunk.frames <= self.first_frame:
            return np.zeros((self._header.channels, 0), np.float32)
        n_q = chunk.n_q
        if self._limit is not None:
            left = chunk.allocation.trimmed(chunk.frames, self._limit, self._header.total_n_q)
            n_q = allocation.n_q(self._header.limits, left, chunk.frames)
        codes = np.zeros((len(n_q), int(n_q.max()), chunk.frames), np.uint16)
        for own, rows in zip(codes, chunk.codes, strict=True):
            own[: len(rows)] = rows[: len(own)]
        return self._push(chunk.start_frame, codes, n_q, chunk.angle, more=more, begins=chunk.begins)

    def silence(self, start_frame: int, frames: int) -> Iterator[Samples]:
        """Take frames of which nothing is known, however many; the network's overlap fades into and out of them."""
        step = self._header.frames_per_chunk
        for start in range(start_frame, start_frame + frames, step):
            n = min(step, start_frame + frames - start)
            if start + n > self.first_frame and not self.done:
                codes = np.zeros((self._header.coded_channels, 0, n), np.uint16)
                samples = self._push(start, codes, np.zeros(len(codes), np.int64), self._angle, more=True)
                if samples.shape[1]:
                    yield samples

    def flush(self, n_samples: int | None) -> Iterator[Samples]:
        """The rest, of a recording of `n_samples` at the file's rate (None: unknown, all that the frames hold)."""
        if self._decoder is not None:
            self._take(self._turned(self._decoder.flush()))
        if n_samples is not None:
            left = self._header.model_samples(n_samples) - self._at
            self._held = self._held[:, : max(0, left)]
        rest = [self._give(self._held.shape[1]), self._wanted(self._resampler.flush())]
        yield from (samples for samples in rest if samples.shape[1])
        missing = (self._span.last or 0) - max(self._given, self._span.first)
        while missing > 0:  # rounding of rates, or a truncated file whose length is known
            n = min(missing, self._span.rate)
            yield np.zeros((self._header.channels, n), np.float32)
            missing -= n

    def _push(
        self,
        start: int,
        codes: npt.NDArray[np.uint16],
        n_q: npt.NDArray[np.integer],
        angle: int,
        *,
        more: bool,
        begins: bool = False,
    ) -> Samples:
        header = self._header
        if self._decoder is None:
            self._at = start * header.hop - header.pre_skip
        elif start != self._frame:
            raise FormatError(f"chunk starts at frame {start}, not {self._frame}")
        elif begins:  # nothing of the recording before may be heard in this one
            self._take(self._turned(self._decoder.flush()))
            self._decoder = None
        if self._decoder is None:
            paired = header.coding == "mid-side"
            self._decoder = self._model.decoder(
                header.coded_channels,
                paired=paired,
                start_frame=header.first_frame + start,
                begins=begins,
            )
            self._turner = rotation.Rotation(header.hop, back=True) if paired else None
        self._frame = start + codes.shape[2]
        try:
            samples = self._decoder.push(codes, n_q, more=more and not self._settled(self._frame))
        except ValueError as error:
            raise FormatError(f"chunk from frame {start}: no codes of model {header.model_id}: {error}") from None
        self._angle = angle
        self._take(self._turned(samples, [angle] * codes.shape[2]))
        return self._give(self._held.shape[1] - header.hop)

    def _turned(self, coded: Samples, angles: Sequence[int] = ()) -> Samples:
        """Coded channels of the model as channels of the audio; angles: of further frames."""
        return coded if self._turner is None else self._turner.push(coded, angles)

    def _settled(self, frame: int) -> bool:
        """Whether this frame and later ones cannot change any wanted sample, even through the resampler."""
        if self._span.last is None:
            return False
        end = self._span.last * self._header.model_rate / self._span.rate + SETTLE
        return frame * self._header.hop - self._header.pre_skip > end

    def _take(self, coded: Samples) -> None:
        """Hold what the model gave, without what comes before the first sample that the resampler gets."""
        self._held = np.concatenate([self._held, coded], axis=1)
        drop = min(max(0, self._begin - self._at), self._held.shape[1])
        self._held, self._at = self._held[:, drop:], self._at + drop

    def _give(self, n: int) -> Samples:
        """The first n samples that are held, as wanted ones."""
        n = max(0, n)
        coded, self._held = self._held[:, :n], self._held[:, n:]
        self._at += n
        return self._wanted(self._resampler.push(coded))

    def _wanted(self, samples: Samples) -> Samples:
        """What of samples at the wanted rate lies between `first` and `last`."""
        span, given = self._span, self._given
        self._given += samples.shape[1]
        last = samples.shape[1] if span.last is None else max(0, span.last - given)
        return samples[:, max(0, span.first - given) : last]


def _total_n_q(header: Header, n_q: int) -> int:
    least = header.coded_channels if header.coding == "discrete" else 1
    if n_q < least:
        raise BitrateError(f"{n_q} codebooks: must be {least} to {MAX_N_Q * header.coded_channels}")
    return min(n_q, header.total_n_q)


def _joined(tags: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Tags by key; the values of a key that comes again stand behind one another."""
    joined: dict[str, str] = {}
    for key, value in tags:
        joined[key] = f"{joined[key]}; {value}" if key in joined else value
    return joined


def _loss(header: Header, damage: Damage) -> str:
    if not damage.frames:
        return f"{damage.reason} (at byte {damage.position})"
    start, length = header.seconds(damage.start_frame), header.seconds(damage.frames)
    return f"{length:.2f} s lost from {start:.2f} s on: {damage.reason} (at byte {damage.position})"
