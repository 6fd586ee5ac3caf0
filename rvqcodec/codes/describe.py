"""Describes a file: what its header says and what its chunks measure; no network, no weights."""

from dataclasses import dataclass
from typing import Any

from rvqcodec.container import Damage, Header, RawChunk, Reader
from rvqcodec.container.allocation import n_q_rows
from rvqcodec.container.headerbytes import VERSION
from rvqcodec.container.source import Readable
from rvqcodec.speakers import name as layout_name


@dataclass(frozen=True)
class Codebooks:
    """How many codes the frames of a coded channel have: least, mean, most."""

    least: int
    mean: float
    most: int


@dataclass(frozen=True)
class Description:
    """What `describe` found.

    `n_samples`: samples per channel at the sample rate. `frames` counts those that the file should have,
    damaged ones too; `n_chunks` the good chunks. `chunks` lists these, without payload, if that was asked
    for.
    """

    header: Header
    n_samples: int
    frames: int
    n_chunks: int
    codebooks: tuple[Codebooks, ...]
    payload_bytes: int
    total_bytes: int
    damage: tuple[Damage, ...]
    chunks: tuple[RawChunk, ...] = ()

    @property
    def seconds(self) -> float:
        return self.n_samples / self.header.sample_rate

    @property
    def frame_rate(self) -> float:
        return self.header.facts.frame_rate

    @property
    def nominal_bitrate(self) -> float:
        """Bits per second that payloads are filled up to, or take when every frame has all codebooks of the header."""
        return self.header.budget or float(self.header.total_n_q * self.header.facts.codebook_rate)

    @property
    def payload_bitrate(self) -> float:
        """True bits per second of codes alone, over the length of the audio; 0 for none."""
        return self.payload_bytes * 8 / self.seconds if self.n_samples else 0.0

    @property
    def total_bitrate(self) -> float:
        """True bits per second of the file, header and framing included; 0 for no audio."""
        return self.total_bytes * 8 / self.seconds if self.n_samples else 0.0

    @property
    def ratio(self) -> float:
        """How many times smaller the file is than 16-bit PCM of the same audio."""
        return self.n_samples * self.header.channels * 2 / self.total_bytes


def describe(fileobj: Readable, *, list_chunks: bool = False) -> Description:
    """Reads all of a file, damage or not. Raises FormatError when the header is no use."""
    reader = Reader(fileobj, salvage=True)
    channels = range(reader.header.coded_channels)
    least, most, sums = [255 for _ in channels], [0 for _ in channels], [0 for _ in channels]
    frames = 0
    chunks: list[RawChunk] = []
    damage: list[Damage] = []
    for item in reader.raw():
        if isinstance(item, Damage):
            damage.append(item)
            continue
        frames += item.frames
        for c, row in enumerate(n_q_rows(reader.header.limits, item.allocation, item.frames)):
            least[c] = min(least[c], min(row))
            most[c] = max(most[c], max(row))
            sums[c] += sum(row)
        if list_chunks:
            chunks.append(item.without_payload())
    return Description(
        header=reader.header,
        n_samples=reader.n_samples or 0,
        frames=reader.frames,
        n_chunks=reader.chunks,
        codebooks=tuple(
            Codebooks(least[c], sums[c] / frames, most[c]) if frames else Codebooks(0, 0.0, 0) for c in channels
        ),
        payload_bytes=reader.payload_bytes,
        total_bytes=reader.total_bytes,
        damage=tuple(damage),
        chunks=tuple(chunks),
    )


def as_dict(description: Description) -> dict[str, Any]:
    """A description as plain values for JSON."""
    d, h = description, description.header
    result: dict[str, Any] = {
        "format_version": VERSION,
        "model": h.model_id,
        "weights_hash": h.weights_hash.hex(),
        "sample_rate": h.sample_rate,
        "channels": h.channels,
        "channel_layout": layout_name(h.layout, h.channels),
        "channel_mask": h.layout,
        "channel_coding": h.coding,
        "n_samples": d.n_samples,
        "duration": d.seconds,
        "length_in_header": h.n_samples is not None,
        "model_rate": h.model_rate,
        "hop": h.hop,
        "pre_skip": h.pre_skip,
        "first_frame": h.first_frame,
        "frames": d.frames,
        "codec": h.codec,
        "tables": h.tables.hex(),
        "budget": h.budget,
        "code_bits": h.code_bits,
        "codebooks": h.total_n_q,
        "codebooks_first": [first for first, _ in h.limits],
        "codebooks_most": [most for _, most in h.limits],
        "codebooks_per_channel": [{"least": x.least, "mean": x.mean, "most": x.most} for x in d.codebooks],
        "nominal_bitrate": d.nominal_bitrate,
        "payload_bitrate": d.payload_bitrate,
        "total_bitrate": d.total_bitrate,
        "payload_bytes": d.payload_bytes,
        "total_bytes": d.total_bytes,
        "ratio_to_pcm16": d.ratio,
        "chunks": d.n_chunks,
        "frames_per_chunk": h.frames_per_chunk,
        "tags": [{"key": key, "value": value} for key, value in h.tags],
        "damage": [
            {"position": x.position, "reason": x.reason, "start_frame": x.start_frame, "frames": x.frames}
            for x in d.damage
        ],
    }
    if d.chunks:
        result["chunk_list"] = [
            {
                "position": x.position,
                "bytes": x.size,
                "start_frame": x.start_frame,
                "frames": x.frames,
                "codes": x.allocation.total,
                "constant": x.allocation.demand is None,
                "part": x.allocation.part,
                "weights": list(x.allocation.weights),
                "angle": x.angle,
                "begins": x.begins,
            }
            for x in d.chunks
        ]
    return result
