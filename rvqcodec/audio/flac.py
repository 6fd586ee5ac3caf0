"""The head and the last frame of a FLAC stream: what libsndfile needs to be told, and does not tell.

Source: RFC 9639.
"""

from dataclasses import dataclass, field

from rvqcodec.audio.chunks import File
from rvqcodec.audio.comments import parse_comments
from rvqcodec.audio.found import PICTURE, Found, plural

INFO_SIZE = 34
FRAME_HEAD = 16  # bytes, the most that a frame's header has
_TAIL = 1 << 20
_DEPTHS = (0, 8, 12, 0, 16, 20, 24, 32)  # bits per sample, by their code in a frame's header; 0: as in the head
_BLOCKS = (0, 192, 576, 1152, 2304, 4608, 0, 0, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
_RATES = (0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 0, 0, 0)
_UNITS = (1000, 1, 10)  # Hz of the rates that a frame's header states in full
_MAX_COMMENTS = 1 << 24


@dataclass
class FlacHead:
    """`info` is the body of STREAMINFO; `n_samples` per channel as announced, None for not. `audio` counts bytes from
    the start of the stream to its first frame. `mended`: what was wrong with the head, for the user, or ""."""

    info: bytes
    audio: int
    found: Found = field(default_factory=Found)
    mended: str = ""

    @property
    def what(self) -> int:
        """Rate, channels, depth and length as they stand together."""
        return int.from_bytes(self.info[10:18], "big")

    @property
    def sample_rate(self) -> int:
        return self.what >> 44

    @property
    def channels(self) -> int:
        return (self.what >> 41 & 7) + 1

    @property
    def bits(self) -> int:
        return (self.what >> 36 & 31) + 1

    @property
    def n_samples(self) -> int | None:
        return self.what & 0xFFFFFFFFF or None

    def start(self, *, bits: int, n_samples: int | None) -> bytes:
        """The stream's first bytes with another depth and length, and no other block: frames may follow."""
        what = self.what >> 41 << 41 | (bits - 1) << 36 | (n_samples or 0)
        info = self.info[:10] + what.to_bytes(8, "big") + bytes(16)
        return b"fLaC\x80\0\0" + bytes([INFO_SIZE]) + info


def read_flac_head(file: File, begin: int = 0) -> FlacHead | None:
    """The head of a FLAC stream that begins at `begin`; None where it is none.

    Blocks that are wrongly long, or a head that is missing, are no hindrance where frames are found.
    """
    file.seek(begin)
    if file.read(4) != b"fLaC":
        return head_of_frames(file, begin)
    head: FlacHead | None = None
    found = Found()
    position = begin + 4
    while len(start := file.read(4)) == 4 and start[0] != 0xFF:
        kind, size = start[0] & 0x7F, int.from_bytes(start[1:], "big")
        position += 4 + size
        if kind == 0 and size >= INFO_SIZE and head is None:
            head = FlacHead(file.read(INFO_SIZE), 0, found)
        elif kind == 4 and size <= _MAX_COMMENTS:
            found.merge(parse_comments(file.read(size)))
        elif kind == 6:
            found.left_out[PICTURE] += 1
        elif kind in (2, 5):
            found.left_out["cue sheet" if kind == 5 else "application data"] += 1
        file.seek(position)
        if start[0] & 0x80:
            break
    if head is None:
        return head_of_frames(file, begin, found)
    head.audio = position - begin
    file.seek(position)
    first = parse_frame(file.read(FRAME_HEAD))
    if first is None:
        frame = next_frame(file, head, begin + 4 + 4 + INFO_SIZE, 0)
        if frame is not None:
            head.audio, head.mended = frame[0] - begin, "wrong sizes in its head were passed over"
    elif not first.is_of(head):
        said = f"{head.sample_rate} Hz, {plural(head.channels, 'channel')} of {head.bits} bits"
        count = head.n_samples or 0
        head = first.head(head.audio, found, like=head)
        meant = f"{head.sample_rate} Hz, {plural(head.channels, 'channel')} of {head.bits} bits"
        head.info = head.info[:10] + (head.what | count).to_bytes(8, "big") + head.info[18:]
        head.mended = f"its head says {said}, its frames {meant}: these were believed"
    return head


def head_of_frames(file: File, begin: int, found: Found | None = None) -> FlacHead | None:
    """A head made of what the first of two frames in a row says, within a million bytes; None where there are none."""
    file.seek(begin)
    data = file.read(_TAIL)
    before: tuple[int, FrameHead] | None = None
    at = -1
    while (at := data.find(b"\xff", at + 1)) >= 0:
        frame = parse_frame(data[at : at + FRAME_HEAD])
        if frame is None:
            continue
        if before is not None and frame.follows(before[1]) and frame.rate == before[1].rate:
            head = before[1].head(before[0], found or Found()) if before[1].rate and before[1].bits else None
            if head is not None:
                head.mended = f"has no head; its frames from byte {begin + before[0]:,} on were read"
            return head
        before = at, frame
    return None


def changes(file: File, head: FlacHead, begin: int, end: int) -> list[tuple[int, int, FlacHead]]:
    """Where the frames of a stream change their rate, channels or depth, the start included: (position, first sample,
    head from there on). All frame headers are looked at."""
    now = head
    found = [(begin + head.audio, 0, head)]
    before: FrameHead | None = None
    position = begin + head.audio
    while position < end:
        file.seek(position)
        data = file.read(min(_TAIL, end - position))
        at = -1
        while (at := data.find(b"\xff", at + 1)) >= 0:
            frame = parse_frame(data[at : at + FRAME_HEAD])
            if frame is None or (before is not None and not frame.follows(before)):
                continue
            if before is None or not frame.is_of(now):
                if before is None and not frame.is_of(now):
                    continue
                if before is not None:
                    now = frame.head(0, head.found, like=now)
                    found.append((position + at, frame.span(head)[0], now))
            before = frame
        position += max(1, len(data) - FRAME_HEAD)
    return found


@dataclass(frozen=True)
class FrameHead:
    """A frame's header: `number` of the frame, or of its first sample where `counts_samples`; `block` samples per
    channel; rate in Hz and bits are 0 where it leaves them to the stream's head."""

    number: int
    counts_samples: bool
    block: int
    rate: int
    channels: int
    bits: int

    def span(self, head: FlacHead) -> tuple[int, int]:
        """Its first sample and the one behind its last."""
        first = self.number if self.counts_samples else self.number * int.from_bytes(head.info[:2], "big")
        return first, first + self.block

    def is_of(self, head: FlacHead) -> bool:
        """Whether it says nothing else than the stream's head."""
        same = self.rate in (0, head.sample_rate) and self.bits in (0, head.bits)
        return same and self.channels == head.channels

    def follows(self, before: "FrameHead") -> bool:
        """Whether it is the next frame."""
        step = before.block if self.counts_samples else 1
        return self.counts_samples == before.counts_samples and self.number == before.number + step

    def head(self, audio: int, found: Found, *, like: FlacHead | None = None) -> FlacHead:
        """A stream's head that says what this frame does, and else the same as another one."""
        rate = self.rate or (like.sample_rate if like is not None else 0)
        bits = self.bits or (like.bits if like is not None else 16)
        sizes = like.info[:10] if like is not None else self.block.to_bytes(2, "big") * 2 + bytes(6)
        what = rate << 44 | (self.channels - 1) << 41 | (bits - 1) << 36
        return FlacHead(sizes + what.to_bytes(8, "big") + bytes(16), audio, found)


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
        frame = parse_frame(data[at : at + FRAME_HEAD])
        if frame is not None and frame.is_of(head):
            return frame.span(head)[1] if crc16(data[at:]) == 0 else None
    return None


def next_frame(file: File, head: FlacHead, position: int, sample: int) -> tuple[int, int] | None:
    """Where the first frame at or behind a position begins that holds no sample before this one: (position, its first
    sample); None where there is none."""
    while True:
        file.seek(position)
        data = file.read(_TAIL)
        at = -1
        while (at := data.find(b"\xff", at + 1)) >= 0:
            frame = parse_frame(data[at : at + FRAME_HEAD])
            if frame is not None and frame.is_of(head) and frame.span(head)[0] >= sample:
                return position + at, frame.span(head)[0]
        if len(data) < _TAIL:
            return None
        position += len(data) - FRAME_HEAD


def parse_frame(frame: bytes) -> FrameHead | None:
    """The header of the frame that begins with these bytes (FRAME_HEAD of them); None for other bytes."""
    if len(frame) < 6 or frame[0] != 0xFF or frame[1] & 0xFE != 0xF8 or frame[3] & 1:
        return None
    size_code, rate_code, depth_code = frame[2] >> 4, frame[2] & 15, frame[3] >> 1 & 7
    channels = frame[3] >> 4
    if size_code == 0 or rate_code == 15 or channels > 10 or depth_code == 3:
        return None
    number, at = _coded_number(frame)
    if at == 0:
        return None
    more = {6: 1, 7: 2}.get(size_code, 0)
    block = int.from_bytes(frame[at : at + more], "big") + 1 if more else _BLOCKS[size_code]
    at += more
    more = {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    rate = int.from_bytes(frame[at : at + more], "big") * _UNITS[rate_code - 12] if more else _RATES[rate_code]
    at += more
    if at >= len(frame) or crc8(frame[:at]) != frame[at]:
        return None
    return FrameHead(number, bool(frame[1] & 1), block, rate, channels + 1 if channels < 8 else 2, _DEPTHS[depth_code])


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
