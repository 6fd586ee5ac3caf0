"""Vorbis comments of FLAC and Ogg files: all of them, where libsndfile shows only nine keys.

Sources: RFC 9639 section 8.6 (FLAC), RFC 3533 (Ogg pages), Vorbis I section 5, RFC 7845 (Opus).
"""

import struct
from typing import IO

MAX_BYTES = 4 << 20  # of comments, pictures included; a file with more keeps what libsndfile shows
_PAGE = struct.Struct("<4sBBqIIIB")
_CUT_OFF = "cut off: its last page is missing"

# Left out: pictures, and what describes the input's encoder and container rather than the recording.
_LEFT_OUT = ("METADATA_BLOCK_PICTURE", "COVERART", "ENCODER", "VENDOR", "WAVEFORMATEXTENSIBLE_", "CUESHEET")


def read_comments(file: IO[bytes]) -> dict[str, str]:
    """The comments under upper-case keys; values of a repeated key are joined by "; ".

    `file` is seekable and is left anywhere. {} for other formats and for whatever is broken: whether the
    audio itself is sound is not for this function to say.
    """
    file.seek(0)
    start = file.read(4)
    if start == b"fLaC":
        body = _flac_block(file)
    elif start == b"OggS":
        file.seek(0)
        body = _ogg_packet(file)
    else:
        body = b""
    try:
        return _parse(body)
    except struct.error:
        return {}


def ogg_doubt(file: IO[bytes]) -> str | None:
    """What libsndfile does not say about an Ogg file: that its end is missing, or that more streams follow.

    `file` is seekable and is left anywhere. Only the first and the last page are looked at.
    """
    file.seek(0)
    first = file.read(_PAGE.size)
    size = file.seek(0, 2)
    file.seek(max(0, size - 65_307))  # the largest page there is
    tail = file.read()
    last = tail.rfind(b"OggS")
    page = tail[last:] if last >= 0 else b""
    if len(page) < _PAGE.size or len(first) < _PAGE.size:
        return _CUT_OFF
    flags, serial, n_segments = _PAGE.unpack_from(page)[2], _PAGE.unpack_from(page)[4], page[_PAGE.size - 1]
    lacing = page[_PAGE.size : _PAGE.size + n_segments]
    if not flags & 4 or len(page) < _PAGE.size + n_segments + sum(lacing):
        return _CUT_OFF
    if serial != _PAGE.unpack(first)[4]:
        return "holds several streams one after another; only the first one is read"
    return None


def _flac_block(file: IO[bytes]) -> bytes:
    while len(head := file.read(4)) == 4:
        size = int.from_bytes(head[1:], "big")
        if head[0] & 0x7F == 4:
            return file.read(size) if size <= MAX_BYTES else b""
        if head[0] & 0x80:
            break
        file.seek(size, 1)
    return b""


def _ogg_packet(file: IO[bytes]) -> bytes:
    """The second packet of the first stream, without what stands before the comments in it."""
    packets: list[bytes] = []
    packet, stream = bytearray(), None
    while len(packets) < 2 and len(packet) <= MAX_BYTES:
        head = file.read(_PAGE.size)
        if len(head) < _PAGE.size or head[:4] != b"OggS":
            return b""
        serial, n_segments = _PAGE.unpack(head)[4], head[-1]
        lacing = file.read(n_segments)
        body = file.read(sum(lacing))
        stream = serial if stream is None else stream
        if serial != stream:
            continue
        position = 0
        for size in lacing:
            packet += body[position : position + size]
            position += size
            if size < 255:
                packets.append(bytes(packet))
                packet.clear()
    if len(packets) >= 2:
        for prefix in (b"\x03vorbis", b"OpusTags"):
            if packets[1].startswith(prefix):
                return packets[1][len(prefix) :]
    return b""


def _parse(body: bytes) -> dict[str, str]:
    tags: dict[str, str] = {}
    if not body:
        return tags
    position = 4 + struct.unpack_from("<I", body)[0]
    count = struct.unpack_from("<I", body, position)[0]
    position += 4
    for _ in range(min(count, len(body) // 4)):
        size = struct.unpack_from("<I", body, position)[0]
        entry = body[position + 4 : position + 4 + size]
        position += 4 + size
        key, equals, text = entry.decode("utf-8", "replace").partition("=")
        key = key.upper()
        if equals and text and not key.startswith(_LEFT_OUT):
            tags[key] = f"{tags[key]}; {text}" if key in tags else text
    return tags
