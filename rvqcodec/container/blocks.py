"""Blocks that are no chunks: `End` and blocks to skip, their rules and bytes; `Damage`, what was lost."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from rvqcodec.container.header import MAX_SAMPLES
from rvqcodec.errors import FormatError

MARK = 0xD5
CHUNK, END = ord("C"), ord("E")

_END = struct.Struct("<BBIIQI")
_OTHER = struct.Struct("<BBHB")
CRC = struct.Struct("<I")
END_SIZE = _END.size + CRC.size
OTHER_SIZE = _OTHER.size
MAX_FRAMES = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True)
class End:
    """The totals of a file: frames, chunks, samples per channel at the sample rate; `check` covers all
    checksums.
    """

    frames: int
    chunks: int
    n_samples: int
    check: int


@dataclass(frozen=True, kw_only=True)
class Damage:
    """Something that a salvaging reader could not use: `frames` frames from `start_frame` on are lost
    (0: none are).

    `position` is the byte of the file where the damage shows, `reason` one line.
    """

    start_frame: int
    frames: int
    position: int
    reason: str


def pack_end(end: End) -> bytes:
    """The end block as bytes."""
    data = _END.pack(MARK, END, end.frames, end.chunks, end.n_samples, end.check)
    return data + CRC.pack(zlib.crc32(data))


def parse_end(data: bytes, position: int) -> End:
    """The end block from its bytes, all of them."""
    if CRC.unpack(data[_END.size :])[0] != zlib.crc32(data[: _END.size]):
        raise FormatError("end: checksum is wrong", position)
    _, _, frames, chunks, n_samples, check = _END.unpack_from(data)
    if n_samples > MAX_SAMPLES:
        raise FormatError(f"end: n_samples {n_samples} is over {MAX_SAMPLES}", position)
    return End(frames=frames, chunks=chunks, n_samples=n_samples, check=check)


def pack_other(kind: bytes, body: bytes) -> bytes:
    """A block that is neither chunk nor end; lower-case kinds are skipped by readers that do not know
    them.
    """
    data = struct.pack("<BB", MARK, kind[0]) + len(body).to_bytes(3, "little") + body
    return data + CRC.pack(zlib.crc32(data))


def other_size(data: bytes) -> int:
    """The whole length of a block that is neither chunk nor end, from its first 5 bytes."""
    _, _, low, high = _OTHER.unpack_from(data)
    return int(OTHER_SIZE + (low | high << 16) + CRC.size)
