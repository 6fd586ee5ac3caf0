"""FLAC streams, opened so that nothing in them is passed over without a word, damage least of all."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import IO

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio import flac
from rvqcodec.audio.chain import ChainSource
from rvqcodec.audio.found import Found, plural
from rvqcodec.audio.id3 import ape_size, read_ape, read_id3v1
from rvqcodec.audio.layouts import read_layout
from rvqcodec.audio.pieces import Pieces
from rvqcodec.audio.soundfiles import UnreadCodecError
from rvqcodec.audio.sources import SoundfileSource, Source
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
    end, behind = _without_tags(file, end)
    starts = [begin, *(at for at in _flac_starts(file, begin, end) if at > begin), end]

    def parts() -> Iterator[Source]:
        for start, stop in pairwise(starts):
            yield flac_part(Pieces(file, [(start, stop - start)]), name, found if start == begin else None, behind)

    return ChainSource(name, parts()) if len(starts) > 2 else next(parts())


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


def _without_tags(file: IO[bytes], end: int) -> tuple[int, Found]:
    """Where a file ends before the ID3v1 and APE tags at its end, and what these say."""
    found = Found()
    file.seek(max(0, end - 128))
    tag = file.read(128)
    if tag[:3] == b"TAG" and len(tag) == 128:
        found.merge(read_id3v1(tag))
        end -= 128
    file.seek(max(0, end - 32))
    if 32 <= (size := ape_size(file.read(32))) <= end:
        file.seek(end - size)
        found.merge(read_ape(file.read(size)))
        end -= size
    return end, found


def flac_part(
    stream: Pieces, name: str, before: Found | None = None, behind: Found | None = None, *, lost: str = ""
) -> "FlacSource":
    """One FLAC stream, with tags that stood before and behind it; `lost`: what is known to be missing of it."""
    head = flac.read_flac_head(stream)
    if head is None:
        raise AudioError(f"{name}: cannot be read: damaged, or no audio in it")
    depth = flac.first_depth(stream, head)
    if head.bits not in _PLAIN and (head.bits not in _TOLD_OTHERWISE or depth != head.bits):
        raise UnreadCodecError(f"{name}: FLAC with {head.bits} bits per sample")
    for other in (before, behind):
        if other is not None:
            head.found.merge(other)  # what FLAC itself says goes first
    return FlacSource(stream, name, head, lost)


class FlacSource:
    """One FLAC stream. What a damaged frame held becomes silence, so that all else stays at its time."""

    def __init__(self, stream: Pieces, name: str, head: flac.FlacHead, lost: str) -> None:
        self._stream, self._name, self._head, self._lost = stream, name, head, lost
        self._announced = head.n_samples
        last = flac.last_sample(stream, head, 0, stream.size)
        promised = not lost and self._announced is not None and self._announced == last
        self.n_samples = self._announced if promised else None
        self.expected = self._announced
        self.layout = read_layout(stream, head.channels)
        # libsndfile stops at the announced length: where that may be wrong, it is not told.
        plain = promised and head.bits in _PLAIN
        self._sound = self._part(stream if plain else stream.behind(head.audio, self._start()))
        self.sample_rate, self.channels = self._sound.sample_rate, self._sound.channels
        self.tags, self.notes = self._sound.tags, self._sound.notes
        self.warnings: list[str] = []
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
        while found := flac.next_frame(self._stream, self._head, self._from, self._taken):
            position, first = found
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
