"""File -> chunks -> codes -> coded channels -> channels -> the file's rate -> audio: the decoder's line."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio import Resampler, open_output, resampled_length
from rvqcodec.codec.encoding import Progress
from rvqcodec.container import MAX_N_Q, Damage, Header, Reader, sharing
from rvqcodec.errors import AudioError, BitrateError
from rvqcodec.models import loading
from rvqcodec.models.interface import Decoder

# Samples at the model's rate that the resampler is given before the first one wanted, so that it has settled.
SETTLE = 4096


@dataclass(frozen=True)
class DecodeOptions:
    """What the user may choose.

    n_q: use at most so many codebooks a frame over all coded channels. rate: sample rate of the output (None:
    the file's). start, duration: the part to decode, in seconds. format, subtype: as for `audio.open_output`.
    precision: "float32", "bf16" or "auto", which takes bf16 where the processor has it. salvage: put silence for
    what is damaged and go on.
    """

    n_q: int | None = None
    device: str = "auto"
    precision: str = "auto"
    rate: int | None = None
    start: float = 0.0
    duration: float | None = None
    format: str | None = None
    subtype: str | None = None
    salvage: bool = False


@dataclass(frozen=True)
class DecodeReport:
    """What was done: samples per channel at `sample_rate`, samples limited to full scale, a line a loss."""

    sample_rate: int
    channels: int
    n_samples: int
    clipped: int
    losses: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return self.n_samples / self.sample_rate


def decode_file(
    source: str | Path | BinaryIO,
    target: str | Path,
    options: DecodeOptions,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> DecodeReport:
    """Decode a file or a binary stream to an audio file, which appears whole or never, or to "-" (stdout).

    An existing target is replaced only with `force`. `progress` is called with the seconds written
    so far and, where known, in all; what it raises ends the run. Errors: RvqError, OSError.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, (str, Path)):
            source = stack.enter_context(open(source, "rb"))
        reader = Reader(source, salvage=options.salvage)
        header = reader.header
        part = Part(header, options)
        rebuilt = blocks(reader, part, options)
        first = next(rebuilt, None)  # before there is a target: most errors show here
        output = stack.enter_context(
            open_output(
                target,
                part.rate,
                header.channels,
                format=options.format,
                subtype=options.subtype,
                n_samples=None if options.salvage else part.n_samples,
                tags=dict(header.tags),
                force=force,
            )
        )
        length = None if part.n_samples is None else part.n_samples / part.rate
        while first is not None:
            output.write(first)
            if progress is not None:
                progress(output.samples_written / part.rate, length)
            first = next(rebuilt, None)
        output.close()
        return DecodeReport(part.rate, header.channels, output.samples_written, output.clipped, tuple(part.losses))


