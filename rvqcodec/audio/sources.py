"""Where samples come from: PCM bytes that we read ourselves, or libsndfile for the rest."""

from collections.abc import Callable, Iterable
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio.found import Found, plural
from rvqcodec.audio.heads import Head
from rvqcodec.audio.layouts import Layout, read_layout, unsaid
from rvqcodec.audio.pieces import Pieces
from rvqcodec.audio.samples import WIDTH, RawFormat, check_rate_and_channels, decode
from rvqcodec.audio.soundfiles import forward_file, sound_errors
from rvqcodec.audio.tags import from_soundfile
from rvqcodec.audio.tails import Behind, Tail, read_tail
from rvqcodec.errors import AudioError
from rvqcodec.foreign import Unheard

_WRAP = 1 << 32
_NO_NUMBER = 0x5A1E77ED  # no sample that a decoder wrote, as good as surely


class Source(Protocol):
    """What AudioInput reads from; the attributes mean what they mean there."""

    sample_rate: int
    channels: int
    layout: Layout
    n_samples: int | None
    expected: int | None
    tags: dict[str, str]
    notes: list[str]
    warnings: list[str]
    losses: list[str]

    def read(self, n: int) -> NDArray[np.float32]:
        """Up to n samples, float32 [channels, m], channels as they stand in the file; m < n only for the last ones,
        after which m is 0."""

    def close(self) -> None:
        """Give back what is held open, but not the file itself."""


