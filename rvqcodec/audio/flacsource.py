"""FLAC streams, opened so that nothing in them is passed over without a word, damage least of all."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, pairwise
from typing import IO

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio import flac
from rvqcodec.audio.chain import ChainSource
from rvqcodec.audio.found import Found, plural
from rvqcodec.audio.layouts import Layout, read_layout, unsaid
from rvqcodec.audio.pieces import Pieces
from rvqcodec.audio.soundfiles import UnreadCodecError
from rvqcodec.audio.sources import SoundfileSource, Source
from rvqcodec.audio.tails import without_tags
from rvqcodec.errors import AudioError

_FLAC_START = b"fLaC"
_STEP = 1 << 20
# Depths that libsndfile reads, and those that it refuses though its FLAC library knows them: it is told another head,
# because frames say their own depth.
_PLAIN, _TOLD_OTHERWISE = (8, 16, 24), (12, 20, 32)
_LONGEST_GAP = 60  # seconds that damage may take; beyond it a frame's number is not believed


def flac_source(file: IO[bytes], name: str, begin: int, end: int, found: Found) -> Source:
    """One or more FLAC streams one after another, the first at `begin`; tags are put into `found`.

    Errors: AudioError, UnreadCodecError.
    """
    end, behind = without_tags(file, end)
    starts = [begin, *(at for at in _flac_starts(file, begin, end) if at > begin), end]

    def parts() -> Iterator[FlacSource]:
        for start, stop in pairwise(starts):
            stream = Pieces(file, [(start, stop - start)])
            yield from flac_parts(stream, name, found if start == begin else None, behind)

    every = parts()
    first = next(every)
    return ChainSource(name, chain([first], every)) if len(starts) > 2 or first.more else first


def _flac_starts(file: IO[bytes], begin: int, end: int) -> Iterator[int]:
    """Where streams begin: the magic word and the head of the STREAMINFO block, eight bytes that no frame has."""
    position = begin
    while position < end:
        file.seek(position)
        data = file.read(min(_STEP, end - position))
        at = -1
        while (at := data.find(_FLAC_START, at + 1)) >= 0:
            if data[at + 4 : at + 8] in (b"\0\0\0\x22", b"\x80\0\0\x22"):
                yield position + at
        if position + len(data) >= end or not data:
            break
        position += max(1, len(data) - 7)


def flac_parts(
    stream: Pieces, name: str, before: Found | None = None, behind: Found | None = None, *, lost: str = ""
) -> "Iterator[FlacSource]":
    """One FLAC stream, in parts where its frames change rate, channels or depth; at least one.

    `before`, `behind`: tags that stood there; `lost`: what is known to be missing of it.
    """
    head = flac.read_flac_head(stream)
    if head is None:
        raise AudioError(f"{name}: cannot be read: damaged, or no audio in it")
    for other in (before, behind):
        if other is not None:
            head.found.merge(other)  # what FLAC itself says goes first
    layout = read_layout(stream, head.channels)
    last = flac.last_sample(stream, head, 0, stream.size)
    if not lost and head.n_samples is not None and head.n_samples == last:
        yield FlacSource(stream, name, head, layout, promised=True)
        return
    parts = flac.changes(stream, head, 0, stream.size)
    ends = [position for position, _, _ in parts[1:]]
    for (position, sample, changed), end in zip(parts, [*ends, stream.size], strict=True):
        whole = len(parts) == 1
        part = stream if whole else stream.part(position, end)
        changed.audio = changed.audio if whole else 0
        layout = layout if changed is head else unsaid(changed.channels)
        more = end != stream.size
        yield FlacSource(part, name, changed, layout, lost=lost, first_sample=sample, more=more, counted=whole)


class FlacSource:
    """A FLAC stream whose frames are all alike. What a damaged frame held becomes silence, so that all else stays at
    its time.

    promised: its end confirms its length. first_sample: the number of its first. more: another part follows it.
    counted: the length that its head announces is that of this part.
    """

    def __init__(
        self,
        stream: Pieces,
        name: str,
        head: flac.FlacHead,
        layout: Layout,
        *,
        promised: bool = False,
        lost: str = "",
        first_sample: int = 0,
        more: bool = False,
        counted: bool = True,
    ) -> None:
        depth = flac.first_depth(stream, head)
        if head.bits not in _PLAIN and (head.bits not in _TOLD_OTHERWISE or depth != head.bits):
            raise UnreadCodecError(f"{name}: FLAC with {head.bits} bits per sample")
        self._stream, self._name, self._head, self._lost, self.more = stream, name, head, lost, more
        self._announced = head.n_samples if counted else None
        self.n_samples = self._announced if promised else None
        self.expected = self._announced
        self.layout, self._first = layout, first_sample
        # libsndfile stops at the announced length: where that may be wrong, it is not told.
        plain = promised and head.bits in _PLAIN and not head.mended
        self._sound = self._part(stream if plain else stream.behind(head.audio, self._start()))
        self.sample_rate, self.channels = self._sound.sample_rate, self._sound.channels
        self.tags, self.notes = self._sound.tags, self._sound.notes
        self.warnings = [f"{name}: {head.mended}"] if head.mended else []
        self.losses: list[str] = []
        self._from = head.audio  # the byte from which on frames are looked for after damage
        self._taken = self._gap = self._silent = self._places = 0
        self._done = False

    def _start(self) -> bytes:
        return self._head.start(bits=self._head.bits if self._head.bits in _PLAIN else 24, n_samples=None)

    def _part(self, pieces: Pieces) -> SoundfileSource:
        return SoundfileSource(
            pieces,
            self._name,
            layout=self.layout,
            found=self._head.found,
            exact=False,
            whole_numbers=self._head.bits not in _PLAIN,
            finish=lambda came, error: (),
        )

    def read(self, n: int) -> NDArray[np.float32]:
        blocks, got = [np.zeros((self.channels, 0), np.float32)], 0
        while got < n and not self._done:
            ended = False
            if self._gap:
                block = np.zeros((self.channels, min(n - got, self._gap)), np.float32)
                self._gap -= block.shape[1]
            else:
                block = self._sound.read(n - got)
                ended = block.shape[1] < n - got
            self._taken += block.shape[1]
            got += block.shape[1]
            blocks.append(block)
            if ended and not self._resume():
                self._done = True
                self._finish()
        return np.concatenate(blocks, axis=1)

    def _resume(self) -> bool:
        """Go on behind damage: with silence, then the next frame. False at the end, and where there is none."""
        if self._sound.error is None:
            return False
        while found := flac.next_frame(self._stream, self._head, self._from, self._first + self._taken):
            position, first = found[0], found[1] - self._first
            self._from = position + 1
            if first - self._taken > _LONGEST_GAP * self.sample_rate:
                return False
            with suppress(AudioError):
                part = self._part(self._stream.behind(position, self._start()))
                self._sound.close()
                self._sound = part
                self._gap = first - self._taken
                self._silent += self._gap
                self._places += self._gap > 0
                return True
        return False

    def _finish(self) -> None:
        """Once, when no more samples come."""
        announced, came = self._announced, self._taken
        if came == self._silent and (announced or self._sound.error is not None):
            raise AudioError(f"{self._name}: cannot be read: damaged, or no audio in it")
        missing = max(0, (announced or 0) - came)
        if self._silent:
            silent = f"silence in place of {plural(self._silent, 'sample')} per channel"
            self.losses.append(f"{self._name}: damaged at {plural(self._places, 'place')}: {silent}")
        if self._lost:
            seconds = f"{missing / self.sample_rate:.2f} s of sound" if announced else "what they held"
            self.losses.append(f"{self._name}: {self._lost}: {seconds} left out")
        elif missing and self.n_samples is None:
            said = f"announces {announced} samples per channel, holds {came}"
            self.losses.append(f"{self._name}: cut off or damaged: {said}")
        elif self._sound.error is not None and came != announced:  # what follows the announced samples may be anything
            self.losses.append(f"{self._name}: {self._sound.error}")
        if announced is not None and came > announced:
            self.warnings.append(f"{self._name}: announces {announced} samples per channel, holds {came}: read on")

    def close(self) -> None:
        self._sound.close()