class Part:
    """Which samples are wanted, at the output's rate and at the model's, and how far we are."""

    def __init__(self, header: Header, options: DecodeOptions) -> None:
        self.header = header
        self.rate = options.rate or header.sample_rate
        self.first = round(options.start * self.rate)
        self.last = None if options.duration is None else self.first + round(options.duration * self.rate)
        self.losses: list[str] = []
        if header.n_samples is not None:
            self.end_at(header.n_samples)
        # The resampler's grid: it starts where a sample of the model's rate and one of the output's coincide.
        step = header.model_rate // math.gcd(header.model_rate, self.rate)
        wanted = self.first * header.model_rate // self.rate
        settle = SETTLE if self.rate != header.model_rate else 0
        self.model_first = max(0, wanted - settle) // step * step
        self.given_first = self.model_first * self.rate // header.model_rate

    @property
    def n_samples(self) -> int | None:
        """How many samples will come, where that is known."""
        return None if self.last is None or self.header.n_samples is None else self.last - self.first

    def end_at(self, n_samples: int) -> None:
        """The file has so many samples (at its own rate): nothing can be wanted beyond."""
        total = resampled_length(n_samples, self.header.sample_rate, self.rate)
        if self.first > total or (self.first == total and total > 0):
            at, end = self.first / self.rate, total / self.rate
            raise AudioError(f"start {at:g} s lies behind the end, {end:g} s")
        self.last = total if self.last is None else min(self.last, total)

    def ends_before(self, frame: int) -> bool:
        """Whether nothing is wanted of this frame and later ones, and a resampler has settled by then."""
        if self.last is None:
            return False
        end = self.last * self.header.model_rate / self.rate + SETTLE
        return frame * self.header.hop - self.header.pre_skip > end

    def first_frame(self, context: int) -> int:
        """The first frame to decode, `context` frames before the first that is heard."""
        return max(0, (self.model_first + self.header.pre_skip) // self.header.hop - context)


def blocks(reader: Reader, part: Part, options: DecodeOptions) -> Iterator[NDArray[np.float32]]:
    """The wanted samples, float32 [C, n] at the output's rate, chunk by chunk."""
    given = part.given_first
    for samples in _resampled(reader, part, options):
        lo = max(0, part.first - given)
        hi = samples.shape[1] if part.last is None else min(samples.shape[1], part.last - given)
        given += samples.shape[1]
        if hi > lo:
            yield samples[:, lo:hi]
        if part.last is not None and given >= part.last:
            return
    missing = (part.last or 0) - max(given, part.first)
    while missing > 0:  # rounding of rates, or a truncated file whose length is known
        n = min(missing, part.rate)
        yield np.zeros((part.header.channels, n), np.float32)
        missing -= n


def _resampled(reader: Reader, part: Part, options: DecodeOptions) -> Iterator[NDArray[np.float32]]:
    header = part.header
    resampler = Resampler(header.model_rate, part.rate, header.channels)
    skip = part.model_first
    for start, coded in _trimmed(reader, part, options):
        samples = channels_of(header, coded[:, max(0, skip - start) :])
        if samples.shape[1]:
            yield resampler.push(samples)
    yield resampler.flush()


def channels_of(header: Header, coded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coded channels float32 [C, n] as the channels of the audio."""
    if header.coding != "mid-side":
        return coded
    mid, side = coded
    return np.stack([mid + side, mid - side])


def _trimmed(reader: Reader, part: Part, options: DecodeOptions) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(index of the first sample, coded channels [C, n] at the model's rate), to the exact end.

    The length may be known only at the end; it lies in the last frame: one frame is held back until then.
    """
    header = part.header
    held = np.zeros((header.coded_channels, 0), np.float32)
    at: int | None = None
    for at_block, block in _decoded(reader, part, options):
        if at is None:
            at = at_block
        held = np.concatenate([held, block], axis=1)
        if at < 0:
            drop = min(-at, held.shape[1])
            held, at = held[:, drop:], at + drop
        n = held.shape[1] - header.hop
        if n > 0:
            yield at, held[:, :n]
            held, at = held[:, n:], at + n
    if reader.n_samples is not None:
        part.end_at(reader.n_samples)
        left = header.model_samples(reader.n_samples) - (at or 0)
        held = held[:, : max(0, left)]
    if at is not None and held.shape[1]:
        yield at, held


def _decoded(reader: Reader, part: Part, options: DecodeOptions) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(index of the first sample, raw output [C, n] of the network), without gaps from where it is needed."""
    header = part.header
    model = loading.load_for(header, options.device)
    total = _total_n_q(header, options.n_q)
    begin = part.first_frame(model.context)
    if begin:
        reader.seek_frame(begin)
    decoder: Decoder | None = None
    at = 0
    for codes, n_q, start in _codes(reader, part, total, begin):
        if decoder is None:
            first = header.first_frame + start
            decoder = model.decoder(header.coded_channels, start_frame=first, precision=options.precision)
            at = start * header.hop - header.pre_skip
        # On CUDA in groups, which are faster, while that much is wanted and nobody waits for the sound.
        more = reader.seekable and not part.ends_before(start + codes.shape[2])
        samples = decoder.push(codes, n_q, more=more)
        if samples.shape[1]:
            yield at, samples
            at += samples.shape[1]
    if decoder is not None:
        yield at, decoder.flush()


def _codes(
    reader: Reader, part: Part, total: int, begin: int
) -> Iterator[tuple[NDArray[np.uint16], NDArray[np.int64], int]]:
    """(codes [C, K, T], codebooks in use [C], first frame), without gaps from the chunk of frame `begin`."""
    header = part.header
    for item in reader:
        if isinstance(item, Damage):
            part.losses.append(_loss(header, item))
        frames = item.frames
        if item.start_frame + frames <= begin or not frames:
            continue
        if isinstance(item, Damage):
            yield from _silence(header, item.start_frame, frames)
            continue
        limit = sharing.shares(header.coding, total, header.coded_channels, item.balance)
        n_q = np.minimum(item.n_q, limit)
        codes = np.zeros((header.coded_channels, int(n_q.max()), frames), np.uint16)
        for channel, k in enumerate(n_q):
            codes[channel, :k] = item.codes[channel][:k]
        yield codes, n_q, item.start_frame


def _silence(header: Header, start: int, frames: int) -> Iterator[tuple[NDArray[np.uint16], NDArray[np.int64], int]]:
    """Frames without codes: the network's overlap fades into and out of them."""
    for frame in range(start, start + frames, header.frames_per_chunk):
        n = min(header.frames_per_chunk, start + frames - frame)
        codes = np.zeros((header.coded_channels, 0, n), np.uint16)
        yield codes, np.zeros(header.coded_channels, np.int64), frame


def _total_n_q(header: Header, n_q: int | None) -> int:
    if n_q is None:
        return header.total_n_q
    least = header.coded_channels if header.coding == "discrete" else 1
    if n_q < least:
        raise BitrateError(f"{n_q} codebooks: must be {least} to {MAX_N_Q * header.coded_channels}")
    return min(n_q, header.total_n_q)


def _loss(header: Header, damage: Damage) -> str:
    if not damage.frames:
        return f"{damage.reason} (at byte {damage.position})"
    start, length = header.seconds(damage.start_frame), header.seconds(damage.frames)
    return f"{length:.2f} s lost from {start:.2f} s on: {damage.reason} (at byte {damage.position})"
