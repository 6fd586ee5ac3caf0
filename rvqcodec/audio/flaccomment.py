"""Puts comments into a FLAC file that is finished, which libsndfile does for a few keys only.

Source: RFC 9639, sections 8.1 and 8.6.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_COMMENTS, _LAST = 4, 0x80
_PIECE = 1 << 20


def add_comments(path: Path, texts: Sequence[str]) -> None:
    """Add each `KEY=value` to a file that begins with fLaC; all behind moves. OSError when it cannot be written."""
    entries = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    with open(path, "r+b") as file:
        position, last = 4, 0
        while not last:
            file.seek(position)
            head = file.read(4)
            kind, last, size = head[0] & 0x7F, head[0] & _LAST, int.from_bytes(head[1:], "big")
            if kind == _COMMENTS:
                _grow(file, position, entries, len(texts))
                return
            position += 4 + size
            behind = head[0], position - size - 4
        # None yet: it becomes the last block.
        flags, at = behind
        _insert(file, position, _block(_COMMENTS | _LAST, struct.pack("<II", 0, len(texts)) + entries))
        file.seek(at)
        file.write(bytes([flags & ~_LAST]))


def _grow(file: IO[bytes], position: int, entries: bytes, more: int) -> None:
    """Adds so many entries to the block of comments at a position."""
    file.seek(position)
    head = file.read(4)
    body = file.read(int.from_bytes(head[1:], "big"))
    count_at = 4 + struct.unpack_from("<I", body)[0]
    count = struct.unpack_from("<I", body, count_at)[0]
    grown = body[:count_at] + struct.pack("<I", count + more) + body[count_at + 4 :] + entries
    _insert(file, position + 4 + len(body), entries)
    file.seek(position)
    file.write(_block(head[0], grown))


def _block(flags: int, body: bytes) -> bytes:
    return bytes([flags]) + len(body).to_bytes(3, "big") + body


def _insert(file: IO[bytes], at: int, data: bytes) -> None:
    """Puts bytes in between, what stands behind them moved piece by piece from the end."""
    end = file.seek(0, 2)
    while end > at:
        start = max(at, end - _PIECE)
        file.seek(start)
        piece = file.read(end - start)
        file.seek(start + len(data))
        file.write(piece)
        end = start
    file.seek(at)
    file.write(data)
