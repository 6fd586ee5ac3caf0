"""What vectors are built from: codes by a formula, chunks, ends that go with them, things put wrong."""

import struct
import zlib
from dataclasses import dataclass, replace

import numpy as np

from rvqcodec.container import Allocation, Chunk, Header, RawChunk, blocks
from rvqcodec.container.blocks import End
from rvqcodec.container.chunks import MID_SIDE_ANGLE, pack_chunk, pack_codes
from rvqcodec.container.headerbytes import pack_header

BASE = Header(
    sample_rate=44100, channels=1, coding="mono", model_id="test-1",
    weights_hash=bytes.fromhex("0123456789abcdef"), model_rate=44100, hop=1176, code_bits=10, total_n_q=2,
    frames_per_chunk=4, pre_skip=588, first=2, most=32,
)  # fmt: skip
STEREO = replace(BASE, channels=2, coding="mid-side", total_n_q=6)


@dataclass(frozen=True)
class Vector:
    """A file, its paragraph in the README and, when faulty, where and why it is refused."""

    folder: str
    name: str
    data: bytes
    text: str
    position: int | None = None
    reason: str = ""


def codes(header: Header, start: int, frames: int) -> list[np.ndarray]:
    """The codes of all vectors: (211 c + 37 k + 11 t) mod 2^bits, 64 of each frame."""
    top = (1 << header.code_bits) - 1
    k, t = np.mgrid[0:64, start : start + frames]
    return [((211 * c + 37 * k + 11 * t) & top).astype(np.uint16) for c in range(header.coded_channels)]


def plan(
    header: Header, start: int, frames: int, weights: tuple[int, ...] | None = None, demand: bytes | None = None
) -> Allocation:
    """As many codes as go into a chunk; demands by a formula, or the same for each channel."""
    weights = weights or (1,) * header.coded_channels
    if demand is None:
        rows = [bytes(1 + (7 * c + t // 2 * 3) % 15 for t in range(start, start + frames)) for c in range(len(weights))]
    else:
        rows = [demand] * len(weights)
    wanted = Allocation(
        total=0, weights=weights, demand=tuple(row if w else b"" for row, w in zip(rows, weights, strict=True))
    )
    return replace(wanted, total=min(header.total_n_q * frames, wanted.capacity(header.limits, frames)))


def packed(
    header: Header,
    start: int,
    frames: int,
    wanted: Allocation,
    payload: bytes,
    angle: int = MID_SIDE_ANGLE,
    *,
    begins: bool = False,
) -> bytes:
    """A chunk as bytes, whether or not its parts go together."""
    raw = RawChunk(
        start_frame=start, frames=frames, allocation=wanted, angle=angle, begins=begins, payload=payload,
        position=0, size=0,
    )  # fmt: skip
    return pack_chunk(header, raw)


def chunk(
    header: Header,
    start: int,
    frames: int,
    wanted: Allocation | None = None,
    angle: int = MID_SIDE_ANGLE,
    *,
    begins: bool = False,
) -> bytes:
    """A chunk as bytes, of the codes of the formula."""
    wanted = wanted or plan(header, start, frames)
    made = Chunk.of(header, start, wanted, codes(header, start, frames), angle)
    return packed(header, start, frames, wanted, pack_codes(header, made), angle, begins=begins)


def chunks(header: Header, frames: int, weights: tuple[tuple[int, ...], ...] = ()) -> list[bytes]:
    """All chunks of a file, full ones but for the last; the weights take turns."""
    step = header.frames_per_chunk
    parts = []
    for i, start in enumerate(range(0, frames, step)):
        count = min(step, frames - start)
        own = plan(header, start, count, weights[i % len(weights)] if weights else None)
        parts.append(chunk(header, start, count, own))
    return parts


def join(head: bytes, parts: list[bytes], *, frames: int, n_samples: int, counted: int | None = None) -> bytes:
    """Header, blocks and the end that goes with them."""
    check = 0
    for part in [head, *parts]:
        check = zlib.crc32(part[-4:], check)
    number = sum(part[1:2] == b"C" for part in parts) if counted is None else counted
    return head + b"".join(parts) + blocks.pack_end(End(frames=frames, chunks=number, n_samples=n_samples, check=check))


def whole(
    header: Header, frames: int, *, weights: tuple[tuple[int, ...], ...] = (), short: int = 0, known: bool = True
) -> bytes:
    """A file as writers make it; `short`: samples fewer than the frames hold."""
    n_samples = max(0, header.samples_in(frames) - short)
    header = replace(header, n_samples=n_samples if known else None)
    return join(pack_header(header), chunks(header, frames, weights), frames=frames, n_samples=n_samples)


def patched(data: bytes, at: int, new: bytes) -> bytes:
    """Bytes replaced, checksum left alone."""
    return data[:at] + new + data[at + len(new) :]


def resealed(part: bytes, at: int, new: bytes) -> bytes:
    """A header or block with bytes replaced and a right checksum."""
    body = patched(part, at, new)[:-4]
    return body + struct.pack("<I", zlib.crc32(body))


def with_records(header: Header, records: bytes) -> bytes:
    """A header with more records, its length and checksum right."""
    head = pack_header(header)
    body = bytearray(head[:-4] + records)
    body[5:7] = struct.pack("<H", len(body) + 4)
    return bytes(body) + struct.pack("<I", zlib.crc32(body))


def block(kind: bytes, body: bytes) -> bytes:
    """A block that is neither chunk nor end."""
    return blocks.pack_other(kind, body)
