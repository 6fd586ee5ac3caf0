"""Tags between WAV LIST/INFO chunks, libsndfile's strings and Vorbis comment keys (upper case)."""

import struct
from collections.abc import Mapping

# INFO ids by the RIFF specification (IPRT and ITRK are both in use for the track's number; ITRK is written).
_INFO = {
    b"INAM": "TITLE",
    b"IART": "ARTIST",
    b"IPRD": "ALBUM",
    b"ICRD": "DATE",
    b"IGNR": "GENRE",
    b"ICMT": "COMMENT",
    b"IPRT": "TRACKNUMBER",
    b"ITRK": "TRACKNUMBER",
    b"ICOP": "COPYRIGHT",
}
_INFO_ID = {key: info for info, key in _INFO.items()}

# libsndfile's names; its "software" is left out: it says who wrote the input, which is not who wrote our
# output.
SOUNDFILE_NAMES = (
    "title", "artist", "album", "date", "genre", "comment", "tracknumber", "copyright", "license",
)  # fmt: skip


def parse_info(body: bytes) -> dict[str, str]:
    """The tags in the body of a LIST chunk; none when it is no INFO list. A broken entry ends the reading."""
    tags: dict[str, str] = {}
    if body[:4] != b"INFO":
        return tags
    position = 4
    while position + 8 <= len(body):
        info, size = struct.unpack_from("<4sI", body, position)
        value = body[position + 8 : position + 8 + size].split(b"\0")[0]
        if info in _INFO and value.strip():
            tags[_INFO[info]] = _text(value).strip()
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
    places: set[str] = set()
    if format == "wav":
        places = set(_INFO_ID)
    elif format in ("flac", "ogg"):
        places = {name.upper() for name in SOUNDFILE_NAMES}
    # Half of a surrogate pair, as the command line makes from bytes that are no UTF-8, cannot be stored.
    whole = {key.upper(): text.encode("utf-8", "replace").decode() for key, text in tags.items()}
    return {key: text for key, text in whole.items() if text and key in places}


def from_soundfile(metadata: Mapping[str, str]) -> dict[str, str]:
    """soundfile's `copy_metadata()` under Vorbis comment keys."""
    return {name.upper(): metadata[name] for name in SOUNDFILE_NAMES if metadata.get(name)}


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")  # what older Windows programs wrote, near enough; never fails
