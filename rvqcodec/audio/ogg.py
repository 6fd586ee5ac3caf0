"""The pages of an Ogg file: which streams they carry, one after another and side by side, and what is damaged.

libsndfile reads the first of several streams, and passes over damaged pages without a word. So the file is walked
first, page by page, and the pages of each stream that can be read are given to it by themselves.

Sources: RFC 3533 (pages), RFC 5334 and the codecs' own mappings (first packets), RFC 7845 (Opus).
"""

import struct
import zlib
from dataclasses import dataclass, field
from typing import IO

from rvqcodec.audio.comments import parse_comments
from rvqcodec.audio.formats import MAX_RATE, MIN_RATE
from rvqcodec.audio.found import Found
from rvqcodec.audio.pieces import Piece, Pieces

_PAGE = struct.Struct("<4sBBqIIIB")
_LONGEST = 27 + 255 + 255 * 255
_BEGINS, _ENDS = 2, 4  # flags
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_MAX_COMMENTS = 1 << 26

AUDIO = {b"\x01vorbis": "Vorbis", b"OpusHead": "Opus", b"\x7fFLAC": "FLAC", b"fLaC": "FLAC", b"Speex   ": "Speex",
         b"CELT    ": "CELT"}  # fmt: skip
_OTHER = {b"\x80theora": "Theora video", b"BBCD\0": "Dirac video", b"OVP80": "VP8 video", b"fishead\0": "Skeleton",
          b"\x80kate": "Kate text", b"CMML": "CMML text"}  # fmt: skip
READ = ("Vorbis", "Opus", "FLAC")


@dataclass
class Stream:
    """One logical stream. `pieces` are its sound pages (of FLAC: their bodies, which are a FLAC stream); `lost` counts
    pages that are damaged or missing; `granule` is the last position that a page states, a damaged one too."""

    serial: int
    codec: str
    start: bytes  # the first packet
    pieces: list[Piece] = field(default_factory=list)
    sequence: int = -1
    lost: int = 0
    granule: int = 0
    ended: bool = False

    def add(self, position: int, size: int) -> None:
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, tuple) and last[0] + last[1] == position:
            self.pieces[-1] = (last[0], last[1] + size)
        else:
            self.pieces.append((position, size))

    @property
    def n_samples(self) -> int:
        """Samples per channel that the positions announce, at the codec's own rate (Opus: 48 kHz)."""
        skip = struct.unpack_from("<H", self.start, 10)[0] if self.codec == "Opus" and len(self.start) >= 12 else 0
        return max(0, self.granule - skip)

    @property
    def rate(self) -> int:
        """Of `n_samples`, in Hz; 0 where the first packet does not say it."""
        if self.codec == "Opus":
            return 48_000
        return int.from_bytes(self.start[12:16], "little") if self.codec == "Vorbis" else 0


@dataclass
class Link:
    """Streams that stand side by side. `orphans` counts pages whose stream does not begin in the file, `strange` those
    that are damaged and fit no stream."""

    streams: list[Stream] = field(default_factory=list)
    orphans: int = 0
    strange: int = 0
    filled: bool = False  # whether other pages than first ones came

    def stream(self, serial: int) -> Stream | None:
        return next((s for s in self.streams if s.serial == serial), None)

    def chosen(self) -> Stream | None:
        """The first stream that can be read."""
        return next((s for s in self.streams if s.codec in READ), None)


def walk(file: IO[bytes], begin: int, end: int) -> list[Link]:
    """All pages between two positions of a file, as links of a chain; [] if there is none."""
    links: list[Link] = []
    position = begin
    while position < end:
        file.seek(position)
        head = file.read(_PAGE.size)
        if len(head) == _PAGE.size and head[:4] == b"OggS":
            lacing = file.read(head[-1])
            body = file.read(sum(lacing))
            whole = len(lacing) == head[-1] and len(body) == sum(lacing)
            if whole and _checks(head, lacing + body):
                _take(links, position, head, len(lacing), body)
                position += len(head) + len(lacing) + len(body)
                continue
            if links:
                _take_damaged(links[-1], head, whole=whole)
        position = _next_page(file, position + 1, end)
    return links


def find_page(file: IO[bytes], begin: int, limit: int) -> int | None:
    """Where the first whole page begins between two positions, or None."""
    position = begin
    while (position := _next_page(file, position, limit)) < limit:
        file.seek(position)
        head = file.read(_PAGE.size)
        lacing = file.read(head[-1])
        if len(head) == _PAGE.size and _checks(head, lacing + file.read(sum(lacing))):
            return position
        position += 1
    return None


