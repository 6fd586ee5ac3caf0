"""The range coder of coded payloads: symbols of given frequencies to bytes and back, in integers alone.

A symbol is a slice `low` to `high` of `total` (at most MAX_TOTAL). The coder keeps an interval of 2^48 to 2^56; a
payload is its whole bytes and one more. So the bytes of the first n symbols are known as soon as these are coded, they
grow with n, and a payload that is a byte longer or shorter than its symbols need is none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

TOP, BOTTOM = 1 << 56, 1 << 48
MAX_TOTAL = 1 << 30
_LATE = 6  # bytes behind the payload that a decoder looks at, as zeros


class RangeEncoder:
    """Takes symbols, gives bytes. `size`: bytes of what was put so far."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._low, self._range = 0, TOP

    @property
    def size(self) -> int:
        return len(self._out) + 1

    def put(self, symbols: Iterable[tuple[int, int, int]], most: int | None = None) -> int:
        """Symbols that each stand for low to high, not with it, of total. Returns how many were put.

        most: `size` up to which they are put, and none behind the first that would take more.
        """
        out, at, interval, count = self._out, self._low, self._range, 0
        for low, high, total in symbols:
            step = interval // total
            width, bits = (high - low) * step, 0
            while width <= BOTTOM:
                width <<= 8
                bits += 8
            if most is not None and len(out) + bits // 8 >= most:
                break
            at += low * step
            if at >= TOP:
                self._carry()
                at -= TOP
            if bits:
                at <<= bits
                out += (at >> 56).to_bytes(bits // 8, "big")
                at &= TOP - 1
            interval = width
            count += 1
        self._low, self._range = at, interval
        return count

    def finish(self) -> bytes:
        """All bytes: the ones put out, and the least one that leads into the interval."""
        last = -(-self._low // BOTTOM)
        if last >= 256:
            self._carry()
        return bytes(self._out) + bytes([last & 255])

    def _carry(self) -> None:
        i = len(self._out) - 1
        while self._out[i] == 255:
            self._out[i] = 0
            i -= 1
        self._out[i] += 1


class RangeDecoder:
    """Gives the symbols of bytes back; ValueError where they run out, or are more than the symbols needed."""

    def __init__(self, data: bytes) -> None:
        self._data = data + bytes(_LATE)
        self._at = 7
        self._code, self._range = int.from_bytes(self._data[:7], "big"), TOP
        if not data:
            raise ValueError("there are no bytes of codes")

    def get(self, total: int) -> int:
        """Where in 0 to total - 1 the next symbol lies; `take` must follow."""
        self._step = self._range // total
        return min(self._code // self._step, total - 1)

    def take(self, low: int, high: int) -> None:
        """The symbol was low to high. Bytes that are not there are read as zeros, until `check`."""
        self._code -= low * self._step
        width = (high - low) * self._step
        while width <= BOTTOM:
            self._code = self._code << 8 | (self._data[self._at] if self._at < len(self._data) else 0)
            self._at += 1
            width <<= 8
        self._range = width

    def check(self) -> None:
        """ValueError when more bytes were read than there are."""
        if self._at > len(self._data):
            raise ValueError("the codes run out")

    def symbols(self, cumulative: Sequence[int], count: int) -> list[int]:
        """The next symbols, all of the same frequencies, added up. ValueError as `check`."""
        total, data, found = cumulative[-1], self._data, []
        code, width, at = self._code, self._range, self._at
        for _ in range(count):
            step = width // total
            symbol = bisect_right(cumulative, min(code // step, total - 1))
            low = cumulative[symbol - 1] if symbol else 0
            code -= low * step
            width = (cumulative[symbol] - low) * step
            while width <= BOTTOM:
                if at >= len(data):
                    raise ValueError("the codes run out")
                code = code << 8 | data[at]
                at += 1
                width <<= 8
            found.append(symbol)
        self._code, self._range, self._at = code, width, at
        return found

    def finish(self) -> None:
        """ValueError unless the bytes are those that an encoder gives for these symbols."""
        self.check()
        if self._at != len(self._data):
            raise ValueError(f"{len(self._data) - self._at} bytes are left when all codes are read")
        if self._code >= BOTTOM:
            raise ValueError("the last byte is not the least that is enough")
