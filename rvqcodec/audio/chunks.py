"""How chunks stand in WAV, AIFF, CAF and W64, and a walk over those of a file in which one can seek."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

MAX_CHUNKS = 4096  # before or behind the samples; more is an attack, not a recording


class File(Protocol):
    """What is read here: a file, or `Pieces`."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def read(self, n: int, /) -> bytes: ...


@dataclass(frozen=True)
class ChunkStyle:
    """How chunks stand in a format: `head` is a struct of id and size; sizes are rounded up to `pad` bytes, and
    count the chunk's own head where `whole`. Ids of 16 bytes are GUIDs whose first four are a RIFF id."""

    name: str
    head: str
    pad: int
    whole: bool = False


RIFF = ChunkStyle("WAV", "<4sI", 2)
RIFX = ChunkStyle("WAV", ">4sI", 2)
IFF = ChunkStyle("AIFF", ">4sI", 2)
CAF = ChunkStyle("CAF", ">4sq", 1)
W64 = ChunkStyle("W64", "<16sQ", 8, whole=True)

FIRST = {RIFF: 12, RIFX: 12, IFF: 12, CAF: 8, W64: 40}
"""Where in a file the first chunk stands."""


def walk(file: File, style: ChunkStyle, begin: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Id, size and place of the body of each chunk, MAX_CHUNKS of them at most; `file` stands at each body in turn.

    begin: where in `file` the format begins. A size below 0 is given as it is, and counts as 0.
    """
    n_head, position = struct.calcsize(style.head), begin + FIRST[style]
    for _ in range(MAX_CHUNKS):
        file.seek(position)
        head = file.read(n_head)
        if len(head) < n_head:
            return
        chunk, size = split_head(head, style)
        yield chunk, size, position + n_head
        position += n_head + max(0, size) + -size % style.pad


def split_head(head: bytes, style: ChunkStyle) -> tuple[bytes, int]:
    """Id (four bytes) and size of the body, from a chunk's head."""
    chunk, size = struct.unpack(style.head, head)
    return chunk[:4], size - len(head) if style.whole else size


def is_id(text: bytes) -> bool:
    """Whether four bytes may be the id of a chunk: printable ASCII."""
    return len(text) == 4 and all(0x20 <= byte < 0x7F for byte in text) and text != b"    "
