"""What vectors are built from: codes by a formula, chunks, ends that go with them, things put wrong."""

import struct
import zlib
from dataclasses import dataclass, replace

import numpy as np

from rvqcodec.container import Header, blocks
from rvqcodec.container.blocks import End
from rvqcodec.container.header import pack_header
from rvqcodec.container.sharing import shares

BASE = Header(
    sample_rate=44100, channels=1, coding="mono", model_id="test-1",
    weights_hash=bytes.fromhex("0123456789abcdef"), model_rate=44100, hop=1176, code_bits=10, total_n_q=2,
    frames_per_chunk=4, pre_skip=588,
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


def codes(header: Header, n_q: tuple[int, ...], start: int, frames: int) -> list[np.ndarray]:
    """The codes of all vectors: (211 c + 37 k + 11 t) mod 2^bits."""
    top = (1 << header.code_bits) - 1
    k, t = np.mgrid[0:32, start : start + frames]
    return [((211 * c + 37 * k[:n] + 11 * t[:n]) & top).astype(np.uint16) for c, n in enumerate(n_q)]


def chunk(header: Header, start: int, frames: int, n_q: tuple[int, ...] | None = None, balance: int = 0) -> bytes:
    """A chunk as bytes; n_q None: as writers share."""
    n_q = shares(header.coding, header.total_n_q, header.channels, balance) if n_q is None else n_q
    payload = blocks.pack_codes(header, codes(header, n_q, start, frames), n_q, frames)
    return blocks.pack_chunk(header, start, frames, n_q, balance, payload)


def chunks(header: Header, frames: int, balances: tuple[int, ...] = (0,)) -> list[bytes]:
    """All chunks of a file, full ones but for the last; the balances take turns."""
    step = header.frames_per_chunk
    return [
        chunk(header, s, min(step, frames - s), balance=balances[s // step % len(balances)])
        for s in range(0, frames, step)
    ]


def join(head: bytes, parts: list[bytes], *, frames: int, n_samples: int, counted: int | None = None) -> bytes:
    """Header, blocks and the end that goes with them."""
    check = 0
    for part in [head, *parts]:
        check = zlib.crc32(part[-4:], check)
    number = sum(part[1:2] == b"C" for part in parts) if counted is None else counted
    return head + b"".join(parts) + blocks.pack_end(End(frames=frames, chunks=number, n_samples=n_samples, check=check))


def whole(
    header: Header, frames: int, *, balances: tuple[int, ...] = (0,), short: int = 0, known: bool = True
) -> bytes:
    """A file as writers make it; `short`: samples fewer than the frames hold."""
    n_samples = max(0, header.samples_in(frames) - short)
    header = replace(header, n_samples=n_samples if known else None)
    return join(pack_header(header), chunks(header, frames, balances), frames=frames, n_samples=n_samples)


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
