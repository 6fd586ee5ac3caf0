"""Vorbis comments, as FLAC and Ogg files hold them: all of them, where libsndfile shows only nine keys.

Source: Vorbis I section 5.
"""

import struct

from rvqcodec.audio.found import PICTURE, Found

_PICTURES = ("METADATA_BLOCK_PICTURE", "COVERART")
# Left out without a word: what describes the input's encoder and container rather than the recording.
_OF_THE_FILE = ("ENCODER", "VENDOR", "WAVEFORMATEXTENSIBLE_", "COVERARTMIME")


def parse_comments(body: bytes) -> Found:
    """The comments under upper-case keys, without anything before the vendor's name; a broken one ends the reading.

    Whether the audio itself is sound is not for this function to say.
    """
    found = Found()
    try:
        position = 4 + struct.unpack_from("<I", body)[0]
        count = struct.unpack_from("<I", body, position)[0]
        position += 4
        for _ in range(min(count, len(body) // 4)):
            size = struct.unpack_from("<I", body, position)[0]
            entry = body[position + 4 : position + 4 + size]
            position += 4 + size
            key, equals, text = entry.decode("utf-8", "replace").partition("=")
            key = key.upper()
            if not equals or key.startswith(_OF_THE_FILE):
                continue
            if key.startswith(_PICTURES):
                found.left_out[PICTURE] += 1
            elif key == "CUESHEET":
                found.left_out["cue sheet"] += 1
            else:
                found.add(key, text)
    except struct.error:
        pass
    return found
