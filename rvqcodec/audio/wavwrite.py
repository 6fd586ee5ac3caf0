"""The head of a WAV file or stream that rvq writes: exact sizes, or all ones when they are not known."""

import struct
from collections.abc import Mapping

from rvqcodec.audio.samples import WIDTH
from rvqcodec.audio.tags import build_info
from rvqcodec.audio.wavread import EXTENSIBLE, GUID_TAIL, IEEE_FLOAT, PCM
from rvqcodec.speakers import usual

UNKNOWN = 0xFFFFFFFF
RIFF_LIMIT = 0xFFFFFFF0  # of a plain RIFF size; longer files become RF64
DS64 = struct.Struct("<4sIQQQI")  # id, size 28, RIFF size, data size, samples, no table


def wav_head(
    sample_rate: int,
    channels: int,
    encoding: str,
    n_samples: int | None,
    tags: Mapping[str, str],
    *,
    room_for_ds64: bool,
    layout: int | None = None,
) -> bytes:
    """All bytes before the first sample.

    `layout` is the mask of the loudspeakers (None: the usual one). Usual mono and stereo need not say it. `n_samples`
    per channel, None for unknown. With `room_for_ds64` a JUNK chunk keeps the place that a ds64 chunk takes when the
    sizes turn out to need RF64 (EBU Tech 3306), so the head's length does not depend on n_samples. Without it a length
    above 4 GiB is written like an unknown one.
    """
    width = WIDTH[encoding]
    tag = IEEE_FLOAT if encoding == "FLOAT" else PCM
    align = width * channels
    mask = usual(channels) if layout is None else layout
    extensible = channels > 2 or mask != usual(channels)
    outer = EXTENSIBLE if extensible else tag
    fmt = struct.pack("<HHIIHH", outer, channels, sample_rate, sample_rate * align, align, 8 * width)
    if extensible:
        fmt += struct.pack("<HHIH", 22, 8 * width, mask, tag) + GUID_TAIL
    elif tag == IEEE_FLOAT:
        fmt += b"\0\0"  # the size of an extension, none: every coding but PCM must say so
    before = b"fmt " + struct.pack("<I", len(fmt)) + fmt
    data_bytes = None if n_samples is None else n_samples * align
    if tag == IEEE_FLOAT:
        fact = UNKNOWN if n_samples is None else min(n_samples, UNKNOWN)
        before += b"fact" + struct.pack("<II", 4, fact)
    before += build_info(tags)

    ds64_bytes = DS64.size if room_for_ds64 else 0
    if data_bytes is not None:
        riff_bytes = 4 + ds64_bytes + len(before) + 8 + data_bytes + (data_bytes & 1)
        if riff_bytes > RIFF_LIMIT and room_for_ds64:
            ds64 = DS64.pack(b"ds64", 28, riff_bytes, data_bytes, n_samples, 0)
            return _join(b"RF64", UNKNOWN, ds64 + before, UNKNOWN)
        if riff_bytes > RIFF_LIMIT:
            data_bytes = None
    junk = DS64.pack(b"JUNK", 28, 0, 0, 0, 0) if room_for_ds64 else b""
    if data_bytes is None:
        return _join(b"RIFF", UNKNOWN, junk + before, UNKNOWN)
    return _join(b"RIFF", riff_bytes, junk + before, data_bytes)


def _join(magic: bytes, riff_size: int, chunks: bytes, data_size: int) -> bytes:
    head = magic + struct.pack("<I", riff_size) + b"WAVE"
    return head + chunks + b"data" + struct.pack("<I", data_size)
