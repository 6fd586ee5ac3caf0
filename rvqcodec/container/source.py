"""Bytes of a file object with a look ahead; reads exactly what is needed, so that pipes never stall."""

import re
from typing import Protocol


class Readable(Protocol):
    """What a source is read with: `read(n)` gives up to n bytes, none at the end."""

    def read(self, n: int, /) -> bytes: ...


_PIECE = 1 << 16


class Source:
    """A file object, the bytes of it that were read but not used, and the position of the first of them."""

    def __init__(self, fileobj: Readable) -> None:
        self._fileobj = fileobj
        self._ahead = bytearray()
        self.position = 0

    def peek(self, n: int) -> bytes:
        """The next `n` bytes without using them up; fewer only at the end. Memory grows with what
        arrives, not with n.
        """
        while len(self._ahead) < n:
            piece = self._fileobj.read(min(n - len(self._ahead), _PIECE))
            if not piece:
                break
            self._ahead += piece
        return bytes(self._ahead[:n])

    def skip(self, n: int) -> None:
        """Uses up `n` bytes that were peeked at."""
        del self._ahead[:n]
        self.position += n

    def skip_to(self, pattern: re.Pattern[bytes]) -> bool:
        """Goes on to the next match of a pattern of two bytes; False: there is none up to the end."""
        while True:
            match = pattern.search(self._ahead)
            if match:
                start = match.start()
                del match  # it holds the buffer, which then could not shrink
                self.skip(start)
                return True
            self.skip(max(0, len(self._ahead) - 1))
            if len(self.peek(_PIECE)) < 2:
                self.skip(len(self._ahead))
                return False

    def jump(self, position: int) -> None:
        """Moves to a position by seeking in the file. Raises OSError where the file cannot."""
        here = self._fileobj.tell()  # type: ignore[attr-defined]
        start = here - len(self._ahead) - self.position
        self._fileobj.seek(start + position)  # type: ignore[attr-defined]
        self._ahead.clear()
        self.position = position

    def seekable(self) -> bool:
        """Whether `jump` works."""
        test = getattr(self._fileobj, "seekable", None)
        return bool(test and test())
