"""The heads of AIFF, AU, CAF and W64 streams with plain samples, read forwards only.

Sources: Apple "Audio Interchange File Format" 1.3 and AIFF-C draft, Apple "Core Audio Format Specification" 1.0,
Sun's audio(4) (AU), Sonic Foundry's description of Wave64.
"""

import math
import struct
from collections.abc import Callable

from rvqcodec.audio.chunks import CAF, IFF, MAX_CHUNKS, W64, ChunkStyle
from rvqcodec.audio.found import Found
from rvqcodec.audio.heads import MAX_INFO, CodingError, Head, HeadReader, Stream, announced, bogus
from rvqcodec.audio.layouts import Layout, apple_layout, mask_of_fmt, of_mask
from rvqcodec.audio.samples import WIDTH, check_rate_and_channels
from rvqcodec.audio.tags import TAG_CHUNKS, decoded, read_chunk
from rvqcodec.audio.wavread import is_wav, parse_fmt, read_wav_head
from rvqcodec.errors import AudioError

W64_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_W64_WAVE = b"wave" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_FIXED = 1 << 16  # bytes, more than those of chunks that describe the samples
_AU = ChunkStyle("AU", "", 1)

_INT = {1: "PCM_S8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
_AU_ENCODINGS = {
    1: "ULAW", 2: "PCM_S8", 3: "PCM_16", 4: "PCM_24", 5: "PCM_32", 6: "FLOAT", 7: "DOUBLE", 27: "ALAW",
}  # fmt: skip
_AIFC_ENCODINGS = {
    b"fl32": "FLOAT", b"fl64": "DOUBLE", b"alaw": "ALAW", b"ulaw": "ULAW", b"in24": "PCM_24", b"in32": "PCM_32",
    b"raw ": "PCM_U8",
}  # fmt: skip


def head_reader(start: bytes) -> Callable[[Stream, str, int | None], Head] | None:
    """The function that reads the head of a stream with these first 12 bytes: (stream, name, bytes of the file or None
    for a pipe) to a `Head`; it raises CodingError for codings that are left to libsndfile. None: another format."""
    if is_wav(start):
        return read_wav_head
    if start[:4] == b"FORM" and start[8:12] in (b"AIFF", b"AIFC"):
        return _read_aiff
    if start[:4] in (b".snd", b"dns."):
        return _read_au
    if start[:8] == b"caff\0\1\0\0":
        return _read_caf
    return _read_w64 if start[:12] == W64_RIFF[:12] else None


def _read_aiff(stream: Stream, name: str, file_size: int | None) -> Head:
    reader = HeadReader(stream, name, IFF)
    start = reader.exactly(12)
    form_size = int.from_bytes(start[4:8], "big")
    found = Found()
    common: tuple[int, int, str, str, int] | None = None
    speakers = b""
    chunk, size = reader.chunk()
    for _ in range(MAX_CHUNKS):
        if chunk == b"SSND":
            offset = int.from_bytes(reader.exactly(8)[:4], "big")
            if common is None:
                raise CodingError(f"{name}: AIFF with its samples before their description")
            reader.skip(min(offset, max(0, size - 8)))
            rate, channels, encoding, order, n_samples = common
            held = max(0, size - 8 - offset)
            data_bytes = announced(held if size else 0, form_size, reader.position, file_size)
            counted, align = n_samples * WIDTH[encoding] * channels, WIDTH[encoding] * channels
            losses: tuple[str, ...] = ()
            if data_bytes and not bogus(size) and not bogus(counted) and counted >= data_bytes + align:
                came = f"its header counts {n_samples} samples per channel, its 'SSND' chunk holds {held // align}"
                losses = (f"{name}: {came}; the rest is missing",)
            return Head(rate, channels, encoding, reader.position, data_bytes, found, order, IFF, unsure=bogus(size),
                        losses=losses, layout=apple_layout(speakers, channels))  # fmt: skip
        wanted = _FIXED if chunk in (b"COMM", b"CHAN") else MAX_INFO if chunk in TAG_CHUNKS else 0
        body = reader.body(size, wanted)
        if chunk == b"COMM":
            common = _common(body, name)
        elif chunk == b"CHAN":
            speakers = body
        else:
            read_chunk(chunk, body, found)
        chunk, size = reader.next_chunk(size)
    raise AudioError(f"{name}: broken AIFF: no samples after {MAX_CHUNKS} chunks")


def _common(body: bytes, name: str) -> tuple[int, int, str, str, int]:
    """Rate, channels, encoding, byte order and samples per channel, from the body of a COMM chunk."""
    if len(body) < 18:
        raise AudioError(f"{name}: broken AIFF: 'COMM' chunk of {len(body)} bytes, 18 or more are needed")
    channels, n_samples, bits = struct.unpack_from(">HIH", body)
    exponent, mantissa = struct.unpack_from(">HQ", body, 8)
    rate = math.ldexp(mantissa, min(max((exponent & 0x7FFF) - 16383 - 63, -1000), 100))
    coding = body[18:22] or b"NONE"
    order = "<" if coding == b"sowt" else ">"
    if coding in (b"NONE", b"twos", b"sowt"):
        encoding = _INT.get((bits + 7) // 8)
    else:
        encoding = _AIFC_ENCODINGS.get(coding.lower())
    if encoding is None or channels == 0:
        raise CodingError(f"{name}: AIFF with sample coding {coding!r}, {bits} bits")
    check_rate_and_channels(name, round(rate), channels)
    return round(rate), channels, encoding, order, n_samples


def _read_au(stream: Stream, name: str, file_size: int | None) -> Head:
    reader = HeadReader(stream, name, _AU)
    magic = reader.exactly(4)
    order = ">" if magic == b".snd" else "<"
    offset, size, coding, rate, channels = struct.unpack(f"{order}5I", reader.exactly(20))
    encoding = _AU_ENCODINGS.get(coding)
    if encoding is None or channels == 0 or offset < 24:
        raise CodingError(f"{name}: AU with sample coding {coding}")
    found = Found()
    text = reader.exactly(min(offset - 24, 4096))
    reader.skip(offset - 24 - len(text))
    found.add("COMMENT", decoded(text.split(b"\0")[0]).strip())
    data_bytes = announced(size, 0xFFFFFFFF, offset, file_size)
    return Head(rate, channels, encoding, offset, data_bytes, found, order, None, unsure=bogus(size))


def _read_caf(stream: Stream, name: str, file_size: int | None) -> Head:
    del file_size  # sizes have 64 bits, and -1 says "until the end"
    reader = HeadReader(stream, name, CAF)
    reader.exactly(8)
    found = Found()
    described: tuple[int, int, str, str] | None = None
    speakers = writer = b""
    chunk, size = reader.chunk()
    for _ in range(MAX_CHUNKS):
        if chunk == b"data":
            if described is None:
                raise AudioError(f"{name}: broken CAF: samples before the 'desc' chunk")
            reader.exactly(4)  # counts edits
            rate, channels, encoding, order = described
            known = size - 4 if size >= 4 else None
            layout = apple_layout(speakers, channels, writer)
            return Head(rate, channels, encoding, reader.position, known, found, order, CAF, wraps=False, layout=layout)
        if size < 0:
            raise AudioError(f"{name}: broken CAF: a chunk {chunk!r} of {size} bytes")
        body = reader.body(size, _FIXED if chunk in (b"desc", b"chan") else MAX_INFO if chunk in TAG_CHUNKS else 0)
        if chunk == b"desc":
            described = _description(body, name)
        elif chunk == b"chan":
            speakers = body
        else:
            writer = body if chunk == b"info" else writer
            read_chunk(chunk, body, found)
        chunk, size = reader.next_chunk(size)
    raise AudioError(f"{name}: broken CAF: no samples after {MAX_CHUNKS} chunks")


def _description(body: bytes, name: str) -> tuple[int, int, str, str]:
    """Rate, channels, encoding and byte order, from the body of a desc chunk."""
    if len(body) < 32:
        raise AudioError(f"{name}: broken CAF: 'desc' chunk of {len(body)} bytes, 32 are needed")
    rate, coding, flags, packet, _, channels, bits = struct.unpack_from(">d4sIIIII", body)
    order = "<" if flags & 2 else ">"
    width = (bits + 7) // 8
    encoding: str | None = {b"alaw": "ALAW", b"ulaw": "ULAW"}.get(coding)
    if coding == b"lpcm":
        encoding = {4: "FLOAT", 8: "DOUBLE"}.get(width) if flags & 1 else _INT.get(width)
    if encoding is None or channels == 0 or packet != WIDTH[encoding] * channels or not 0 <= rate < 1e9:
        raise CodingError(f"{name}: CAF with sample coding {coding!r}, {bits} bits")
    check_rate_and_channels(name, round(rate), channels)
    return round(rate), channels, encoding, order


def _read_w64(stream: Stream, name: str, file_size: int | None) -> Head:
    del file_size  # sizes have 64 bits
    reader = HeadReader(stream, name, W64)
    if reader.exactly(40)[24:] != _W64_WAVE:
        raise CodingError(f"{name}: W64 of another kind")
    found = Found()
    fmt: tuple[int, int, str] | None = None
    layout: Layout | None = None
    chunk, size = reader.chunk()
    for _ in range(MAX_CHUNKS):
        if chunk == b"data":
            if fmt is None:
                raise AudioError(f"{name}: broken W64: samples before the 'fmt ' chunk")
            known = size if 0 <= size < 2**62 else None
            return Head(*fmt, reader.position, known, found, "<", W64, wraps=False, layout=layout)
        if size < 0:
            raise AudioError(f"{name}: broken W64: a chunk {chunk!r} of {size} bytes")
        body = reader.body(size, {b"fmt ": 64}.get(chunk, MAX_INFO if chunk in TAG_CHUNKS else 0))
        if chunk == b"fmt ":
            fmt = parse_fmt(body, name)
            layout = of_mask(mask_of_fmt(body), fmt[1])
        else:
            read_chunk(chunk.upper() if chunk == b"list" else chunk, body, found)
        chunk, size = reader.next_chunk(size)
    raise AudioError(f"{name}: broken W64: no samples after {MAX_CHUNKS} chunks")
