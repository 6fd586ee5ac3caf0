"""The head and the last frame of a FLAC stream: what libsndfile needs to be told, and does not tell.

Source: RFC 9639.
"""

from dataclasses import dataclass, field

from rvqcodec.audio.comments import parse_comments
from rvqcodec.audio.found import PICTURE, Found
from rvqcodec.audio.layouts import File

INFO_SIZE = 34
_TAIL = 1 << 20
_DEPTHS = (0, 8, 12, 0, 16, 20, 24, 32)  # bits per sample, by their code in a frame's header; 0: as in the head
_BLOCKS = (0, 192, 576, 1152, 2304, 4608, 0, 0, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
_RATES = (0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
_MAX_COMMENTS = 1 << 24


@dataclass
class FlacHead:
    """`info` is the body of STREAMINFO; `n_samples` per channel as announced, None for not. `audio` counts bytes from
    the start of the stream to its first frame."""

    info: bytes
    audio: int
    found: Found = field(default_factory=Found)

    @property
    def _what(self) -> int:
        return int.from_bytes(self.info[10:18], "big")

    @property
    def sample_rate(self) -> int:
        return self._what >> 44

    @property
    def channels(self) -> int:
        return (self._what >> 41 & 7) + 1

    @property
    def bits(self) -> int:
        return (self._what >> 36 & 31) + 1

    @property
    def n_samples(self) -> int | None:
        return self._what & 0xFFFFFFFFF or None

    def start(self, *, bits: int, n_samples: int | None) -> bytes:
        """The stream's first bytes with another depth and length, and no other block: frames may follow."""
        what = self._what >> 41 << 41 | (bits - 1) << 36 | (n_samples or 0)
        info = self.info[:10] + what.to_bytes(8, "big") + bytes(16)
        return b"fLaC\x80\0\0" + bytes([INFO_SIZE]) + info


def read_flac_head(file: File, begin: int = 0) -> FlacHead | None:
    """The head of a FLAC stream that begins at `begin`; None where it is none."""
    file.seek(begin)
    if file.read(4) != b"fLaC":
        return None
    head: FlacHead | None = None
    position = begin + 4
    while len(start := file.read(4)) == 4:
        kind, size = start[0] & 0x7F, int.from_bytes(start[1:], "big")
        position += 4 + size
        if kind == 0 and size >= INFO_SIZE and head is None:
            head = FlacHead(file.read(INFO_SIZE), 0)
        elif head is None:
            return None
        elif kind == 4 and size <= _MAX_COMMENTS:
            head.found.merge(parse_comments(file.read(size)))
        elif kind == 6:
            head.found.left_out[PICTURE] += 1
        elif kind in (2, 5):
            head.found.left_out["cue sheet" if kind == 5 else "application data"] += 1
        file.seek(position)
        if start[0] & 0x80:
            break
    if head is not None:
        head.audio = position - begin
    return head


def first_depth(file: File, head: FlacHead, begin: int = 0) -> int:
    """Bits per sample in the header of the first frame; 0: as in the head, or no such frame."""
    file.seek(begin + head.audio)
    start = file.read(4)
    return _DEPTHS[start[3] >> 1 & 7] if start[:1] == b"\xff" and len(start) == 4 else 0


def last_sample(file: File, head: FlacHead, begin: int, end: int) -> int | None:
    """The number of samples up to the end of the last frame, None where the stream does not end with a whole one."""
    start = max(begin + head.audio, end - _TAIL)
    file.seek(start)
    data = file.read(end - start)
    at = len(data)
    while (at := data.rfind(b"\xff", 0, at)) >= 0:
        span = _frame_span(data[at : at + 16], head)
        if span is not None:
            return span[1] if crc16(data[at:]) == 0 else None
    return None


def next_frame(file: File, head: FlacHead, position: int, sample: int) -> tuple[int, int] | None:
    """Where the first frame at or behind a position begins that holds no sample before this one: (position, its first
    sample); None where there is none."""
    while True:
        file.seek(position)
        data = file.read(_TAIL)
        at = -1
        while (at := data.find(b"\xff", at + 1)) >= 0 and at + 16 <= len(data):
            span = _frame_span(data[at : at + 16], head)
            if span is not None and span[0] >= sample:
                return position + at, span[0]
        if len(data) < _TAIL:
            return None
        position += len(data) - 16


def _frame_span(frame: bytes, head: FlacHead) -> tuple[int, int] | None:
    """A frame's first sample and the one behind its last, from its header; None where these bytes are no frame's of
    this stream."""
    if len(frame) < 6 or frame[1] & 0xFE != 0xF8 or frame[3] & 1:
        return None
    size_code, rate_code, depth = frame[2] >> 4, frame[2] & 15, _DEPTHS[frame[3] >> 1 & 7]
    channels = frame[3] >> 4
    if size_code == 0 or rate_code == 15 or channels > 10 or depth not in (0, head.bits):
        return None
    if (channels + 1 if channels < 8 else 2) != head.channels:
        return None
    if 0 < rate_code < 12 and _RATES[rate_code] != head.sample_rate:
        return None
    number, at = _coded_number(frame)
    if at == 0:
        return None
    extra = {6: 1, 7: 2}.get(size_code, 0)
    block = int.from_bytes(frame[at : at + extra], "big") + 1 if extra else _BLOCKS[size_code]
    at += extra + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if at >= len(frame) or crc8(frame[:at]) != frame[at]:
        return None
    fixed = int.from_bytes(head.info[:2], "big")
    first = number if frame[1] & 1 else number * fixed
    return first, first + block


def _coded_number(frame: bytes) -> tuple[int, int]:
    """The frame's or sample's number, coded like UTF-8, and where it ends; (0, 0) for a bad one."""
    first = frame[4]
    if first < 0x80:
        return first, 5
    more = 0
    while first << more + 1 & 0x80:
        more += 1
    if not 1 <= more <= 6:
        return 0, 0
    number = first & (0x3F >> more)
    for byte in frame[5 : 5 + more]:
        if byte & 0xC0 != 0x80:
            return 0, 0
        number = number << 6 | byte & 0x3F
    return number, 5 + more


def crc16(data: bytes) -> int:
    """The checksum of a frame: polynomial x^16 + x^15 + x^2 + 1; 0 for a frame with its checksum."""
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFF00) ^ _CRC16[crc >> 8 ^ byte]
    return crc


def crc8(data: bytes) -> int:
    """The checksum of a frame's header: polynomial x^8 + x^2 + x + 1."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc


def _crc16_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005) & 0xFFFF if crc & 0x8000 else crc << 1
        table.append(crc)
    return table


_CRC16 = _crc16_table()
