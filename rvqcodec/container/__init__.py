"""The `.rvq` file of formats/rvq-1.md, read with nothing but `.read(n)` and written with `.write(b)`.

with open(path, "wb") as f:
    writer = Writer(f, header)
    # codes: uint16 [K, 128], demand: bytes [128]; 16 codes a frame in the mean
    allocation = Allocation(total=16 * 128, weights=(1,), demand=(demand,))
    writer.write_chunk(Chunk.of(header, 0, allocation, [codes]))
    writer.close(n_samples)

with open(path, "rb") as f:
    reader = Reader(f)                          # reader.header; FormatError when it is no .rvq file
    for chunk in reader:                        # with salvage=True also Damage records, in order of time
        ...
    reader.end.n_samples
"""

from rvqcodec.container.allocation import Allocation
from rvqcodec.container.blocks import Damage, End
from rvqcodec.container.chunks import Chunk, RawChunk
from rvqcodec.container.facts import ModelFacts
from rvqcodec.container.header import CODINGS, FRAMES_PER_CHUNK, MAX_CHANNELS, MAX_FRAMES_PER_CHUNK, MAX_N_Q, Header
from rvqcodec.container.reader import Reader
from rvqcodec.container.tags import usable_tags
from rvqcodec.container.writer import Writer

__all__ = [
    "CODINGS",
    "FRAMES_PER_CHUNK",
    "MAX_CHANNELS",
    "MAX_FRAMES_PER_CHUNK",
    "MAX_N_Q",
    "Allocation",
    "Chunk",
    "Damage",
    "End",
    "Header",
    "ModelFacts",
    "RawChunk",
    "Reader",
    "Writer",
    "usable_tags",
]
