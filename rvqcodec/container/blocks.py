"""What follows the header: `Chunk` and `End`, their rules and bytes; `Damage`, what was lost."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rvqcodec.container.header import MAX_CHANNELS, MAX_FRAMES_PER_CHUNK, MAX_N_Q, MAX_SAMPLES, Header
from rvqcodec.container.payloads import PAYLOADS, PLAIN, Shape
from rvqcodec.errors import FormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MARK = 0xD5
CHUNK, END = ord("C"), ord("E")

_START = struct.Struct("<BBIH")
_END = struct.Struct("<BBIIQI")
_OTHER = struct.Struct("<BBHB")
CRC = struct.Struct("<I")
LENGTH_SIZE = 3
"""Bytes of a payload's length; it stands before payloads whose size the other fields do not tell."""
END_SIZE = _END.size + CRC.size
OTHER_SIZE = _OTHER.size
MAX_FRAMES = 0xFFFFFFFF
MAX_FIELDS = _START.size + 1 + MAX_CHANNELS  # a payload with a length of its own has to leave room for it
MAX_BLOCK = MAX_FIELDS + MAX_CHANNELS * MAX_N_Q * MAX_FRAMES_PER_CHUNK * 16 // 8 + CRC.size
"""Bytes of the largest chunk; no other block may be longer either. A reader never holds more than two."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Codes of some consecutive frames.

    `start_frame` counts from the start of the file: chunks follow one another without gaps. `n_q` and
    `codes` have one entry for each coded channel: the number of codebooks in use (0: silence) and codes
    uint16 [n_q, frames]. `balance` is the level of mid minus that of side in dB (see `sharing.split`), 0
    when the coding is not mid-side.
    """

    start_frame: int
    frames: int
    n_q: tuple[int, ...]
    codes: Sequence[NDArray[np.uint16]]
    balance: int = 0


@dataclass(frozen=True, kw_only=True)
class RawChunk:
    """A chunk whose payload was not unpacked; `position` and `size` tell where its block stands in the
    file.
    """

    start_frame: int
    frames: int
    n_q: tuple[int, ...]
    balance: int
    payload: bytes
    position: int
    size: int

    def without_payload(self) -> RawChunk:
        """The same, to be kept in numbers."""
        return replace(self, payload=b"")


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


def fields_size(header: Header) -> int:
    """Bytes of a chunk before its payload."""
    return _numbers_size(header) + (0 if header.codec == PLAIN else LENGTH_SIZE)


def _numbers_size(header: Header) -> int:
    return _START.size + (header.coding == "mid-side") + header.coded_channels


def shape_of(header: Header, n_q: tuple[int, ...], frames: int) -> Shape:
    """What a chunk's payload holds."""
    return Shape(n_q, frames, header.code_bits)


def payload_problem(header: Header, raw: RawChunk) -> tuple[int, str] | None:
    """Where in a chunk's payload (from its first byte) and why it is wrong, as far as it shows while packed."""
    return PAYLOADS[header.codec].fault(raw.payload, shape_of(header, raw.n_q, raw.frames))


def parse_fields(header: Header, data: bytes, position: int) -> RawChunk:
    """A chunk from its fields alone, checked against the header and the caps; the payload is left empty."""
    _, _, start_frame, frames = _START.unpack_from(data)
    rest = data[_START.size : _numbers_size(header)]
    balance = 0
    if header.coding == "mid-side":
        balance = rest[0] - 256 if rest[0] > 127 else rest[0]
        rest = rest[1:]
    problem = chunk_problem(header, start_frame, frames, tuple(rest))
    if problem:
        raise FormatError(f"chunk: {problem}", position)
    size = PAYLOADS[header.codec].size(shape_of(header, tuple(rest), frames))
    if size is None:
        size = int.from_bytes(data[_numbers_size(header) : fields_size(header)], "little")
    size += fields_size(header) + CRC.size
    if size > MAX_BLOCK:
        raise FormatError(f"chunk: {size} bytes are over {MAX_BLOCK}", position)
    return RawChunk(
        start_frame=start_frame,
        frames=frames,
        n_q=tuple(rest),
        balance=balance,
        payload=b"",
        position=position,
        size=size,
    )


def chunk_problem(header: Header, start_frame: int, frames: int, n_q: tuple[int, ...]) -> str | None:
    """Which rule the numbers of a chunk break, or None."""
    if not 1 <= frames <= header.frames_per_chunk:
        return f"{frames} frames are not in 1 to {header.frames_per_chunk}"
    if start_frame + frames > MAX_FRAMES:
        return f"it ends behind frame {MAX_FRAMES}"
    share = header.total_n_q if header.coding != "discrete" else header.total_n_q // header.channels
    if max(n_q) > min(MAX_N_Q, share) or sum(n_q) > header.total_n_q:
        return f"{'+'.join(map(str, n_q))} codebooks are more than the header's {header.total_n_q}"
    return None


def pack_chunk(
    header: Header, start_frame: int, frames: int, n_q: tuple[int, ...], balance: int, payload: bytes
) -> bytes:
    """A chunk as bytes; its numbers were checked before."""
    data = _START.pack(MARK, CHUNK, start_frame, frames)
    if header.coding == "mid-side":
        data += struct.pack("b", balance)
    data += bytes(n_q)
    if header.codec != PLAIN:
        data += len(payload).to_bytes(LENGTH_SIZE, "little")
    data += payload
    return data + CRC.pack(zlib.crc32(data))


def pack_codes(header: Header, codes: Sequence[NDArray[np.uint16]], n_q: tuple[int, ...], frames: int) -> bytes:
    """The payload of codes uint16 [n_q, frames] of each coded channel."""
    return PAYLOADS[header.codec].pack(codes, shape_of(header, n_q, frames))


def unpack_codes(header: Header, raw: RawChunk) -> Chunk:
    """A chunk with its codes unpacked."""
    codes = PAYLOADS[header.codec].unpack(raw.payload, shape_of(header, raw.n_q, raw.frames))
    return Chunk(start_frame=raw.start_frame, frames=raw.frames, n_q=raw.n_q, balance=raw.balance, codes=codes)


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
