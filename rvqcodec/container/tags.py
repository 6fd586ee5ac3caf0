"""Tags, `KEY=VALUE` as in Vorbis comments: which can stand in a header, and which of many fit."""

import re
from collections.abc import Iterable

RECORD_OVERHEAD = 3
"""Bytes of a record of the header before its body."""

_KEY = re.compile(r"[ -<>-}]{1,64}")
_VALUE = re.compile(r"[^\x00]*", re.DOTALL)


def tag_problem(key: str, value: str) -> str | None:
    """Why a tag cannot stand in a file, or None: keys are 1 to 64 printable ASCII characters without '='."""
    if not _KEY.fullmatch(key):
        return f"tag key {key[:64]!a} is not 1 to 64 printable ASCII characters without '='"
    if not _VALUE.fullmatch(value):
        return f"tag {key} holds a zero byte"
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"tag {key} is not valid Unicode"
    return None


def usable_tags(
    tags: Iterable[tuple[str, str]], *, room: int = 60000
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Splits tags from elsewhere into those that fit a header and one line of reason for each that does not.

    `room` bytes are shared in the order given.
    """
    kept: list[tuple[str, str]] = []
    dropped: list[str] = []
    for key, value in tags:
        problem = tag_problem(key, value)
        size = 0 if problem else RECORD_OVERHEAD + len(f"{key}={value}".encode())
        if problem:
            dropped.append(problem)
        elif size > room:
            dropped.append(f"tag {key} has {size} bytes, more than there is room for")
        else:
            kept.append((key, value))
            room -= size
    return tuple(kept), tuple(dropped)