class PcmSource:
    """Samples of one fixed encoding, read forwards from a file or pipe.

    `begin` is where the head began, `file_size` the whole file's size in bytes, None for pipes. `ignore_length`: take
    all bytes behind the head as samples. `following`: where another recording follows in the file, or None.
    `samples_read` counts those that `read` gave, per channel.
    """

    def __init__(
        self,
        stream: IO[bytes],
        name: str,
        head: Head,
        *,
        begin: int = 0,
        file_size: int | None = None,
        ignore_length: bool = False,
    ) -> None:
        check_rate_and_channels(name, head.sample_rate, head.channels)
        self.sample_rate, self.channels, self.tags = head.sample_rate, head.channels, head.found.tags
        self.layout = head.layout or unsaid(head.channels)
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.losses = [] if ignore_length else list(head.losses)
        self.following: int | None = None
        self._stream, self._name, self._head = stream, name, head
        self._align = WIDTH[head.encoding] * head.channels
        data_bytes = None if ignore_length else head.data_bytes
        self.n_samples: int | None = None
        if file_size is not None:
            held = max(0, file_size - begin - head.data_start)
            if data_bytes is not None and data_bytes < held:
                data_bytes = self._look_behind(begin + head.data_start, data_bytes, held)
            if data_bytes is None:
                self._warn_of_rest(held % self._align)
            elif held < data_bytes:
                self._tell_of_end(data_bytes // self._align, held // self._align)
            self.n_samples = (held if data_bytes is None else min(held, data_bytes)) // self._align
        announced = None if data_bytes is None else data_bytes // self._align
        self.expected = announced if file_size is None else self.n_samples
        self._odd = 0 if data_bytes is None else data_bytes % self._align
        # What still is to be read; None: until the end.
        self._left = self.expected
        self.samples_read = 0
        self._add_note()

    def _look_behind(self, start: int, data_bytes: int, held: int) -> int | None:
        """How many bytes from `start` on are samples, by what stands behind the announced ones; None: all."""
        tail = self._walk(start, data_bytes, held)
        if tail.n_bytes:
            self.losses = []  # what the head misses, this may be
        if tail.n_bytes and not tail.recording and (self._head.unsure or data_bytes == 0):
            return None
        if tail.n_bytes and self._head.wraps and held - data_bytes >= _WRAP:
            longest = data_bytes + (held - data_bytes) // _WRAP * _WRAP
            text = f"announces {data_bytes:,} bytes of samples in 32 bits and holds more than 4 GiB: read on"
            self.warnings.append(f"{self._name}: {text}")
            return None if self._walk(start, longest, held).n_bytes else longest
        if tail.recording:
            self.following = start + held - tail.n_bytes
        elif tail.n_bytes:
            self._tell_of_tail(data_bytes // self._align, tail)
        return data_bytes

    def _walk(self, start: int, data_bytes: int, held: int) -> Tail:
        found = Found()
        self._stream.seek(start + data_bytes)
        tail = read_tail(Behind(self._stream, held - data_bytes), self._head.chunks, found, pad=self._pad(data_bytes))
        self._stream.seek(start)
        if not tail.n_bytes or tail.recording:
            self._head.found.merge(found)
        return tail

    def _pad(self, data_bytes: int) -> int:
        return -data_bytes % self._head.chunks.pad if self._head.chunks is not None else 0

    def _add_note(self) -> None:
        self.notes += [f"{self._name}: {text}" for text in self._head.found.notes()]

    def read(self, n: int) -> NDArray[np.float32]:
        if self._left == 0 and self.n_samples is None and self.expected is not None:
            self._drain()
        if self._left is not None:
            n = min(n, self._left)
        data = self._stream.read(n * self._align)
        got = len(data) // self._align
        self.samples_read += got
        if self._left is not None:
            self._left -= got
        if got < n:
            if self.n_samples is None and self._left is not None:
                self._tell_of_end(self.expected or 0, self.samples_read)
                self.expected = None
            else:
                self._warn_of_rest(len(data) % self._align)
            self._left = 0
        return decode(data[: got * self._align], self._head.encoding, self.channels, self._head.order)

    def _drain(self) -> None:
        # What a pipe sends after the samples: read it, so that its writer is not cut off by us.
        assert self.expected is not None
        behind, found = Behind(self._stream, None), Found()
        behind.skip(self._odd)
        tail = read_tail(behind, self._head.chunks, found, pad=self._pad(self.expected * self._align + self._odd))
        if found.tags:
            self.notes.append(
                f"{self._name}: {plural(len(found.tags), 'tag')} left out that came too late, behind the samples"
            )
        if tail.recording:
            self.losses.append(f"{self._name}: another recording follows in the pipe, {tail.n_bytes:,} bytes: left out")
        elif tail.n_bytes:
            self._tell_of_tail(self.samples_read, tail)
        self.expected = None

    def _tell_of_tail(self, n_samples: int, tail: Tail) -> None:
        text = f"{tail.n_bytes:,} bytes behind the announced {n_samples:,} samples per channel were left out"
        self.losses.append(f"{self._name}: {text}; --ignore-length takes them as samples")

    def _tell_of_end(self, announced: int, held: int) -> None:
        self.losses.append(f"{self._name}: cut off: announces {announced} samples per channel, holds {held}")

    def _warn_of_rest(self, n_bytes: int) -> None:
        if n_bytes:
            self.warnings.append(f"{self._name}: ends within a sample; the last {plural(n_bytes, 'byte')} left out")

    def close(self) -> None:
        """Nothing is held but the stream, which is the caller's."""


def raw_source(stream: IO[bytes], name: str, raw: RawFormat, file_size: int | None) -> PcmSource:
    """Headerless PCM in a file (`file_size` in bytes) or pipe (None)."""
    head = Head(raw.sample_rate, raw.channels, raw.encoding, 0, None)
    return PcmSource(stream, name, head, file_size=file_size)


class SoundfileSource:
    """What libsndfile reads, of `Pieces` of a file.

    `n_samples` is what libsndfile says, where `exact`; else unknown, and `expected` is what to expect. `whole_numbers`:
    read integers and scale them here (FLAC of depths whose floats libsndfile gets wrong). `finish` is called at the end
    with the number of samples per channel that came and, where an error ended them, its text, which `error` keeps; it
    gives lines about what is missing.
    """

    def __init__(
        self,
        file: Pieces,
        name: str,
        *,
        layout: Layout | None = None,
        found: Found | None = None,
        exact: bool = True,
        expected: int | None = None,
        whole_numbers: bool = False,
        finish: Callable[[int, str | None], Iterable[str]] = lambda came, error: [error] if error else [],
    ) -> None:
        self._file, self._name = file, name
        self._unheard = Unheard()
        self._kind = "int32" if whole_numbers else "float32"
        self._nothing: float = _NO_NUMBER if whole_numbers else np.nan
        self._finish = finish
        self.error: str | None = None
        file.seek(0)
        try:
            with sound_errors(name), self._unheard:
                self._sound: Any = forward_file()(file)
            self.sample_rate, self.channels = self._sound.samplerate, self._sound.channels
            check_rate_and_channels(name, self.sample_rate, self.channels)
        except BaseException:
            self._unheard.close()
            raise
        here = file.tell()  # the position is libsndfile's, so it gets it back
        self.layout = layout or read_layout(file, self.channels)
        file.seek(here)
        frames: int = self._sound.frames
        known = exact and frames < 2**62 and not self._sound.subtype.startswith("MPEG")
        self.n_samples = frames if known else None
        self.expected = self.n_samples if known else expected
        self._left, self._taken, self._told = self.n_samples, 0, False
        found = found or Found(from_soundfile(self._sound.copy_metadata()))
        self.tags = found.tags
        self.notes = [f"{name}: {text}" for text in found.notes()]
        self.warnings: list[str] = []
        self.losses: list[str] = []

    def read(self, n: int) -> NDArray[np.float32]:
        if self._left is not None:
            n = min(n, self._left)
        if self._told:
            return np.zeros((self.channels, 0), np.float32)
        samples = np.full((n, self.channels), self._nothing, self._kind)
        try:
            with sound_errors(self._name), self._unheard:
                got = len(self._sound.read(out=samples)) if n else 0  # n is 0 where 0 samples are promised
        except AudioError as error:
            got = self._before(samples, error)
        if self._file.error is not None:
            raise self._file.error
        self._taken += got
        if self._left is not None:
            self._left -= got
        if got < n or self._left == 0:
            self._left, self._told = 0, True
            self._tell()
        block = np.ascontiguousarray(samples[:got].T)
        return block if self._kind == "float32" else block * np.float32(2**-31)

    def _before(self, samples: NDArray[Any], error: AudioError) -> int:
        """How many samples came before an error, which is kept."""
        gone = np.isnan(samples) if self._kind == "float32" else samples == self._nothing
        kept = np.flatnonzero(~gone.all(axis=1))
        got = int(kept[-1]) + 1 if len(kept) else 0
        text = str(error).removeprefix(f"{self._name}: ").removeprefix("cannot be read: ")
        self.error = f"damaged after {self._taken + got} samples per channel: {text}; the rest was left out"
        return got

    def _tell(self) -> None:
        """Once, when no more samples come."""
        self.losses += [f"{self._name}: {text}" for text in self._finish(self._taken, self.error)]
        errors = [line for line in self._unheard.lines() if "error" in line.lower() and "\r" not in line]
        self._unheard.close()
        if errors:
            count = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
            self.losses.append(f"{self._name}: damaged: the decoder said {errors[-1]!r}{count}")

    def close(self) -> None:
        with self._unheard:
            self._sound.close()
        self._unheard.close()
