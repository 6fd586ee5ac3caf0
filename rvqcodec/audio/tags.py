"""Tags between WAV LIST/INFO chunks, libsndfile's strings and Vorbis comment keys (upper case)."""

import struct
from collections.abc import Mapping

from rvqcodec.audio.formats import INFO_TAGS, SOUNDFILE_TAGS, TAGS

_INFO_ID = {key: info for info, key in INFO_TAGS.items()}


def parse_info(body: bytes) -> dict[str, str]:
    """The tags in the body of a LIST chunk; none when it is no INFO list. A broken entry ends the reading."""
    tags: dict[str, str] = {}
    if body[:4] != b"INFO":
        return tags
    position = 4
    while position + 8 <= len(body):
        info, size = struct.unpack_from("<4sI", body, position)
        value = body[position + 8 : position + 8 + size].split(b"\0")[0]
        if info in INFO_TAGS and value.strip():
            tags[INFO_TAGS[info]] = _text(value).strip()
        position += 8 + size + (size & 1)
    return tags


def build_info(tags: Mapping[str, str]) -> bytes:
    """A whole LIST/INFO chunk (UTF-8) of the tags that have an INFO id; b"" when there are none."""
    entries = b""
    for key, text in tags.items():
        if key in _INFO_ID:
            value = text.encode() + b"\0"
            entries += _INFO_ID[key] + struct.pack("<I", len(value)) + value
            entries += b"\0" * (len(value) & 1)
    return b"LIST" + struct.pack("<I", 4 + len(entries)) + b"INFO" + entries if entries else b""


def kept(tags: Mapping[str, str], format: str) -> dict[str, str]:
    """The tags that a file of `format` (wav, flac, ogg, raw) takes from us, under upper-case keys, never empty."""
    # Half of a surrogate pair, as the command line makes from bytes that are no UTF-8, cannot be stored.
    whole = {key.upper(): text.encode("utf-8", "replace").decode() for key, text in tags.items()}
    return {key: text for key, text in whole.items() if text and key in TAGS[format]}


def from_soundfile(metadata: Mapping[str, str]) -> dict[str, str]:
    """soundfile's `copy_metadata()` under Vorbis comment keys."""
    return {name.upper(): metadata[name] for name in SOUNDFILE_TAGS if metadata.get(name)}


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")  # what older Windows programs wrote, near enough; never fails
