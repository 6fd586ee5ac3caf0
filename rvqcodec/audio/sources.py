"""Where samples come from: PCM bytes that we read ourselves (WAV, raw), or libsndfile for the rest."""

import os
import re
import struct
from collections.abc import Iterator
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio import tags as tag_names
from rvqcodec.audio.comments import ogg_doubt, read_comments
from rvqcodec.audio.layouts import Layout, of_mask, read_layout
from rvqcodec.audio.samples import WIDTH, RawFormat, check_rate_and_channels, decode
from rvqcodec.audio.soundfiles import forward_file, sound_errors
from rvqcodec.audio.wavread import MAX_CHUNKS, MAX_INFO, Stream, read_wav_head


class Source(Protocol):
    """What AudioInput reads from; the attributes mean what they mean there."""

    sample_rate: int
    channels: int
    layout: Layout
    n_samples: int | None
    expected: int | None
    tags: dict[str, str]
    warnings: list[str]

    def read(self, n: int) -> NDArray[np.float32]:
        """Up to n samples, float32 [channels, m], channels as they stand in the file; m < n only for the last ones,
        after which m is 0."""

    def close(self) -> None: ...


class PcmSource:
    """Samples of one fixed encoding, read forwards from a file or pipe.

    `data_bytes` is what the head announces (None: until the end); `file_bytes` how many bytes the file holds
    from here on (None for pipes), which wins where it is less.
    """

    def __init__(
        self,
        stream: IO[bytes],
        name: str,
        *,
        sample_rate: int,
        channels: int,
        encoding: str,
        data_bytes: int | None,
        file_bytes: int | None,
        tags: dict[str, str],
        mask: int | None = None,
    ) -> None:
        check_rate_and_channels(name, sample_rate, channels)
        self.layout = of_mask(mask, channels)
        self.sample_rate, self.channels, self.tags = sample_rate, channels, tags
        self.warnings: list[str] = []
        self._stream, self._name, self._encoding = stream, name, encoding
        self._align = WIDTH[encoding] * channels
        self.n_samples: int | None = None
        self.expected = None if data_bytes is None else data_bytes // self._align
        # What still is to be read; None: until the end.
        self._left = self.expected
        if file_bytes is not None:
            held = file_bytes // self._align
            if self.expected is None:
                self._warn_of_rest(file_bytes % self._align)
            elif held < self.expected:
                self._warn_of_end(held)
            self.n_samples = held if self.expected is None else min(held, self.expected)
            self._left = self.expected = self.n_samples
        self._taken = 0

    def read(self, n: int) -> NDArray[np.float32]:
        if self._left == 0 and self.n_samples is None:
            self._drain()
        if self._left is not None:
            n = min(n, self._left)
        data = self._stream.read(n * self._align)
        got = len(data) // self._align
        self._taken += got
        if self._left is not None:
            self._left -= got
        if got < n:
            if self.n_samples is None and self._left is not None:
                self._warn_of_end(self._taken)
            else:
                self._warn_of_rest(len(data) % self._align)
            self._left = 0
        return decode(data[: got * self._align], self._encoding, self.channels)

    def _drain(self) -> None:
        # Chunks after the samples: read them, so that the program that writes the pipe is not cut off by us.
        while self._stream.read(65_536):
            pass

    def _warn_of_end(self, held: int) -> None:
        self.warnings.append(f"{self._name}: cut off: announces {self.expected} samples per channel, holds {held}")

    def _warn_of_rest(self, n_bytes: int) -> None:
        if n_bytes:
            self.warnings.append(f"{self._name}: ends within a sample; the last {n_bytes} bytes were left out")

    def close(self) -> None:
        self._stream.close()


def wav_source(start: Stream, stream: IO[bytes], name: str, file_size: int | None) -> PcmSource:
    """A WAV file (`file_size` in bytes, seekable) or pipe (None), whose head is read from `start` (often the
    same as `stream`) and the samples from `stream`. Raises WavCodingError as `read_wav_head` does."""
    head = read_wav_head(start, name, file_size)
    tags, data_bytes, file_bytes = head.tags, head.data_bytes, None
    if file_size is not None:
        file_bytes = max(0, file_size - head.data_start)
        if data_bytes is not None and data_bytes < file_bytes:
            end = head.data_start + data_bytes + (data_bytes & 1)
            tags = {**tags, **_tags_behind(stream, end)}
            stream.seek(head.data_start)
    return PcmSource(
        stream,
        name,
        sample_rate=head.sample_rate,
        channels=head.channels,
        encoding=head.encoding,
        data_bytes=data_bytes,
        file_bytes=file_bytes,
        tags=tags,
        mask=head.mask,
    )


