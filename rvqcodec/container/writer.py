"""Writes a file from front to back, never seeking; whatever it writes, `Reader` accepts."""

import zlib
from dataclasses import replace
from typing import Protocol

from rvqcodec.container import blocks, chunks
from rvqcodec.container.allocation import MAX_DEMAND, MAX_WEIGHT
from rvqcodec.container.blocks import CRC, End
from rvqcodec.container.chunks import MAX_BLOCK, MID_SIDE_ANGLE, Chunk, RawChunk
from rvqcodec.container.header import MAX_SAMPLES, Header
from rvqcodec.container.headerbytes import pack_header
from rvqcodec.container.payloads import PAYLOADS
from rvqcodec.errors import FormatError


class Writable(Protocol):
    """What a file is written with: `write(b)` may take only a part and says how much."""

    def write(self, data: bytes, /) -> int | None: ...


class Writer:
    """Header, then chunks in order of time, then the end.

    The header is written at once. A file that was not closed ends without its end block, which every
    reader sees. Raises FormatError for a header, chunk or total that the format cannot hold, ValueError
    for arrays of the wrong shape.
    """

    def __init__(self, fileobj: Writable, header: Header) -> None:
        self.header = header
        self.frames = 0
        self.chunks = 0
        self.payload_bytes = 0
        self.total_bytes = 0
        self._fileobj = fileobj
        self._check = 0
        self._closed = False
        self._write(pack_header(header))

    def write_chunk(self, chunk: Chunk) -> None:
        """Writes a chunk; it must start at the frame where the last one ended."""
        self._check_shapes(chunk)
        raw = RawChunk(
            start_frame=chunk.start_frame, frames=chunk.frames, allocation=chunk.allocation, angle=chunk.angle,
            begins=chunk.begins, payload=b"", position=0, size=0,
        )  # fmt: skip
        self._check_numbers(raw)
        if not (chunk.n_q == chunks.shape_of(self.header, chunk.allocation, chunk.frames).n_q()).all():
            raise ValueError("n_q is not what the allocation gives")
        self._put(replace(raw, payload=chunks.pack_codes(self.header, chunk)))

    def write_raw(self, chunk: RawChunk) -> None:
        """Writes a chunk that a reader did not unpack."""
        self._check_numbers(chunk)
        wanted = PAYLOADS[self.header.codec].size(chunks.shape_of(self.header, chunk.allocation, chunk.frames))
        if wanted is not None and len(chunk.payload) != wanted:
            raise ValueError(f"payload of {len(chunk.payload)} bytes")
        self._put(chunk)

    def write_other(self, kind: bytes, body: bytes) -> None:
        """Writes a block that readers of version 1 skip: `kind` is one lower-case ASCII letter."""
        if len(kind) != 1 or not b"a" <= kind <= b"z":
            raise ValueError(f"kind {kind!r}")
        self._write(blocks.pack_other(kind, body))

    def close(self, n_samples: int) -> End:
        """Writes the end: `n_samples` samples per channel at the header's sample rate. The file object
        stays open.
        """
        header = self.header
        if header.n_samples is not None and header.n_samples != n_samples:
            raise FormatError(f"{n_samples} samples, but {header.n_samples} were announced in the header")
        if not 0 <= n_samples <= MAX_SAMPLES or header.frames_for(n_samples) != self.frames:
            raise FormatError(
                f"{n_samples} samples take {header.frames_for(max(0, n_samples))} frames, not {self.frames}"
            )
        end = End(frames=self.frames, chunks=self.chunks, n_samples=n_samples, check=self._check)
        self._write(blocks.pack_end(end))
        self._closed = True
        return end

    def _check_shapes(self, chunk: Chunk) -> None:
        most = chunk.n_q.max(1, initial=0).tolist()
        if len(most) != len(chunk.codes) or chunk.n_q.shape[1] != chunk.frames:
            raise ValueError(f"n_q of shape {chunk.n_q.shape}, not ({len(chunk.codes)}, {chunk.frames})")
        for n_q, codes in zip(most, chunk.codes, strict=True):
            if codes.ndim != 2 or len(codes) < n_q or codes.shape[1] != chunk.frames:
                raise ValueError(f"codes of shape {codes.shape}, not ({n_q}, {chunk.frames})")

    def _check_numbers(self, chunk: RawChunk) -> None:
        allocation, coded = chunk.allocation, self.header.coded_channels
        if self._closed:
            raise ValueError("the writer was closed")
        if len(allocation.weights) != coded or not all(0 <= w <= MAX_WEIGHT for w in allocation.weights):
            raise ValueError(f"weights {allocation.weights} of {coded} coded channels")
        if allocation.demand is not None:
            lengths = [len(row) for row in allocation.demand]
            if lengths != [chunk.frames if weight else 0 for weight in allocation.weights]:
                raise ValueError(f"demands of {lengths} frames, not {chunk.frames}")
            if max((max(row, default=0) for row in allocation.demand), default=0) > MAX_DEMAND:
                raise ValueError(f"a demand is over {MAX_DEMAND}")
        if chunk.start_frame != self.frames:
            raise ValueError(f"chunk starts at frame {chunk.start_frame}, not {self.frames}")
        if chunk.angle != MID_SIDE_ANGLE and self.header.coding != "mid-side":
            raise ValueError(f"angle {chunk.angle} with {self.header.coding} coding")
        problem = chunks.chunk_problem(self.header, chunk)
        if problem:
            raise FormatError(f"chunk: {problem}")

    def _put(self, chunk: RawChunk) -> None:
        data = chunks.pack_chunk(self.header, chunk)
        if len(data) > MAX_BLOCK:
            raise FormatError(f"chunk: {len(data)} bytes are over {MAX_BLOCK}")
        self._write(data)
        self.frames += chunk.frames
        self.chunks += 1
        self.payload_bytes += len(chunk.payload)

    def _write(self, data: bytes) -> None:
        # The checksums alone go into the running check: run over data *and* their checksums, a CRC depends on
        # nothing but the lengths.
        self._check = zlib.crc32(data[-CRC.size :], self._check)
        self.total_bytes += len(data)
        view = memoryview(data)
        while view:
            view = view[self._fileobj.write(view) or 0 :]  # type: ignore[arg-type]
