"""The `.rvq` file of formats/rvq-1.md, read with nothing but `.read(n)` and written with `.write(b)`.

with open(path, "wb") as f:
    writer = Writer(f, header)
    # codes: uint16 [16, frames]
    writer.write_chunk(Chunk(start_frame=0, frames=128, n_q=(16,), codes=(codes,)))
    writer.close(n_samples)

with open(path, "rb") as f:
    reader = Reader(f)                          # reader.header; FormatError when it is no .rvq file
    for chunk in reader:                        # with salvage=True also Damage records, in order of time
        ...
    reader.end.n_samples
"""

from rvqcodec.container.blocks import Chunk, Damage, End
from rvqcodec.container.facts import ModelFacts
from rvqcodec.container.header import (
    CODINGS,
    FRAMES_PER_CHUNK,
    MAX_CHANNELS,
    MAX_FRAMES_PER_CHUNK,
    MAX_N_Q,
    Header,
)
from rvqcodec.container.reader import Reader
from rvqcodec.container.tags import usable_tags
from rvqcodec.container.writer import Writer

__all__ = [
    "CODINGS",
    "FRAMES_PER_CHUNK",
    "MAX_CHANNELS",
    "MAX_FRAMES_PER_CHUNK",
    "MAX_N_Q",
    "Chunk",
    "Damage",
    "End",
    "Header",
    "ModelFacts",
    "Reader",
    "Writer",
    "usable_tags",
]
