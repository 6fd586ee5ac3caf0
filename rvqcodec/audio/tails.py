"""What stands behind the samples of PCM: chunks and tags, another recording, or bytes that nobody counts."""

import struct
from dataclasses import dataclass
from typing import IO

from rvqcodec.audio.chunks import CAF, IFF, MAX_CHUNKS, RIFF, RIFX, W64, ChunkStyle, is_id, split_head, walk
from rvqcodec.audio.found import Found
from rvqcodec.audio.heads import MAX_INFO, bogus
from rvqcodec.audio.id3 import ape_size, id3_size, read_ape, read_id3, read_id3v1
from rvqcodec.audio.pcmheads import head_reader
from rvqcodec.audio.tags import KNOWN_CHUNKS, TAG_CHUNKS, read_chunk

_STYLES = {b"RIFF": RIFF, b"RIFX": RIFX, b"FORM": IFF, b"caff": CAF, b"riff": W64}
_ZEROS = 1 << 26  # bytes of padding that are looked at
_RECORDINGS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"caff", b".snd", b"riff", b"fLaC", b"OggS")
_FEW = 8  # bytes that are not worth a word


@dataclass(frozen=True)
class Tail:
    """`n_bytes` that are neither chunk nor tag nor padding; they begin with another recording where `recording`."""

    n_bytes: int = 0
    recording: bool = False


class Behind:
    """Reads forwards from the end of the samples, in a file (`left` bytes remain) or a pipe (None)."""

    def __init__(self, stream: IO[bytes], left: int | None) -> None:
        self._stream, self.left = stream, left

    def read(self, n: int) -> bytes:
        data = self._stream.read(n if self.left is None else min(n, self.left))
        if self.left is not None:
            self.left -= len(data)
        return data

    def skip(self, n: int) -> int:
        """Pass over up to n bytes; gives how many there were."""
        if self.left is not None:
            n = min(n, self.left)
            self._stream.seek(n, 1)
            self.left -= n
            return n
        passed = 0
        while passed < n and (data := self.read(min(n - passed, 65_536))):
            passed += len(data)
        return passed

    def rest(self) -> int:
        """Pass over all that is left; gives how many bytes it was."""
        return self.skip(self.left if self.left is not None else 1 << 62)


def read_tail(behind: Behind, style: ChunkStyle | None, found: Found, *, pad: int = 0) -> Tail:
    """Walk to the end. `style`: chunks may follow, after `pad` bytes that fill up the samples' own chunk."""
    start = _chunks(behind, style, found, pad) if style is not None else behind.read(12)
    start += behind.read(max(0, 12 - len(start)))
    if len(start) <= _FEW:
        return Tail()
    if head_reader(start) is not None or start[:4] == b"fLaC":
        return Tail(len(start) + behind.rest(), recording=True)
    if _tags(behind, start, found):
        return Tail()
    n_bytes = len(start)
    while not any(start) and n_bytes < _ZEROS:
        start = behind.read(65_536)
        n_bytes += len(start)
        if not start:
            return Tail()
    return Tail(n_bytes + behind.rest())


def without_tags(file: IO[bytes], end: int) -> tuple[int, Found]:
    """Where a file ends before the ID3v1 and APE tags at its end, and what these say."""
    found = Found()
    file.seek(max(0, end - 128))
    tag = file.read(128)
    if tag[:3] == b"TAG" and len(tag) == 128:
        found.merge(read_id3v1(tag))
        end -= 128
    file.seek(max(0, end - 32))
    if 32 <= (size := ape_size(file.read(32))) <= end:
        file.seek(end - size)
        found.merge(read_ape(file.read(size)))
        end -= size
    return end, found


def coded_losses(file: IO[bytes], begin: int, end: int) -> list[str]:
    """Lines about samples of another coding than PCM that are missing, or stand where no decoder looks for them.

    `file` is left anywhere; other formats than those with chunks give none.
    """
    file.seek(begin)
    style = _STYLES.get(file.read(4))
    if style is None:
        return []
    for chunk, size, at in walk(file, style, begin):
        held = end - at
        if chunk in (b"data", b"SSND"):
            if not 0 < size <= held:
                unknown = size <= 0 or size >= 2**62 or (style.head[-1] == "I" and bogus(size))
                return [] if unknown else [f"cut off: announces {size:,} bytes of samples, holds {held:,}"]
            file.seek(at + size)
            tail = read_tail(Behind(file, held - size), style, Found(), pad=-size % style.pad)
            what = "of another recording " if tail.recording else ""
            return [f"{tail.n_bytes:,} bytes {what}behind the samples left out"] if tail.n_bytes else []
    return []


def _chunks(behind: Behind, style: ChunkStyle, found: Found, pad: int) -> bytes:
    """Pass over chunks; gives the first bytes of what is none."""
    n_head = struct.calcsize(style.head)
    for _ in range(MAX_CHUNKS):
        first = behind.read(pad)
        if pad == 1 and first not in (b"", b"\0"):  # the pad byte is missing, or not zero
            head = first + behind.read(n_head - 1)
            if not is_id(head[:4]):
                head = head[1:] + behind.read(1)
        else:
            head = behind.read(n_head)
        if len(head) < n_head:
            return head
        chunk, size = split_head(head, style)
        beyond = behind.left is not None and size > behind.left
        if not is_id(chunk) or chunk in _RECORDINGS or size < 0 or (beyond and chunk not in KNOWN_CHUNKS):
            return head
        body = behind.read(min(size, MAX_INFO if chunk in TAG_CHUNKS else 0))
        behind.skip(size - len(body))
        read_chunk(chunk.upper() if chunk == b"list" else chunk, body, found)
        pad = -size % style.pad
    return b""


def _tags(behind: Behind, start: bytes, found: Found) -> bool:
    """Take tags that programs put behind every format; False if these bytes begin none."""
    if size := id3_size(start):
        found.merge(read_id3(start + behind.read(max(0, min(size, MAX_INFO) - len(start)))))
    elif start[:3] == b"TAG":
        tag = start + behind.read(116)
        if behind.read(1):
            return False
        found.merge(read_id3v1(tag))
    elif start[:8] == b"APETAGEX":
        tag = start + behind.read(MAX_INFO)
        if ape_size(tag[-160:-128]):  # before an ID3v1 tag
            found.merge(read_ape(tag[:-128]))
            found.merge(read_id3v1(tag[-128:]))
        else:
            found.merge(read_ape(tag))
    else:
        return False
    behind.rest()
    return True
