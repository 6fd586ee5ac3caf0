"""Writes a file from front to back, never seeking; whatever it writes, `Reader` accepts."""

import zlib
from typing import Protocol

from rvqcodec.container import blocks
from rvqcodec.container.blocks import CRC, Chunk, End, RawChunk
from rvqcodec.container.header import MAX_SAMPLES, Header, pack_header
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
        for n_q, codes in zip(chunk.n_q, chunk.codes, strict=True):
            if tuple(codes.shape) != (n_q, chunk.frames):
                raise ValueError(f"codes of shape {codes.shape}, not ({n_q}, {chunk.frames})")
        payload = blocks.pack_codes(self.header, chunk.codes, chunk.n_q, chunk.frames)
        self._put(chunk.start_frame, chunk.frames, chunk.n_q, chunk.balance, payload)

    def write_raw(self, chunk: RawChunk) -> None:
        """Writes a chunk that a reader did not unpack."""
        wanted = PAYLOADS[self.header.codec].size(blocks.shape_of(self.header, chunk.n_q, chunk.frames))
        if wanted is not None and len(chunk.payload) != wanted:
            raise ValueError(f"payload of {len(chunk.payload)} bytes")
        self._put(chunk.start_frame, chunk.frames, chunk.n_q, chunk.balance, chunk.payload)

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

    def _put(self, start_frame: int, frames: int, n_q: tuple[int, ...], balance: int, payload: bytes) -> None:
        if self._closed:
            raise ValueError("the writer was closed")
        if len(n_q) != self.header.coded_channels:
            raise ValueError(f"{len(n_q)} coded channels, not {self.header.coded_channels}")
        if start_frame != self.frames:
            raise ValueError(f"chunk starts at frame {start_frame}, not {self.frames}")
        if not -128 <= balance <= 127 or (balance and self.header.coding != "mid-side"):
            raise ValueError(f"balance {balance}")
        problem = blocks.chunk_problem(self.header, start_frame, frames, n_q)
        if problem:
            raise FormatError(f"chunk: {problem}")
        data = blocks.pack_chunk(self.header, start_frame, frames, n_q, balance, payload)
        if len(data) > blocks.MAX_BLOCK:
            raise FormatError(f"chunk: {len(data)} bytes are over {blocks.MAX_BLOCK}")
        self._write(data)
        self.frames += frames
        self.chunks += 1
        self.payload_bytes += len(payload)

    def _write(self, data: bytes) -> None:
        # The checksums alone go into the running check: run over data *and* their checksums, a CRC depends on
        # nothing but the lengths.
        self._check = zlib.crc32(data[-CRC.size :], self._check)
        self.total_bytes += len(data)
        view = memoryview(data)
        while view:
            view = view[self._fileobj.write(view) or 0 :]  # type: ignore[arg-type]
