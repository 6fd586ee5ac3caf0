"""Reads a file from front to back with `.read(n)` alone, and checks all of it; can salvage what damage
left.
"""

import itertools
import re
import zlib
from collections.abc import Iterator

from rvqcodec.container import blocks, chunks
from rvqcodec.container.blocks import CHUNK, CRC, END, END_SIZE, MARK, Damage, End
from rvqcodec.container.chunks import MAX_BLOCK, Chunk, RawChunk
from rvqcodec.container.header import Header
from rvqcodec.container.headerbytes import MAX_HEADER, header_size, parse_header
from rvqcodec.container.payloads import PLAIN
from rvqcodec.container.source import Readable, Source
from rvqcodec.errors import FormatError

MAX_GAP = 1 << 20
"""Lost frames in a row that a salvaging reader believes in: hours; a file must not order silence for years."""

MAX_DAMAGES = 10_000
"""A salvaging reader gives up after so many Damage records, so that a caller who collects them cannot run out of
memory.
"""

SIDE_BY_SIDE = 4, 16
"""Coded chunks that are unpacked at a time: the first time, then."""

_EFFORT, _FALSE_START = 64, 1024
"""False starts may cost a salvaging reader 64 times the bytes it has passed and 16 MiB more, counting what it
checked and 1024 for each; then it gives up. No accident makes so many."""

_CHUNK_START = bytes((MARK, CHUNK))
_ANY_START = re.compile(re.escape(bytes((MARK,))) + b"[CE]")


