"""`Chunk`, its rules and bytes; `RawChunk`, whose codes stay packed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rvqcodec.container import demands
from rvqcodec.container.allocation import Allocation, n_q
from rvqcodec.container.blocks import CHUNK, CRC, MARK, MAX_FRAMES
from rvqcodec.container.header import MAX_CHANNELS, MAX_FRAMES_PER_CHUNK, MAX_N_Q, Header
from rvqcodec.container.payloads import PAYLOADS, PLAIN, fitted
from rvqcodec.container.shapes import Shape
from rvqcodec.errors import FormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_START = struct.Struct("<BBIH3sB")
LENGTH_SIZE = 3
"""Bytes of a payload's length; it stands before payloads whose size the other fields do not tell."""
DEMANDS_SIZE = 2
"""Bytes of the length of a chunk's demands."""
CONSTANT, PART, BEGINS = 1, 2, 4
"""Flags of a chunk: every frame has the same number of codes; it was cut out of a longer chunk; a recording begins."""
MAX_ANGLE = 63
MID_SIDE_ANGLE = 32
"""Angle by which stereo was turned before it was coded, in 64ths of pi from -45 degrees on: this one, mid and side."""
MAX_FIELDS = (
    _START.size + 1 + MAX_CHANNELS + DEMANDS_SIZE + LENGTH_SIZE + demands.most_bytes(MAX_CHANNELS, MAX_FRAMES_PER_CHUNK)
)
MAX_BLOCK = MAX_FIELDS + MAX_CHANNELS * MAX_N_Q * MAX_FRAMES_PER_CHUNK * 16 // 8 + CRC.size
"""Bytes of the largest chunk; no other block may be longer either. A reader never holds more than two."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Codes of some consecutive frames.

    `start_frame` counts from the start of the file: chunks follow one another without gaps. `allocation` says how many
    codes each frame and coded channel has: `n_q`, uint8 [C, frames]. `codes` has uint16 [K, frames] for each coded
    channel, K the most of its `n_q` (or more: what lies behind a frame's `n_q` is not looked at). `angle` is by how
    much stereo was turned, MID_SIDE_ANGLE when the coding is not mid-side. `begins`: its first frame is the first of a
    recording that was joined to what comes before.

    `packed` is the payload of a chunk that was made to fit some bytes (`fitting`), and of what shape; codes are then
    read-only. A chunk that is made of another has none.
    """

    start_frame: int
    frames: int
    allocation: Allocation
    n_q: NDArray[np.uint8]
    codes: Sequence[NDArray[np.uint16]]
    angle: int = MID_SIDE_ANGLE
    begins: bool = False
    packed: tuple[Shape, bytes] | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(
        cls,
        header: Header,
        start_frame: int,
        allocation: Allocation,
        codes: Sequence[NDArray[np.uint16]],
        angle: int = MID_SIDE_ANGLE,
        *,
        begins: bool = False,
    ) -> Chunk:
        """A chunk that takes its codes out of longer columns: uint16 [K, frames] of each coded channel.

        ValueError where the allocation wants more codes than these or than its units can take.
        """
        import numpy as np  # not above: `rvq info` starts without it

        frames = codes[0].shape[1]
        counts = n_q(header.limits, allocation, frames)
        parts = []
        for own, rows in zip(counts, codes, strict=True):
            most = int(own.max(initial=0))
            if len(rows) < most:
                raise ValueError(f"{len(rows)} codebooks where {most} are wanted")
            parts.append(np.where(np.arange(most)[:, None] < own, rows[:most], 0).astype(np.uint16))
        return cls(
            start_frame=start_frame, frames=frames, allocation=allocation, n_q=counts, codes=tuple(parts), angle=angle,
            begins=begins,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RawChunk:
    """A chunk whose payload was not unpacked; `position` and `size` tell where its block stands in the
    file.
    """

    start_frame: int
    frames: int
    allocation: Allocation
    angle: int
    begins: bool
    payload: bytes
    position: int
    size: int

    def without_payload(self) -> RawChunk:
        """The same, to be kept in numbers."""
        return replace(self, payload=b"")


@dataclass(frozen=True)
class Fields:
    """The numbers at a chunk's start, from which follow where its parts stand; `size`: of the whole block, in bytes."""

    start_frame: int
    frames: int
    total: int
    flags: int
    angle: int
    weights: tuple[int, ...]
    demands: int  # bytes
    payload: int  # bytes
    size: int


def fields_size(header: Header) -> int:
    """Bytes of a chunk before its demands; enough to walk to the next chunk."""
    return _numbers_size(header) + DEMANDS_SIZE + (0 if header.codec == PLAIN else LENGTH_SIZE)


def _numbers_size(header: Header) -> int:
    return _START.size + (header.coding == "mid-side") + header.coded_channels


def shape_of(header: Header, allocation: Allocation, frames: int) -> Shape:
    """What a chunk's payload holds."""
    return Shape(header.limits, allocation, frames, header.code_bits, header.coder)


def parse_fields(header: Header, data: bytes, position: int) -> Fields:
    """A chunk's numbers from its first bytes, checked against the header and the caps. FormatError."""
    _, _, start_frame, frames, number, flags = _START.unpack_from(data)
    total = int.from_bytes(number, "little")
    rest = data[_START.size : fields_size(header)]
    angle = MID_SIDE_ANGLE
    if header.coding == "mid-side":
        angle, rest = rest[0], rest[1:]
    weights, rest = tuple(rest[: header.coded_channels]), rest[header.coded_channels :]
    length = int.from_bytes(rest[:DEMANDS_SIZE], "little")
    problem = _numbers_problem(header, start_frame, frames, total, flags, angle)
    live = 0 if flags & CONSTANT else len(weights) - weights.count(0)
    if not problem and length > demands.most_bytes(live, frames):
        problem = f"{length} bytes of demands are more than {live} channels and {frames} frames can take"
    if problem:
        raise FormatError(f"chunk: {problem}", position)
    payload = PAYLOADS[header.codec].size(shape_of(header, Allocation(total=total, weights=weights), frames))
    if payload is None:
        payload = int.from_bytes(rest[DEMANDS_SIZE:], "little")
    size = fields_size(header) + length + payload + CRC.size
    if size > MAX_BLOCK:
        raise FormatError(f"chunk: {size} bytes are over {MAX_BLOCK}", position)
    return Fields(start_frame, frames, total, flags, angle, weights, length, payload, size)


def parse_chunk(header: Header, fields: Fields, data: bytes, position: int) -> RawChunk:
    """A chunk from its numbers and its bytes, all of them; the payload stays packed, but is checked. FormatError."""
    at = fields_size(header)
    packed, payload = data[at : at + fields.demands], data[at + fields.demands : -CRC.size]
    rows = None
    if not fields.flags & CONSTANT:
        live = [c for c, weight in enumerate(fields.weights) if weight]
        try:
            found = demands.unpack(packed, len(live), fields.frames)
        except ValueError as error:
            raise FormatError(f"chunk: {error}", position + at) from None
        rows = tuple(found[live.index(c)] if c in live else b"" for c in range(len(fields.weights)))
    allocation = Allocation(
        total=fields.total, weights=fields.weights, demand=rows, part=bool(fields.flags & PART)
    )  # fmt: skip
    problem = capacity_problem(header, allocation, fields.frames)
    if problem:
        raise FormatError(f"chunk: {problem}", position)
    fault = PAYLOADS[header.codec].fault(payload, shape_of(header, allocation, fields.frames))
    if fault:
        raise FormatError(f"chunk: {fault[1]}", position + at + fields.demands + fault[0])
    return RawChunk(
        start_frame=fields.start_frame, frames=fields.frames, allocation=allocation, angle=fields.angle,
        begins=bool(fields.flags & BEGINS), payload=payload, position=position, size=fields.size,
    )  # fmt: skip


def _numbers_problem(header: Header, start_frame: int, frames: int, total: int, flags: int, angle: int) -> str | None:
    """Which rule the numbers of a chunk break, or None."""
    if not 1 <= frames <= header.frames_per_chunk:
        return f"{frames} frames are not in 1 to {header.frames_per_chunk}"
    if start_frame + frames > MAX_FRAMES:
        return f"it ends behind frame {MAX_FRAMES}"
    if flags & ~(CONSTANT | PART | BEGINS) or (flags & CONSTANT and flags & PART):
        return f"flags {flags} are not {CONSTANT} or {PART}, with or without {BEGINS}"
    if not 0 <= angle <= MAX_ANGLE:
        return f"angle {angle} is over {MAX_ANGLE}"
    each = sum(most for _, most in header.limits) if flags & PART else header.total_n_q
    if total > each * frames:
        return f"{total} codes in {frames} frames are more than {each} a frame"
    if flags & CONSTANT and total % frames:
        return f"{total} codes cannot be the same number in {frames} frames"
    return None


def capacity_problem(header: Header, allocation: Allocation, frames: int) -> str | None:
    """Why a chunk's units cannot take its codes, or None."""
    capacity = allocation.capacity(header.limits, frames)
    if allocation.total > capacity:
        return f"{allocation.total} codes are more than the {capacity} that its frames can take"
    return None


def chunk_problem(header: Header, chunk: Chunk | RawChunk) -> str | None:
    """Which rule a chunk breaks that is to be written, or None."""
    allocation = chunk.allocation
    problem = _numbers_problem(
        header, chunk.start_frame, chunk.frames, allocation.total, _flags(chunk), chunk.angle
    )  # fmt: skip
    return problem or capacity_problem(header, allocation, chunk.frames)


def _flags(chunk: Chunk | RawChunk) -> int:
    allocation = chunk.allocation
    return CONSTANT * (allocation.demand is None) | PART * allocation.part | BEGINS * chunk.begins


def pack_chunk(header: Header, chunk: RawChunk) -> bytes:
    """A chunk as bytes; its numbers were checked before, `position` and `size` do not matter."""
    allocation = chunk.allocation
    data = _START.pack(
        MARK, CHUNK, chunk.start_frame, chunk.frames, allocation.total.to_bytes(3, "little"), _flags(chunk)
    )  # fmt: skip
    if header.coding == "mid-side":
        data += bytes([chunk.angle])
    packed = demands.pack([row for row in allocation.demand or () if row])
    data += bytes(allocation.weights) + len(packed).to_bytes(DEMANDS_SIZE, "little")
    if header.codec != PLAIN:
        data += len(chunk.payload).to_bytes(LENGTH_SIZE, "little")
    data += packed + chunk.payload
    return data + CRC.pack(zlib.crc32(data))


def pack_codes(header: Header, chunk: Chunk) -> bytes:
    """The payload of a chunk."""
    shape = shape_of(header, chunk.allocation, chunk.frames)
    if chunk.packed and chunk.packed[0] == shape:
        return chunk.packed[1]
    return PAYLOADS[header.codec].pack(chunk.codes, shape)


def fitting(header: Header, chunk: Chunk, size: int, least: int) -> Chunk:
    """A chunk with the most of its first codes whose payload has at most `size` bytes, or `least`, if they are fewer.

    For headers whose codes are coded.
    """
    allocation = chunk.allocation
    payload, total = fitted(chunk.codes, shape_of(header, allocation, chunk.frames), size, least)
    allocation = allocation.with_total(total)
    found = Chunk.of(header, chunk.start_frame, allocation, chunk.codes, chunk.angle, begins=chunk.begins)
    for rows in found.codes:
        rows.flags.writeable = False
    object.__setattr__(found, "packed", (shape_of(header, allocation, chunk.frames), payload))
    return found


def unpack_codes(header: Header, raw: RawChunk) -> Chunk:
    """A chunk with its codes unpacked. FormatError for coded ones that make no sense."""
    [found] = unpack_all(header, [raw])
    if isinstance(found, FormatError):
        raise found
    return found


def unpack_all(header: Header, raws: Sequence[RawChunk]) -> list[Chunk | FormatError]:
    """Chunks with their codes unpacked, or why one's make no sense."""
    shapes = [shape_of(header, raw.allocation, raw.frames) for raw in raws]
    unpacked = PAYLOADS[header.codec].unpack([(raw.payload, shape) for raw, shape in zip(raws, shapes, strict=True)])
    return [
        codes
        if isinstance(codes, FormatError)
        else Chunk(
            start_frame=raw.start_frame, frames=raw.frames, allocation=raw.allocation, n_q=shape.n_q(),
            codes=codes, angle=raw.angle, begins=raw.begins,
        )
        for raw, shape, codes in zip(raws, shapes, unpacked, strict=True)
    ]  # fmt: skip


def trimmed(header: Header, raw: RawChunk, total: int) -> RawChunk:
    """A chunk with at most its first `total` codes; they stay packed."""
    if total >= raw.allocation.total:
        return raw
    payload = PAYLOADS[header.codec].head(raw.payload, shape_of(header, raw.allocation, raw.frames), total)
    return replace(raw, allocation=raw.allocation.with_total(total), payload=payload)
