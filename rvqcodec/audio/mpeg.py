"""The frames of an MP3 file: where they are, which belong together, what stands between them.

libsndfile (mpg123) reads one run of frames: it ends where a Xing header says so, and fails behind much garbage. So the
file is walked first, header by header, and each run is given to it by itself.

Sources: ISO/IEC 11172-3 and 13818-3 (headers), the Xing and LAME headers as LAME's own source describes them.
"""

import struct
from dataclasses import dataclass, field
from functools import cache
from typing import IO

from rvqcodec.audio.found import Found
from rvqcodec.audio.id3 import HEADER, ape_size, id3_size, read_ape, read_id3, read_id3v1
from rvqcodec.audio.pieces import Piece

_SURE = 4  # frames in a row that no other data has by chance
_BLOCK = 1 << 20
_OWN_DELAY = 529  # samples, of every decoder
_MAX_TAG = 1 << 24

_KBPS = {
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


@dataclass(frozen=True)
class Frame:
    """What the four bytes of a frame's header say: bytes in all, samples per channel, rate in Hz, channels; `kind` is
    version and layer. `side` is where a Xing header stands in it."""

    size: int
    samples: int
    rate: int
    channels: int
    kind: int
    side: int

    def goes_with(self, other: "Frame") -> bool:
        """Whether both may be of one run."""
        return (self.rate, self.channels, self.kind) == (other.rate, other.channels, other.kind)


@dataclass
class Run:
    """Frames that a decoder takes one after another: where they are, how many, and what a Xing header announced (None:
    nothing). `frames` and `announced` do not count the frame of that header."""

    first: Frame
    pieces: list[Piece] = field(default_factory=list)
    frames: int = 0
    samples: int = 0
    announced: int | None = None
    xing: bytes = b""  # the frame of that header

    def whole(self) -> list[Piece]:
        """The pieces, with a Xing header by which a decoder gives all that the frames hold.

        It would stop at a number of frames that is too low, and give nothing where more is to be cut off the ends than
        there is (LAME 3.97 wrote that into short files).
        """
        lame = self.first.side + 141  # where 12 bits of delay and 12 of padding stand
        delay, padding = divmod(int.from_bytes(self.xing[lame : lame + 3], "big"), 1 << 12)
        long_delay, long = delay + _OWN_DELAY >= self.samples, delay + padding >= self.samples
        low = self.announced is not None and self.announced < self.frames
        if not self.xing or not (low or long or long_delay):
            return self.pieces
        frame = bytearray(self.xing)
        if self.announced is not None:
            frame[self.first.side + 8 : self.first.side + 12] = struct.pack(">I", self.frames)
        if len(frame) >= lame + 3:
            frame[lame : lame + 3] = (0 if long_delay else delay << 12).to_bytes(3, "big")
        start, size = self.pieces[0]
        assert isinstance(start, int)
        return [bytes(frame), (start + len(frame), size - len(frame)), *self.pieces[1:]]


@dataclass
class Walk:
    """All runs of a file. Of bytes that are neither frame, tag nor padding: how many stand `before` the first frame and
    `behind` the last one, and (position, size) of others. `cut`: bytes of a last frame that is not whole."""

    runs: list[Run] = field(default_factory=list)
    before: int = 0
    behind: int = 0
    junk: list[tuple[int, int]] = field(default_factory=list)
    cut: int = 0
    found: Found = field(default_factory=Found)


def parse_frame(head: bytes) -> Frame | None:
    """A frame's header; None for other bytes, and for a frame whose size is not in its header ("free format")."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    return _frame(head[1], head[2], head[3] >> 6)


@cache
def _frame(second: int, third: int, mode: int) -> Frame | None:
    version, layer = second >> 3 & 3, second >> 1 & 3
    index, rate_index, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
    if version == 1 or layer == 0 or index in (0, 15) or rate_index == 3:
        return None
    rate = (44100, 48000, 32000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    low = version != 3
    bits = 1000 * _KBPS[2 if low else 3, layer if layer == 3 or not low else 2][index - 1]
    channels = 1 if mode == 3 else 2
    samples = 384 if layer == 3 else 576 if layer == 1 and low else 1152
    size = (12 * bits // rate + padding) * 4 if layer == 3 else samples // 8 * bits // rate + padding
    side = 4 + ((9 if channels == 1 else 17) if low else (17 if channels == 1 else 32))
    return Frame(size, samples, rate, channels, version << 2 | layer, side)


class _Bytes:
    """A file's bytes by position, in large steps."""

    def __init__(self, file: IO[bytes], end: int) -> None:
        self._file, self.end = file, end
        self._at, self._data = 0, b""

    def get(self, position: int, n: int) -> bytes:
        n = max(0, min(n, self.end - position))
        start = position - self._at
        if start < 0 or start + n > len(self._data):
            self._file.seek(position)
            self._data = self._file.read(max(n, min(_BLOCK, self.end - position)))
            self._at, start = position, 0
        return self._data[start : start + n]

    def any(self, start: int, end: int) -> bool:
        """Whether there is anything but zeros."""
        return any(any(self.get(at, min(_BLOCK, end - at))) for at in range(start, end, _BLOCK))

    def find(self, position: int, limit: int) -> int:
        """Where the next 0xFF stands at or behind `position`, below `limit`; else `limit`."""
        while position < limit:
            data = self.get(position, min(65_536, limit - position))
            if not data:
                break
            found = data.find(b"\xff")
            if found >= 0:
                return position + found
            position += len(data)
        return limit


def find_frames(file: IO[bytes], begin: int, end: int, limit: int) -> int | None:
    """Where frames in a row begin, at `begin` or up to `limit` bytes behind it, or None."""
    data = _Bytes(file, end)
    at = _search(data, begin, min(end, begin + limit + 1))
    return at if at < min(end, begin + limit + 1) else None


def walk(file: IO[bytes], begin: int, end: int) -> Walk:
    """All frames between two positions of a file; tags among them are read."""
    data, result = _Bytes(file, end), Walk()
    position, run = begin, None
    junk_from: int | None = None
    sure = False  # whether the frame at `position` was found by what follows it
    while position < end:
        frame = parse_frame(data.get(position, 4))
        fits = frame is not None and run is not None and frame.goes_with(run.first)
        if frame is not None and (sure or fits or _leads_on(data, position, frame)):
            if position + frame.size > end:
                result.cut = end - position
                break
            if junk_from is not None:
                if run is None:
                    result.before += position - junk_from
                elif data.any(junk_from, position):
                    result.junk.append((junk_from, position - junk_from))
                junk_from = None
            run = _add(data, result, run, position, frame)
            position += frame.size
            sure = False
            continue
        sure = False
        if size := _tag(data, position, result.found):
            position += size
            continue
        junk_from = position if junk_from is None else junk_from
        position = _search(data, position + 1, end, run.first if run else None)
        sure = position < end
    if junk_from is not None and data.any(junk_from, end):
        if end - junk_from < 4:
            result.cut = end - junk_from
        else:
            result.behind = end - junk_from
    return result


def _add(data: _Bytes, result: Walk, run: Run | None, position: int, frame: Frame) -> Run:
    head = data.get(position, min(frame.size, max(40, frame.side + 16)))
    mark = head[frame.side : frame.side + 4]
    is_xing = mark in (b"Xing", b"Info")
    if run is None or is_xing or head[36:40] == b"VBRI" or not frame.goes_with(run.first):
        run = Run(frame)
        result.runs.append(run)
    if is_xing:
        run.xing = data.get(position, frame.size)
        if head[frame.side + 7 : frame.side + 8] and head[frame.side + 7] & 1:
            run.announced = int.from_bytes(head[frame.side + 8 : frame.side + 12], "big") or None
    elif head[36:40] != b"VBRI":
        run.frames += 1
        run.samples += frame.samples
    last = run.pieces[-1] if run.pieces else None
    if isinstance(last, tuple) and last[0] + last[1] == position:
        run.pieces[-1] = (last[0], last[1] + frame.size)
    else:
        run.pieces.append((position, frame.size))
    return run


def _leads_on(data: _Bytes, position: int, frame: Frame, n: int = _SURE) -> bool:
    """Whether n - 1 more frames that go with this one follow it, or fewer and then the end, a tag or zeros."""
    for more in range(n - 1):
        position += frame.size
        if position >= data.end - 3:
            return more > 0 or position == data.end
        start = data.get(position, 10)
        following = parse_frame(start)
        if following is None:
            return start[:3] in (b"ID3", b"TAG", b"APE", b"LYR") or (more > 0 and not any(start))
        if not following.goes_with(frame):
            return False
        frame = following
    return True


def _search(data: _Bytes, position: int, limit: int, like: Frame | None = None) -> int:
    """The position of the next frames in a row, or of a tag, below `limit`; else `limit`."""
    while (position := data.find(position, limit)) < limit:
        frame = parse_frame(data.get(position, 4))
        n = 2 if frame is not None and like is not None and frame.goes_with(like) else _SURE
        if frame is not None and _leads_on(data, position, frame, n) and position + frame.size <= data.end:
            return position
        position += 1
    return limit


def _follows(start: bytes) -> bool:
    """Whether these bytes may stand behind an ID3v1 tag that is not the last thing in a file."""
    return parse_frame(start) is not None or start.startswith((b"ID3", b"APETAGEX", b"LYRICS"))


def _tag(data: _Bytes, position: int, found: Found) -> int:
    """Reads a tag that begins here; its size, 0 for none."""
    start = data.get(position, 32)
    if size := id3_size(start):
        found.merge(read_id3(data.get(position, min(size, _MAX_TAG))))
        after = data.get(position + size, 10)
        beyond = position + size > data.end
        if beyond or (len(after) == 10 and parse_frame(after) is None and not id3_size(after) and any(after)):
            # Its size may be wrong: where frames begin earlier, it has ended.
            size = min(size, _search(data, position + HEADER, data.end) - position)
        return size
    if start[:3] == b"TAG" and (data.end - position == 128 or _follows(data.get(position + 128, 10))):
        found.merge(read_id3v1(data.get(position, 128)))
        return 128
    if start[:8] == b"APETAGEX" and len(start) == 32:
        size = int.from_bytes(start[12:16], "little") + 32
        tag = data.get(position, min(size, _MAX_TAG))
        if ape_size(tag[-32:]):
            found.merge(read_ape(tag))
            return size
    if start[:11] == b"LYRICSBEGIN":
        text = data.get(position, 1 << 16)
        end = text.find(b"LYRICS200")
        if end > 0:
            found.left_out["Lyrics3"] += 1
            return end + 9
    return 0
