"""Text from outside (names of files, arguments, tags) as what every stream, page and picture takes."""

import re

# How Python keeps bytes of a name or argument that its encoding does not hold (PEP 383).
_BYTES = re.compile("[\udc80-\udcff]+")


def as_utf8(text: str, errors: str = "surrogateescape") -> str:
    """Text in which bytes that are UTF-8, and that Python did not read as such under LC_ALL=C, are characters.

    errors: what becomes of other bytes, as for `bytes.decode`; they stay as they are.
    """
    return _BYTES.sub(lambda found: found[0].encode("ascii", "surrogateescape").decode("utf-8", errors), text)


def valid(text: str) -> str:
    r"""Text that every Unicode encoding holds: bytes that are no UTF-8 are shown, caf\xe9."""
    if text.isascii():
        return text
    return as_utf8(text, "backslashreplace").encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str) -> str:
    """Valid text that cannot move a terminal's cursor or turn its writing around: such characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in valid(text))
