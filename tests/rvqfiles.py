"""Makes small `.rvq` files for the tests: codes from a fixed seed, no network."""

import io
from dataclasses import replace

import numpy as np

from rvqcodec.container import Allocation, Chunk, Header, ModelFacts, Writer
from rvqcodec.container.chunks import MID_SIDE_ANGLE

CHANNELS = {"mono": 1, "mid-side": 2, "discrete": 3}

FACTS = ModelFacts(
    model_id="test-1",
    weights_hash=bytes.fromhex("0123456789abcdef"),
    model_rate=44100,
    hop=1176,
    pre_skip=588,
    code_bits=10,
    max_n_q=32,
    first_n_q=2,
)
HEADER = Header.of(FACTS, sample_rate=44100, channels=1, total_n_q=4, frames_per_chunk=8)


def make_header(coding: str = "mono", **changes: object) -> Header:
    """A header of one of the codings."""
    return replace(HEADER, **{"coding": coding, "channels": CHANNELS[coding], **changes})  # type: ignore[arg-type]


def make_allocation(header: Header, start: int, frames: int, *, seed: int = 1) -> Allocation:
    """What the chunk at a frame says of its codes: demands that move, a silent channel or a constant one at times.

    The same for every total_n_q, but for the total.
    """
    rng = np.random.default_rng([seed, start])
    channels = header.coded_channels
    weights = rng.integers(1, 256, channels)
    if channels > 1 and rng.random() < 0.3:
        weights[rng.integers(channels)] = 0
    moves = np.cumsum(rng.integers(-1, 2, (channels, frames)), 1) + rng.integers(1, 16, (channels, 1))
    rows = tuple(
        row.tobytes() if w else b"" for row, w in zip(moves.clip(0, 15).astype(np.uint8), weights, strict=True)
    )
    wanted = Allocation(total=0, weights=tuple(weights.tolist()), demand=None if rng.random() < 0.2 else rows)
    return replace(wanted, total=min(header.total_n_q * frames, wanted.capacity(header.limits, frames)))


def make_chunks(header: Header, frames: int, *, seed: int = 1, constant: bool = False) -> list[Chunk]:
    """Chunks of random codes, shared out by demands that move; `constant`: the same number everywhere."""
    rng = np.random.default_rng(seed)
    chunks = []
    for start in range(0, frames, header.frames_per_chunk):
        count = min(header.frames_per_chunk, frames - start)
        allocation = make_allocation(header, start, count, seed=seed)
        if constant:
            each = header.total_n_q // header.channels
            allocation = Allocation(total=each * header.channels * count, weights=(1,) * header.channels)
        most = max(most for _, most in header.limits)
        codes = rng.integers(0, 1 << header.code_bits, (header.coded_channels, most, count)).astype(np.uint16)
        angle = start % 64 if header.coding == "mid-side" else MID_SIDE_ANGLE
        begins = start > 0 and start % 3 == 0  # as where recordings were joined
        chunks.append(Chunk.of(header, start, allocation, list(codes), angle, begins=begins))
    return chunks


def make_file(
    coding: str = "mono",
    frames: int = 20,
    *,
    known: bool = True,
    short: int = 0,
    seed: int = 1,
    constant: bool = False,
    **changes: object,
) -> bytes:
    """A whole file; `short` is how many samples fewer than its frames can hold, `known`: the header
    has the length.
    """
    header = make_header(coding, **changes)
    n_samples = max(0, header.samples_in(frames) - short)
    if known:
        header = replace(header, n_samples=n_samples)
    return write(header, make_chunks(header, frames, seed=seed, constant=constant), n_samples)


def write(header: Header, chunks: list[Chunk], n_samples: int) -> bytes:
    """The bytes of a file."""
    out = io.BytesIO()
    writer = Writer(out, header)
    for chunk in chunks:
        writer.write_chunk(chunk)
    writer.close(n_samples)
    return out.getvalue()
