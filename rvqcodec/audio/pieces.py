"""Parts of a file, and bytes of our own between them, as one file to read: what libsndfile gets to see."""

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import IO

Piece = bytes | tuple[int, int]
"""Bytes of our own, or (position, size) of a part of the file."""


class Pieces:
    """Reads and seeks like a file. `error`: what the system refused; reading then ended early.

    libsndfile calls it from C, where no exception can pass.
    """

    def __init__(self, file: IO[bytes], pieces: Sequence[Piece]) -> None:
        self._file, self._pieces = file, [p for p in pieces if (len(p) if isinstance(p, bytes) else p[1]) > 0]
        sizes = [len(p) if isinstance(p, bytes) else p[1] for p in self._pieces]
        self._ends = list(accumulate(sizes))
        self._position = 0
        self.error: OSError | None = None

    @property
    def size(self) -> int:
        return self._ends[-1] if self._ends else 0

    def behind(self, n: int, start: bytes) -> "Pieces":
        """The same without the first n bytes, and with others in their place."""
        left: list[Piece] = []
        for piece in self._pieces:
            size = len(piece) if isinstance(piece, bytes) else piece[1]
            skip, n = min(n, size), max(0, n - size)
            left.append(piece[skip:] if isinstance(piece, bytes) else (piece[0] + skip, size - skip))
        return Pieces(self._file, [start, *left])

    def part(self, start: int, end: int) -> "Pieces":
        """The bytes between two positions."""
        behind = self.behind(start, b"")
        ahead: list[Piece] = []
        left = end - start
        for piece in behind._pieces:
            size = min(left, len(piece) if isinstance(piece, bytes) else piece[1])
            ahead.append(piece[:size] if isinstance(piece, bytes) else (piece[0], size))
            left -= size
        return Pieces(self._file, ahead)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, n: int) -> bytes:
        """n bytes, fewer at the end."""
        parts = []
        while n > 0 and (data := self._read_some(n)):
            parts.append(data)
            n -= len(data)
        return b"".join(parts)

    def _read_some(self, n: int) -> bytes:
        index = bisect_right(self._ends, self._position)
        if index == len(self._ends):
            return b""
        piece = self._pieces[index]
        size = len(piece) if isinstance(piece, bytes) else piece[1]
        at = self._position - (self._ends[index] - size)
        n = min(n, size - at)
        if isinstance(piece, bytes):
            data = piece[at : at + n]
        else:
            try:
                self._file.seek(piece[0] + at)
                data = self._file.read(n)
            except OSError as error:
                self.error = error
                data = b""
        self._position += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer as far as there is something."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
