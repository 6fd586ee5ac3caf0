"""The records of a header: fields that few files have, each a kind, the size of its body and the body.

There is one way to write each header: the records of `_LEADING` come before all others, in that order, and are left
out where they go without saying. Lower-case kinds may be skipped; all else changes what the file means.
"""

import struct
from collections.abc import Sequence
from typing import Any

from rvqcodec.container.header import MAX_CHANNELS, Header
from rvqcodec.container.payloads import CODED
from rvqcodec.container.shapes import TABLES_HASH
from rvqcodec.container.tags import tag_problem
from rvqcodec.errors import FormatError
from rvqcodec.speakers import problem as speakers_problem
from rvqcodec.speakers import usual

_RECORD = struct.Struct("<cH")
_LEADING = b"fsc"
_BUDGET = 3  # bytes


def records_of(header: Header) -> list[tuple[bytes, bytes]]:
    """Kind and body of each record that a header needs, in order."""
    records = []
    if header.first_frame:
        records.append((b"f", header.first_frame.to_bytes(4, "little")))
    if header.speakers is not None:
        records.append((b"s", header.speakers.to_bytes(4, "little")))
    if header.codec == CODED:
        records.append((b"c", header.tables + header.budget.to_bytes(_BUDGET, "little")))
    return records + [(b"t", f"{key}={value}".encode()) for key, value in header.tags]


def size_of(records: Sequence[tuple[bytes, bytes]]) -> int:
    """Bytes that records take."""
    return sum(_RECORD.size + len(body) for _, body in records)


def pack_records(records: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Records as bytes."""
    return b"".join(_RECORD.pack(kind, len(body)) + body for kind, body in records)


def parse_records(data: bytes, position: int, end: int, codec: int, channels: int) -> dict[str, Any]:
    """The fields of a header that its records hold, from `position` to `end` in `data`; those that are there.

    FormatError with the position of the record that is wrong.
    """
    found: dict[str, Any] = {}
    tags: list[tuple[str, str]] = []
    leading, order = position, b""  # where the records end that have their place before all others, and their kinds
    while position < end:
        if position + _RECORD.size > end:
            raise FormatError("header: ends inside a record", position)
        kind, size = _RECORD.unpack_from(data, position)
        body = data[position + _RECORD.size : position + _RECORD.size + size]
        if position + _RECORD.size + size > end:
            raise FormatError(f"header: record of {size} bytes is longer than the header", position + 1)
        first = position == leading and kind in _LEADING[_LEADING.index(order[-1:]) + 1 if order else 0 :]
        if kind == b"t":
            tags.append(_parse_tag(body, position))
        elif kind == b"f":
            found["first_frame"] = int.from_bytes(body, "little")
            if size != 4 or not found["first_frame"] or not first:
                raise FormatError("header: the first frame is not 4 bytes, 0, or not the first record", position)
        elif kind == b"s":
            if not first:
                raise FormatError("header: the loudspeakers come behind another record", position)
            found["speakers"] = _parse_speakers(body, position, channels)
        elif kind == b"c" and codec == CODED:
            if size != TABLES_HASH + _BUDGET or not first:
                raise FormatError("header: the tables are not 7 bytes, or come behind another record", position)
            found["tables"] = body[:TABLES_HASH]
            found["budget"] = int.from_bytes(body[TABLES_HASH:], "little")
        elif not b"a" <= kind <= b"z":
            raise FormatError(f"header: feature {kind.decode('latin-1')!a} is needed and unknown", position)
        position += _RECORD.size + size
        if first:
            leading, order = position, order + kind
    return found | {"tags": tuple(tags)}


def _parse_speakers(body: bytes, position: int, channels: int) -> int:
    speakers = int.from_bytes(body, "little")
    if len(body) != 4:
        raise FormatError(f"header: loudspeakers of {len(body)} bytes, not 4", position)
    problem = speakers_problem(speakers, channels)
    if 1 <= channels <= MAX_CHANNELS and speakers == usual(channels):
        problem = f"loudspeakers {speakers:#x} go without saying"
    if problem:
        raise FormatError(f"header: {problem}", position)
    return speakers


def _parse_tag(body: bytes, position: int) -> tuple[str, str]:
    try:
        key, equals, value = body.decode("utf-8").partition("=")
    except UnicodeDecodeError:
        raise FormatError("header: tag is not valid UTF-8", position) from None
    problem = tag_problem(key, value) if equals else "tag has no '='"
    if problem:
        raise FormatError(f"header: {problem}", position)
    return key, value
