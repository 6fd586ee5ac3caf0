"""Makes small `.rvq` files for the tests: codes from a fixed seed, no network."""

import io
from dataclasses import replace

import numpy as np

from rvqcodec.container import MAX_N_Q, Chunk, Header, ModelFacts, Writer, sharing

CHANNELS = {"mono": 1, "mid-side": 2, "discrete": 3}

FACTS = ModelFacts(
    model_id="test-1",
    weights_hash=bytes.fromhex("0123456789abcdef"),
    model_rate=44100,
    hop=1176,
    pre_skip=588,
    code_bits=10,
    max_n_q=MAX_N_Q,
)
HEADER = Header.of(FACTS, sample_rate=44100, channels=1, total_n_q=4, frames_per_chunk=8)


def make_header(coding: str = "mono", **changes: object) -> Header:
    """A header of one of the codings."""
    return replace(HEADER, **{"coding": coding, "channels": CHANNELS[coding], **changes})  # type: ignore[arg-type]


def make_chunks(header: Header, frames: int, *, seed: int = 1) -> list[Chunk]:
    """Chunks of random codes: as an encoder shares codebooks, with a balance that moves."""
    rng = np.random.default_rng(seed)
    chunks = []
    for start in range(0, frames, header.frames_per_chunk):
        count = min(header.frames_per_chunk, frames - start)
        balance = (start * 5) % 31 - 9 if header.coding == "mid-side" else 0
        n_q = sharing.shares(header.coding, header.total_n_q, header.channels, balance)
        codes = tuple(rng.integers(0, 1 << header.code_bits, (k, count)).astype(np.uint16) for k in n_q)
        chunks.append(Chunk(start_frame=start, frames=count, n_q=n_q, balance=balance, codes=codes))
    return chunks


def make_file(
    coding: str = "mono",
    frames: int = 20,
    *,
    known: bool = True,
    short: int = 0,
    seed: int = 1,
    **changes: object,
) -> bytes:
    """A whole file; `short` is how many samples fewer than its frames can hold, `known`: the header
    has the length.
    """
    header = make_header(coding, **changes)
    n_samples = max(0, header.samples_in(frames) - short)
    if known:
        header = replace(header, n_samples=n_samples)
    return write(header, make_chunks(header, frames, seed=seed), n_samples)


def write(header: Header, chunks: list[Chunk], n_samples: int) -> bytes:
    """The bytes of a file."""
    out = io.BytesIO()
    writer = Writer(out, header)
    for chunk in chunks:
        writer.write_chunk(chunk)
    writer.close(n_samples)
    return out.getvalue()