def _tags_behind(stream: IO[bytes], position: int) -> dict[str, str]:
    tags: dict[str, str] = {}
    for _ in range(MAX_CHUNKS):
        stream.seek(position)
        start = stream.read(8)
        if len(start) < 8:
            break
        chunk, size = struct.unpack("<4sI", start)
        if chunk == b"LIST" and size <= MAX_INFO:
            tags.update(tag_names.parse_info(stream.read(size)))
        position += 8 + size + (size & 1)
    return tags


def raw_source(stream: IO[bytes], name: str, raw: RawFormat, file_size: int | None) -> PcmSource:
    """Headerless PCM in a file (`file_size` in bytes) or pipe (None)."""
    return PcmSource(
        stream,
        name,
        sample_rate=raw.sample_rate,
        channels=raw.channels,
        encoding=raw.encoding,
        data_bytes=None,
        file_bytes=file_size,
        tags={},
    )


class SoundfileSource:
    """Any format that libsndfile reads, from a seekable file that this object closes."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name = file, name
        comments = read_comments(file)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        with sound_errors(name):
            self._sound = forward_file()(file.fileno(), closefd=False)
        self.sample_rate, self.channels = self._sound.samplerate, self._sound.channels
        check_rate_and_channels(name, self.sample_rate, self.channels)
        here = os.lseek(file.fileno(), 0, os.SEEK_CUR)  # the position is libsndfile's too, so it gets it back
        with open(os.dup(file.fileno()), "rb") as own:  # a buffer of its own, that knows nothing of libsndfile's seeks
            self.layout = read_layout(own, self.channels)
        os.lseek(file.fileno(), here, os.SEEK_SET)
        self.tags = {**tag_names.from_soundfile(self._sound.copy_metadata()), **comments}
        # libsndfile gives 2**63 - 1 for FLAC of unknown length (from a pipe); for MP3 it may only estimate.
        frames: int = self._sound.frames
        self.expected = None if frames >= 2**62 else frames
        estimated = self._sound.format == "MP3" or self._sound.subtype.startswith("MPEG")
        self.n_samples = None if estimated else self.expected
        self._left, self._taken = self.n_samples, 0
        self.warnings = [f"{name}: {text}" for text in self._doubts()]

    def _doubts(self) -> Iterator[str]:
        """What libsndfile accepts without a word."""
        if self._sound.format == "OGG":
            # The position is libsndfile's too, so it gets it back.
            here = os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
            doubt = ogg_doubt(self._file)
            os.lseek(self._file.fileno(), here, os.SEEK_SET)
            if doubt:
                yield doubt
        sizes = re.search(r"(?:SSND|Data Size) *: (\d+) \(should be (\d+)\)", self._sound.extra_info)
        # sox announces 0x7f000008 bytes in an AIFF pipe: no real file is cut off there.
        if sizes and int(sizes[2]) < int(sizes[1]) < 0x7F000000:
            yield f"cut off: announces {sizes[1]} bytes of samples, holds {sizes[2]}"

    def read(self, n: int) -> NDArray[np.float32]:
        if self._left is not None:
            n = min(n, self._left)
        with sound_errors(self._name):
            samples = self._sound.read(n, dtype="float32", always_2d=True)
        self._taken += len(samples)
        if self._left is not None:
            self._left -= len(samples)
        elif len(samples) < n:
            self._left = 0
            if self._taken < 0.95 * (self.expected or 0):
                text = f"about {self.expected} samples per channel expected, {self._taken} came"
                self.warnings.append(f"{self._name}: maybe cut off: {text}")
        return np.ascontiguousarray(samples.T)

    def close(self) -> None:
        self._sound.close()
        self._file.close()
