"""The head of a WAV stream (RIFF, RF64, BW64), read forwards only, its sizes believed or not.

Source: Microsoft/IBM "Multimedia Programming Interface" 1.0 (RIFF), EBU Tech 3306 (RF64). Sizes in pipes are
often bogus (ffmpeg: all ones, sox: 0x7ffff000 rounded to whole sample frames, others: 0); those mean "until
the end".
"""

import struct
from dataclasses import dataclass, field
from typing import Protocol

from rvqcodec.audio.layouts import mask_of_fmt
from rvqcodec.audio.samples import WIDTH
from rvqcodec.audio.tags import parse_info
from rvqcodec.errors import AudioError

PCM, IEEE_FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # of KSDATAFORMAT_SUBTYPE_*, after the format tag
MAX_CHUNKS = 4096  # before the samples; more is an attack, not a recording
MAX_INFO = 1 << 20  # bytes of a LIST chunk that are worth reading

_INT = {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
_FLOAT = {4: "FLOAT", 8: "DOUBLE"}


class Stream(Protocol):
    """Anything whose read(n) gives n bytes, fewer only at the end."""

    def read(self, n: int, /) -> bytes: ...


class WavCodingError(AudioError):
    """Samples coded in a way that this parser leaves to libsndfile (A-law, ADPCM, ...)."""


@dataclass(frozen=True)
class WavHead:
    """What the head says. `data_start` counts bytes from the start of the stream; `data_bytes` is the size of
    the samples as announced, None for "until the end". `mask` is that of the loudspeakers, None where none is said."""

    sample_rate: int
    channels: int
    encoding: str
    data_start: int
    data_bytes: int | None
    mask: int | None
    tags: dict[str, str] = field(default_factory=dict)


def is_wav(start: bytes) -> bool:
    """Whether the first 12 bytes are those of a WAV stream that `read_wav_head` reads."""
    return start[:4] in (b"RIFF", b"RF64", b"BW64") and start[8:12] == b"WAVE"


def bogus(size: int) -> bool:
    """Whether a 32-bit size is one that programs write when they do not know it."""
    return size >= 0xFFFFE000 or 0x7FFFE000 <= size <= 0x80000000


def read_wav_head(stream: Stream, name: str, file_size: int | None = None) -> WavHead:
    """Read up to the first sample. Raises WavCodingError for sample codings, AudioError for all else.

    `file_size` in bytes, None for a pipe: a size that looks bogus is believed where the file is that large.
    """
    magic: bytes
    riff_size: int
    magic, riff_size, _ = struct.unpack("<4sI4s", _exactly(stream, 12, name))
    position = 12
    fmt: tuple[int, int, str] | None = None
    mask: int | None = None
    long_data: int | None = None
    tags: dict[str, str] = {}
    for _ in range(MAX_CHUNKS):
        chunk, size = struct.unpack("<4sI", _exactly(stream, 8, name))
        position += 8
        if chunk == b"data":
            if fmt is None:
                raise AudioError(f"{name}: broken WAV: samples before the 'fmt ' chunk")
            if size == 0xFFFFFFFF and long_data is not None:
                data_bytes: int | None = long_data
            else:
                data_bytes = _announced(size, riff_size, position, file_size)
            return WavHead(*fmt, position, data_bytes, mask, tags)
        padded = size + (size & 1)
        wanted = {b"fmt ": 64, b"ds64": 28, b"LIST": MAX_INFO}.get(chunk, 0)
        body = _exactly(stream, min(size, wanted), name)
        _skip(stream, padded - len(body), name)
        position += padded
        if chunk == b"fmt ":
            fmt, mask = _parse_fmt(body, name), mask_of_fmt(body)
        elif chunk == b"ds64" and magic != b"RIFF" and len(body) >= 16:
            long_data = struct.unpack_from("<Q", body, 8)[0] or None
        elif chunk == b"LIST" and size <= MAX_INFO:
            tags.update(parse_info(body))
    raise AudioError(f"{name}: broken WAV: no samples after {MAX_CHUNKS} chunks")


def _announced(size: int, riff_size: int, data_start: int, file_size: int | None) -> int | None:
    if bogus(size) and data_start + size > (file_size or 0):
        return None
    if size == 0:
        # Written by a program that could not go back, unless the RIFF size says that more chunks follow:
        # only then the file is known to be finished, and empty.
        finished = not bogus(riff_size) and riff_size + 8 > data_start
        return 0 if finished else None
    return size


def _parse_fmt(body: bytes, name: str) -> tuple[int, int, str]:
    if len(body) < 16:
        raise AudioError(f"{name}: broken WAV: 'fmt ' chunk of {len(body)} bytes, 16 or more are needed")
    tag, channels, sample_rate, _, align, bits = struct.unpack_from("<HHIIHH", body)
    if tag == EXTENSIBLE:
        if len(body) < 40 or body[26:40] != GUID_TAIL:
            raise WavCodingError(f"{name}: WAV with an unknown extensible sub-format")
        tag = struct.unpack_from("<H", body, 24)[0]
    encoding = {PCM: _INT, IEEE_FLOAT: _FLOAT}.get(tag, {}).get((bits + 7) // 8)
    # In a container wider than needed the samples may stand high or low: that is left to libsndfile too.
    if encoding is None or channels == 0 or align != WIDTH[encoding] * channels:
        raise WavCodingError(f"{name}: WAV with sample coding {tag:#06x}, {bits} bits")
    return sample_rate, channels, encoding


def _exactly(stream: Stream, n: int, name: str) -> bytes:
    data = stream.read(n)
    if len(data) < n:
        raise AudioError(f"{name}: ends within its WAV header, before any samples")
    return data


def _skip(stream: Stream, n: int, name: str) -> None:
    while n > 0:
        n -= len(_exactly(stream, min(n, 65_536), name))
