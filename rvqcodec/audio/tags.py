"""Tags between RIFF, AIFF and CAF chunks, libsndfile's strings and Vorbis comment keys (upper case)."""

import struct
from collections.abc import Mapping

from rvqcodec.audio.formats import INFO_TAGS, SOUNDFILE_TAGS, TAGS
from rvqcodec.audio.found import Found
from rvqcodec.audio.id3 import read_id3

_INFO_ID = {key: info for info, key in INFO_TAGS.items()}
_AIFF_TAGS = {b"NAME": "TITLE", b"AUTH": "ARTIST", b"(c) ": "COPYRIGHT", b"ANNO": "COMMENT"}
TAG_CHUNKS = frozenset({b"LIST", b"id3 ", b"ID3 ", b"info", *_AIFF_TAGS})
"""Ids of chunks whose body `read_chunk` reads."""

# Chunks that say something about the recording, or play it differently, and have no place in .rvq.
_UNCARRIED = {
    b"bext": "bext", b"iXML": "iXML", b"_PMX": "XMP", b"axml": "axml", b"cue ": "cue points", b"smpl": "smpl",
    b"inst": "inst", b"acid": "acid", b"cart": "cart", b"DISP": "DISP", b"MARK": "markers", b"INST": "INST",
    b"COMT": "COMT", b"APPL": "APPL", b"MIDI": "MIDI", b"mark": "markers", b"regn": "regions", b"uuid": "uuid",
    b"user": "user", b"strg": "strg",
}  # fmt: skip
KNOWN_CHUNKS = frozenset(
    {*TAG_CHUNKS, *_UNCARRIED, b"fmt ", b"data", b"ds64", b"fact", b"PEAK", b"JUNK", b"junk", b"PAD ", b"FLLR", b"free"}
    | {b"afsp", b"chna", b"levl", b"slnt", b"note", b"labl", b"plst", b"strc", b"minf", b"elm1", b"regn", b"umid"}
    | {b"ovvw", b"SAUR", b"AESD", b"FVER", b"COMM", b"SSND", b"CHAN", b"chan", b"peak", b"edct", b"pakt", b"kuki"}
)
"""Ids that a program has been seen to write: such a chunk is one also where its size goes beyond the file's end."""


def read_chunk(chunk: bytes, body: bytes, found: Found) -> None:
    """Take what a whole chunk of a WAV, AIFF, CAF or W64 file says about the recording; `body` of TAG_CHUNKS only."""
    if chunk == b"LIST":
        if body[:4] == b"INFO":
            found.merge(Found(parse_info(body)))
        elif body[:4] == b"adtl":
            found.left_out["labels"] += 1
    elif chunk in (b"id3 ", b"ID3 "):
        found.merge(read_id3(body))
    elif chunk in _AIFF_TAGS:
        found.add(_AIFF_TAGS[chunk], decoded(body.split(b"\0")[0]).strip())
    elif chunk == b"info":
        words = body[4:].split(b"\0")
        for key, value in zip(words[::2], words[1::2], strict=False):
            name = decoded(key).upper()
            if name not in ("ENCODER", "ENCODING APPLICATION", "SOURCE ENCODER"):
                found.add({"TRACK NUMBER": "TRACKNUMBER", "YEAR": "DATE", "COMMENTS": "COMMENT"}.get(name, name),
                      decoded(value))  # fmt: skip
    elif chunk in _UNCARRIED:
        found.left_out[_UNCARRIED[chunk]] += 1


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
            tags[INFO_TAGS[info]] = decoded(value).strip()
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
    places = TAGS[format]
    return {key: text for key, text in whole.items() if text and (places is None or key in places)}


def from_soundfile(metadata: Mapping[str, str]) -> dict[str, str]:
    """soundfile's `copy_metadata()` under Vorbis comment keys."""
    return {name.upper(): metadata[name] for name in SOUNDFILE_TAGS if metadata.get(name)}


def decoded(value: bytes) -> str:
    """Text of unknown encoding: UTF-8, or what older Windows programs wrote, near enough; never fails."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