class Reader:
    """Iterates over the chunks of a file; afterwards `end` holds its totals.

    Without `salvage` every fault is a FormatError with its position, and what was read before stands.
    With it, faults come as Damage records between the chunks, which together cover all frames from 0 to
    `frames` in order; only a header with more than one broken byte is still an error. `n_samples` is then
    the length to give back.
    """

    def __init__(self, fileobj: Readable, *, salvage: bool = False) -> None:
        self._source = Source(fileobj)
        self._salvage = salvage
        self._repaired: FormatError | None = None
        self.header, data = self._read_header()
        self._source.skip(len(data))
        self.header_bytes = len(data)
        self.end: End | None = None
        self.frames = 0
        self.chunks = 0
        self.payload_bytes = 0
        self.damaged = False
        self._check: int | None = zlib.crc32(data[-CRC.size :])
        self._wasted = 0
        self._damages = 0
        self._items = self._walk()

    def _read_header(self) -> tuple[Header, bytes]:
        try:
            data = self._source.peek(header_size(self._source.peek(7)))
            return parse_header(data), data
        except FormatError:
            if not self._salvage:
                raise
            from rvqcodec.container.repair import repaired_header

            found = repaired_header(self._source.peek(MAX_HEADER + 2))
            if found is None:
                raise
            header, data, position = found
            self._repaired = FormatError("header: a damaged byte was put right by its checksum", position)
            return header, data

    def __iter__(self) -> Iterator[Chunk | Damage]:
        # Coded chunks are unpacked several at a time, which is faster, where nobody waits for the first of them.
        few, most = SIDE_BY_SIDE if self.header.codec != PLAIN and self.seekable else (1, 1)
        size = few
        while True:
            items, fault = self._some(size)
            unpacked = iter(chunks.unpack_all(self.header, [item for item in items if isinstance(item, RawChunk)]))
            for item in items:
                yield item if isinstance(item, Damage) else self._whole(item, next(unpacked))
            if fault is not None:
                raise fault
            if len(items) < size:
                return
            size = most

    def _some(self, size: int) -> tuple[list[RawChunk | Damage], FormatError | None]:
        """The next items, and the fault at which there are fewer."""
        items: list[RawChunk | Damage] = []
        try:
            items += itertools.islice(self._items, size)
        except FormatError as error:
            return items, error
        return items, None

    def _whole(self, raw: RawChunk, chunk: Chunk | FormatError) -> Chunk | Damage:
        """A chunk, or what to say where its codes make no sense in spite of its checksum."""
        if isinstance(chunk, Chunk):
            return chunk
        fault = FormatError(f"chunk from frame {raw.start_frame}: {chunk.reason}", raw.position)
        if not self._salvage:
            raise fault
        self._damage()
        return Damage(start_frame=raw.start_frame, frames=raw.frames, position=raw.position, reason=fault.reason)

    def raw(self) -> Iterator[RawChunk | Damage]:
        """As iterating over the reader, but the codes stay packed (their padding bits are checked all
        the same).
        """
        yield from self._items

    @property
    def total_bytes(self) -> int:
        """Bytes read so far; after the last chunk: the length of the file."""
        return self._source.position

    @property
    def n_samples(self) -> int | None:
        """Samples per channel, as far as known: from the end or the header, or from the frames after
        salvaging.
        """
        known = self.header.n_samples if self.end is None else self.end.n_samples
        if not self.damaged:
            return known
        held = self.header.samples_in(self.frames)
        return held if known is None else min(known, held)

    @property
    def seekable(self) -> bool:
        """Whether the file is at hand as a whole; a pipe is not."""
        return self._source.seekable()

    def seek_frame(self, frame: int) -> None:
        """Goes to the chunk that holds a frame: iteration starts there, or ends at once behind the last.

        In a file that can seek only the fields of the chunks between are read; else all is read and checked.
        May be called once, before iterating.
        """
        if self._salvage or not self.seekable:
            self._items = self._dropping(frame)
            return
        while (start := self._source.peek(chunks.fields_size(self.header)))[:2] == _CHUNK_START:
            if len(start) < chunks.fields_size(self.header):
                break
            fields = chunks.parse_fields(self.header, start, self._source.position)
            if fields.start_frame != self.frames:
                raise self._out_of_order(fields.start_frame, self._source.position)
            if fields.start_frame + fields.frames > frame:
                break
            self._source.jump(self._source.position + fields.size)
            self._count(fields.start_frame + fields.frames, fields.payload)
            self._check = None

    def _dropping(self, frame: int) -> Iterator[RawChunk | Damage]:
        for item in self._walk():
            if item.start_frame + item.frames > frame:
                yield item

    def _walk(self) -> Iterator[RawChunk | Damage]:
        if self._salvage:
            yield from self._walk_salvaging()
            return
        while self.end is None:
            block = self._block()
            if isinstance(block, RawChunk):
                if block.start_frame != self.frames:
                    raise self._out_of_order(block.start_frame, block.position)
                self._count(block.start_frame + block.frames, len(block.payload))
                self._source.skip(block.size)
                yield block
            elif isinstance(block, End):
                self._check_end(block)
                self._source.skip(END_SIZE)
                self.end = block
        if self._source.peek(1):
            raise self._trailing()

    def _walk_salvaging(self) -> Iterator[RawChunk | Damage]:
        if self._repaired:
            yield self._lost(0, self._repaired)
        fault: FormatError | None = None  # the first since the last block that was good
        while self.end is None:
            try:
                block = self._block()
                if block is not None:
                    self._check_gap(block)
            except FormatError as error:
                fault = fault or error
                self._wasted += _FALSE_START
                self._source.skip(1)
                if not self._source.skip_to(_ANY_START):
                    yield self._lost(self._announced(), fault)
                    return
                if self._wasted > _EFFORT * self._source.position + (1 << 24):
                    raise FormatError("too many false chunks to salvage anything", self._source.position) from None
                continue
            if isinstance(block, RawChunk):
                self._source.skip(block.size)
                if block.start_frame < self.frames:
                    yield self._lost(self.frames, self._out_of_order(block.start_frame, block.position))
                    continue
                if fault or block.start_frame > self.frames:
                    yield self._lost(block.start_frame, fault or self._out_of_order(block.start_frame, block.position))
                self._count(block.start_frame + block.frames, len(block.payload))
                yield block
            elif isinstance(block, End):
                try:
                    self._check_end(block)
                except FormatError as error:
                    # After damage its counts and its check are wrong anyway.
                    fault = fault or (None if self.damaged else error)
                if fault:
                    yield self._lost(max(self.frames, block.frames), fault)
                self._source.skip(END_SIZE)
                self.end = block
            fault = None if block is not None else fault
        if self._source.peek(1):
            yield self._lost(self.frames, self._trailing())

    def _check_gap(self, block: RawChunk | End) -> None:
        """Refuses, in spite of a right checksum, frames that are too far away to be believed."""
        last = block.frames + (block.start_frame if isinstance(block, RawChunk) else 0)
        n_samples = self.header.n_samples
        if last > self.frames + MAX_GAP or (n_samples is not None and last > self.header.frames_for(n_samples)):
            raise FormatError(f"a block that reaches frame {last} is not believed", self._source.position)

    def _announced(self) -> int:
        """The frames of the whole file after its end was lost, as far as the header tells."""
        n_samples = self.header.n_samples
        frames = 0 if n_samples is None else self.header.frames_for(n_samples)
        return frames if self.frames <= frames <= self.frames + MAX_GAP else self.frames

    def _lost(self, up_to: int, fault: FormatError) -> Damage:
        """Records that nothing is known of the frames from here up to another one."""
        self._damage()
        damage = Damage(
            start_frame=self.frames,
            frames=up_to - self.frames,
            position=fault.position or 0,
            reason=fault.reason,
        )
        self.frames = up_to
        return damage

    def _damage(self) -> None:
        self.damaged = True
        self._damages += 1
        if self._damages > MAX_DAMAGES:
            raise FormatError(f"too many damaged places, over {MAX_DAMAGES:,}", self._source.position)

    def _trailing(self) -> FormatError:
        return FormatError("bytes follow the end block (files are joined with rvq cat)", self._source.position)

    def _count(self, frames: int, payload_bytes: int) -> None:
        self.frames = frames
        self.chunks += 1
        self.payload_bytes += payload_bytes

    def _out_of_order(self, start_frame: int, position: int) -> FormatError:
        which = "is missing" if start_frame > self.frames else "is repeated or out of order"
        return FormatError(f"chunk starts at frame {start_frame}, not {self.frames}: a chunk {which}", position)

    def _check_end(self, end: End) -> None:
        position = self._source.position
        header = self.header
        if (end.frames, end.chunks) != (self.frames, self.chunks):
            raise FormatError(
                f"end: {end.frames} frames in {end.chunks} chunks, but {self.frames} in {self.chunks} came",
                position,
            )
        if header.n_samples is not None and header.n_samples != end.n_samples:
            raise FormatError(f"end: {end.n_samples} samples, but the header says {header.n_samples}", position)
        if header.frames_for(end.n_samples) != end.frames:
            raise FormatError(f"end: {end.n_samples} samples do not go with {end.frames} frames", position)
        if self._check is not None and end.check != self._check:
            raise FormatError("end: the checksum over all checksums is wrong; chunks were exchanged", position)

    def _block(self) -> RawChunk | End | None:
        """The block that stands here: a chunk or the end, both still to be skipped; None: another one,
        skipped.
        """
        position = self._source.position
        start = self._source.peek(2)
        if len(start) < 2:
            raise FormatError("file is cut short: it ends without an end block", position + len(start))
        if start[0] != MARK:
            raise FormatError("a block should begin here", position)
        if start[1] == CHUNK:
            fields = chunks.parse_fields(self.header, self._peek_all(chunks.fields_size(self.header)), position)
            data = self._checked(fields.size, f"chunk from frame {fields.start_frame}")
            return chunks.parse_chunk(self.header, fields, data, position)
        if start[1] == END:
            return blocks.parse_end(self._peek_all(END_SIZE), position)
        if not ord("a") <= start[1] <= ord("z"):
            raise FormatError(f"block of kind {chr(start[1])!a} is needed and unknown", position + 1)
        size = blocks.other_size(self._peek_all(blocks.OTHER_SIZE))
        if size > MAX_BLOCK:
            raise FormatError(f"block of {size} bytes is over {MAX_BLOCK}", position + 2)
        self._checked(size, f"block of kind {chr(start[1])!a}")
        self._source.skip(size)
        return None

    def _peek_all(self, n: int) -> bytes:
        data = self._source.peek(n)
        if len(data) < n:
            raise FormatError("file is cut short: it ends inside a block", self._source.position + len(data))
        return data

    def _checked(self, size: int, name: str) -> bytes:
        data = self._peek_all(size)
        crc = data[-CRC.size :]
        if zlib.crc32(memoryview(data)[: -CRC.size]) != CRC.unpack(crc)[0]:
            self._wasted += size
            raise FormatError(f"{name} is damaged: its checksum is wrong", self._source.position)
        if self._check is not None:
            self._check = zlib.crc32(crc, self._check)
        return data
