"""What the heads of PCM files have in common: what they say, reading them forwards, and how far sizes are believed.

Sizes in pipes are often bogus (ffmpeg: all ones, sox: 0x7ffff000 rounded to whole sample frames, others: 0); those
mean "until the end". Sizes of 32 bits wrap in files over 4 GiB.
"""

import struct
from dataclasses import dataclass, field
from typing import Protocol

from rvqcodec.audio.chunks import ChunkStyle, is_id, split_head
from rvqcodec.audio.found import Found
from rvqcodec.audio.layouts import Layout
from rvqcodec.errors import AudioError

MAX_INFO = 1 << 24  # bytes of a chunk of tags that are worth reading; pictures are in some


class Stream(Protocol):
    """Anything whose read(n) gives n bytes, fewer only at the end."""

    def read(self, n: int, /) -> bytes: ...


class CodingError(AudioError):
    """Samples coded in a way that our own readers leave to libsndfile (ADPCM, GSM, ...)."""


@dataclass(frozen=True)
class Head:
    """What a head says. `data_start` counts bytes from where the head began; `data_bytes` is the size of the
    samples as announced, None for "until the end"; `unsure`: the size is one that programs write when they do not
    know it. `order` of the bytes of a sample is "<" or ">". `chunks` may follow the samples in this style; None: none
    may. `wraps`: the size has 32 bits. `losses` are lines about samples that the head itself shows to be missing.
    `layout`: None where nothing is said of loudspeakers."""

    sample_rate: int
    channels: int
    encoding: str
    data_start: int
    data_bytes: int | None
    found: Found = field(default_factory=Found)
    order: str = "<"
    chunks: ChunkStyle | None = None
    wraps: bool = True
    unsure: bool = False
    losses: tuple[str, ...] = ()
    layout: Layout | None = None


class HeadReader:
    """Reads a head forwards and knows where it is. Errors name the file and the chunk."""

    def __init__(self, stream: Stream, name: str, style: ChunkStyle) -> None:
        self._stream, self._name, self.style = stream, name, style
        self.position = 0
        self._within = ""

    def exactly(self, n: int) -> bytes:
        """n bytes; AudioError where fewer are left."""
        data = self._stream.read(n)
        self.position += len(data)
        if len(data) < n:
            raise AudioError(
                f"{self._name}: ends within its {self.style.name} header{self._within}, before any samples"
            )
        return data

    def skip(self, n: int) -> None:
        """Read n bytes for nothing."""
        while n > 0:
            n -= len(self.exactly(min(n, 65_536)))

    def chunk(self) -> tuple[bytes, int]:
        """Id and size (of the body) of the next chunk."""
        self._within = ""
        return self._enter(self.exactly(struct.calcsize(self.style.head)))

    def body(self, size: int, wanted: int) -> bytes:
        """Up to `wanted` bytes of a chunk's body; the rest and the pad bytes are skipped.

        The pad byte of an odd chunk is missing in files of some programs: where a chunk's id stands in its place,
        nothing is skipped.
        """
        body = self.exactly(min(size, wanted))
        self.skip(size - len(body))
        return body

    def next_chunk(self, size: int) -> tuple[bytes, int]:
        """The chunk behind one whose body of `size` bytes was read, past the pad bytes of that one."""
        self._within = ""
        pad = -size % self.style.pad
        head = self.exactly(pad)
        if self.style.pad == 2 and pad and head != b"\0":
            head += self.exactly(7)
            if not is_id(head[:4]):  # a pad byte after all, though not zero as it ought to be
                head = head[1:] + self.exactly(1)
            return self._enter(head)
        return self.chunk()

    def _enter(self, head: bytes) -> tuple[bytes, int]:
        chunk, size = split_head(head, self.style)
        shown = chunk.decode("latin-1")
        self._within = f" (its {shown!r} chunk announces {size:,} bytes)"
        return chunk, size


def bogus(size: int) -> bool:
    """Whether a 32-bit size is one that programs write when they do not know it."""
    return size >= 0xFFFFE000 or 0x7F000000 <= size <= 0x80000000


def announced(size: int, outer_size: int, data_start: int, file_size: int | None) -> int | None:
    """A 32-bit size of the samples as far as it is believed; None: until the end.

    `outer_size` of the whole, `data_start` from the file's start; `file_size` in bytes, None for a pipe: a size that
    looks bogus is believed where the file is that large.
    """
    if bogus(size) and data_start + size > (file_size or 0):
        return None
    if size == 0:
        # Written by a program that could not go back, unless the outer size says that more chunks follow:
        # only then the file is known to be finished, and empty.
        finished = not bogus(outer_size) and outer_size + 8 > data_start
        return 0 if finished else None
    return size
