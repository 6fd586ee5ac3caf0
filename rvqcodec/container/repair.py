"""Puts one damaged byte of a header right, for salvage: its CRC-32 tells which byte it was, and what
it should be.
"""

import re
import zlib

from rvqcodec.container.header import Header
from rvqcodec.container.headerbytes import MAGIC, MAX_HEADER, MIN_HEADER, VERSION, parse_header
from rvqcodec.errors import FormatError

_BLOCK_START = re.compile(b"\xd5[CEa-z]")
_TRIES = 16
"""Places at which a block may begin that are tried as the header's end when its length is damaged."""


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0xEDB88320 * (value & 1)
        table.append(value)
    return tuple(table)


_FORWARD = _table()
_ERRORS = {value: byte for byte, value in enumerate(_FORWARD)}
_BY_TOP = {value >> 24: byte for byte, value in enumerate(_FORWARD)}


def repaired_header(start: bytes) -> tuple[Header, bytes, int] | None:
    """A header with one byte put right, its bytes, and where that byte stands; None: there is more
    damage than that.

    `start` is the first 65,537 bytes of the file (fewer: all of it). What is returned passed every check
    of a header, and a block begins behind it.
    """
    if sum(a != b for a, b in zip(start[:5], MAGIC + bytes([VERSION]), strict=False)) > 1:
        return None
    sizes = [int.from_bytes(start[5:7], "little")]
    sizes += [match.start() for match, _ in zip(_BLOCK_START.finditer(start, MIN_HEADER), range(_TRIES), strict=False)]
    for size in sizes:
        if MIN_HEADER <= size <= MAX_HEADER and _BLOCK_START.match(start, size):
            begin = MAGIC + bytes([VERSION]) + size.to_bytes(2, "little")
            found = _repaired(begin + start[7:size])
            if found is None:
                continue
            data, position = found
            wrong = [at for at in range(7) if start[at] != begin[at]]
            if len(wrong) + (position is not None) != 1:
                continue
            try:
                return parse_header(data), data, wrong[0] if position is None else position
            except FormatError:
                continue
    return None


def _repaired(data: bytes) -> tuple[bytes, int | None] | None:
    """Data and checksum with one byte put right, and its place (None: all was right already)."""
    stored, computed = int.from_bytes(data[-4:], "little"), zlib.crc32(data[:-4])
    difference = stored ^ computed
    if not difference:
        return data, None
    for at in range(4):
        if difference & ~(0xFF << 8 * at) == 0:
            return data[:-4] + computed.to_bytes(4, "little"), len(data) - 4 + at
    # A CRC is linear: an error of one byte leaves its entry of the table, carried on by the bytes that follow.
    # So carry the difference back, byte by byte, until it is an entry.
    for position in range(len(data) - 5, 6, -1):
        if difference in _ERRORS:
            right = data[position] ^ _ERRORS[difference]
            return data[:position] + bytes([right]) + data[position + 1 :], position
        byte = _BY_TOP[difference >> 24]
        difference = ((difference ^ _FORWARD[byte]) << 8 | byte) & 0xFFFFFFFF
    return None