def _take(links: list[Link], position: int, head: bytes, n_lacing: int, body: bytes) -> None:
    _, _, flags, granule, serial, sequence, _, _ = _PAGE.unpack(head)
    if flags & _BEGINS:
        if not links or links[-1].filled:
            links.append(Link())
        links[-1].streams.append(Stream(serial, _codec(body), body[:64]))
    if not links:
        links.append(Link())
    link = links[-1]
    link.filled = link.filled or not flags & _BEGINS
    stream = link.stream(serial)
    if stream is None:
        link.orphans += 1
        return
    if sequence > stream.sequence + 1:
        stream.lost += sequence - stream.sequence - 1
    stream.sequence = sequence
    if granule >= 0:
        stream.granule = granule
    stream.ended = stream.ended or bool(flags & _ENDS)
    if stream.codec == "FLAC":
        skip = 9 if flags & _BEGINS and body.startswith(b"\x7fFLAC") else 0
        stream.add(position + _PAGE.size + n_lacing + skip, len(body) - skip)
    else:
        stream.add(position, _PAGE.size + n_lacing + len(body))


def _take_damaged(link: Link, head: bytes, *, whole: bool) -> None:
    """Count a page that is damaged, or cut off (not `whole`: its stream then lacks an end)."""
    _, _, flags, granule, serial, sequence, _, _ = _PAGE.unpack(head)
    stream = link.stream(serial)
    if stream is None or sequence != stream.sequence + 1:
        link.strange += 1
        return
    link.filled = True
    stream.sequence = sequence
    if whole:
        stream.lost += 1
        stream.ended = stream.ended or bool(flags & _ENDS)
    if stream.granule <= granule < stream.granule + (1 << 24):
        stream.granule = granule


def _next_page(file: IO[bytes], position: int, end: int) -> int:
    """Where the next page seems to begin, else `end`."""
    while position < end:
        file.seek(position)
        data = file.read(_LONGEST)
        found = data.find(b"OggS")
        if found >= 0:
            return position + found
        if len(data) < 4:
            break
        position += len(data) - 3
    return end


def _checks(head: bytes, rest: bytes) -> bool:
    """Whether a page has the checksum that it states."""
    return page_checksum(head + rest) == head[22:26]


def page_checksum(page: bytes) -> bytes:
    """Of a page: CRC-32 with Ethernet's polynomial, bits in the other order, its own place taken for zeros."""
    plain = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    return int(f"{zlib.crc32(plain, 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2).to_bytes(4, "little")


def pages(file: IO[bytes], stream: Stream) -> Pieces:
    """The pages of a Vorbis or Opus stream, as libsndfile is to see them.

    It decodes Opus at the rate that the first page states of the original, and takes 0, which says nothing, and wrong
    ones for 8 kHz: then 48 kHz is stated.
    """
    whole = Pieces(file, stream.pieces)
    rate = int.from_bytes(stream.start[12:16], "little")
    if stream.codec != "Opus" or len(stream.start) < 19 or MIN_RATE <= rate <= MAX_RATE:
        return whole
    head = whole.read(_PAGE.size)
    lacing = whole.read(head[-1])
    packet = bytearray(whole.read(sum(lacing)))
    packet[12:16] = (48_000).to_bytes(4, "little")
    page = head + lacing + packet
    return whole.behind(len(page), page[:22] + page_checksum(page) + page[26:])


def _codec(packet: bytes) -> str:
    for table in (AUDIO, _OTHER):
        for start, name in table.items():
            if packet.startswith(start):
                return name
    return "unknown"


def read_tags(file: IO[bytes], stream: Stream) -> Found:
    """The comments of a Vorbis or Opus stream, its second packet."""
    pages = Pieces(file, stream.pieces)
    packets: list[bytes] = []
    packet = bytearray()
    while len(packets) < 2 and len(packet) <= _MAX_COMMENTS:
        head = pages.read(_PAGE.size)
        if len(head) < _PAGE.size:
            return Found()
        lacing = pages.read(head[-1])
        for size in lacing:
            packet += pages.read(size)
            if size < 255:
                packets.append(bytes(packet))
                packet.clear()
    for prefix in (b"\x03vorbis", b"OpusTags"):
        if len(packets) >= 2 and packets[1].startswith(prefix):
            return parse_comments(packets[1][len(prefix) :])
    return Found()
