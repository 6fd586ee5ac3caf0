"""The head of a WAV stream (RIFF, RIFX, RF64, BW64), read forwards only.

Source: Microsoft/IBM "Multimedia Programming Interface" 1.0 (RIFF), EBU Tech 3306 (RF64).
"""

import struct

from rvqcodec.audio.chunks import MAX_CHUNKS, RIFF, RIFX
from rvqcodec.audio.found import Found
from rvqcodec.audio.heads import MAX_INFO, CodingError, Head, HeadReader, Stream, announced, bogus
from rvqcodec.audio.layouts import Layout, mask_of_fmt, of_mask
from rvqcodec.audio.samples import WIDTH, check_rate_and_channels
from rvqcodec.audio.tags import TAG_CHUNKS, read_chunk
from rvqcodec.errors import AudioError

PCM, IEEE_FLOAT, ALAW, ULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # of KSDATAFORMAT_SUBTYPE_*, after the format tag

_ENCODINGS = {
    PCM: {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"},
    IEEE_FLOAT: {4: "FLOAT", 8: "DOUBLE"},
    ALAW: {1: "ALAW"},
    ULAW: {1: "ULAW"},
}


def is_wav(start: bytes) -> bool:
    """Whether the first 12 bytes are those of a WAV stream that `read_wav_head` reads."""
    return start[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and start[8:12] == b"WAVE"


def read_wav_head(stream: Stream, name: str, file_size: int | None = None) -> Head:
    """Read up to the first sample. Raises CodingError for sample codings, AudioError for all else.

    `file_size` in bytes, None for a pipe.
    """
    reader = HeadReader(stream, name, RIFF)
    start = reader.exactly(12)
    magic = start[:4]
    style = reader.style = RIFX if magic == b"RIFX" else RIFF
    order = style.head[0]
    riff_size: int = struct.unpack_from(f"{order}I", start, 4)[0]
    fmt: tuple[int, int, str] | None = None
    layout: Layout | None = None
    long_data: int | None = None
    found = Found()
    chunk, size = reader.chunk()
    for _ in range(MAX_CHUNKS):
        if chunk == b"data":
            if fmt is None:
                raise AudioError(f"{name}: broken WAV: samples before the 'fmt ' chunk")
            if size == 0xFFFFFFFF and long_data is not None:
                return Head(*fmt, reader.position, long_data, found, order, style, wraps=False, layout=layout)
            data_bytes = announced(size, riff_size, reader.position, file_size)
            return Head(*fmt, reader.position, data_bytes, found, order, style, unsure=bogus(size), layout=layout)
        tags = MAX_INFO if chunk in TAG_CHUNKS else 0
        body = reader.body(size, {b"fmt ": 64, b"ds64": 28}.get(chunk, tags))
        if chunk == b"fmt ":
            fmt = parse_fmt(body, name, order)
            layout = of_mask(mask_of_fmt(body, order), fmt[1])
        elif chunk == b"ds64" and magic[:3] != b"RIF" and len(body) >= 16:
            long_data = struct.unpack_from("<Q", body, 8)[0] or None
        else:
            read_chunk(chunk, body, found)
        chunk, size = reader.next_chunk(size)
    raise AudioError(f"{name}: broken WAV: no samples after {MAX_CHUNKS} chunks")


def parse_fmt(body: bytes, name: str, order: str = "<") -> tuple[int, int, str]:
    """Rate in Hz, channels and encoding from the body of a 'fmt ' chunk, which W64 has too."""
    if len(body) < 16:
        raise AudioError(f"{name}: broken WAV: 'fmt ' chunk of {len(body)} bytes, 16 or more are needed")
    tag, channels, sample_rate, _, align, bits = struct.unpack_from(f"{order}HHIIHH", body)
    if tag == EXTENSIBLE:
        if len(body) < 40 or body[26:40] != GUID_TAIL:
            raise CodingError(f"{name}: WAV with an unknown extensible sub-format")
        tag = struct.unpack_from(f"{order}H", body, 24)[0]
    encoding = _ENCODINGS.get(tag, {}).get((bits + 7) // 8)
    # In a container wider than needed the samples may stand high or low: that is left to libsndfile too.
    if encoding is None or channels == 0 or align != WIDTH[encoding] * channels:
        raise CodingError(f"{name}: WAV with sample coding {tag:#06x}, {bits} bits")
    check_rate_and_channels(name, sample_rate, channels)
    return sample_rate, channels, encoding
