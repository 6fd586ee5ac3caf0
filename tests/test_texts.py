"""texts: names and tags of any bytes as what terminals, streams, JSON and pages take."""

import json
import os

from rvqcodec.texts import printable, valid


def test_printable_text_cannot_move_a_terminal() -> None:
    assert printable("Ünï \x1b[2J\r\n\u202e\x9b") == r"Ünï \x1b[2J\r\n\u202e\x9b"


def test_bytes_that_are_no_utf8_are_shown() -> None:
    assert valid(os.fsdecode(b"caf\xe9.wav")) == r"caf\xe9.wav"
    assert valid(os.fsdecode(b"\xe2\x98.wav")) == r"\xe2\x98.wav"
    assert printable(os.fsdecode(b"a\nb\xff")) == r"a\nb\xff"


def test_utf8_that_python_read_as_ascii_becomes_what_it_is() -> None:
    assert valid(b"Gr\xe2\x98\x82n".decode("ascii", "surrogateescape")) == "Gr☂n"


def test_other_lone_surrogates_are_shown_too() -> None:
    """They come from JSON, not from the system."""
    assert valid(json.loads(r'"a\ud800b"')) == r"a\ud800b"


def test_good_text_stays() -> None:
    for text in ("", "plain", "naïve ☂ 𝄞", "two\nlines"):
        assert valid(text) == text
