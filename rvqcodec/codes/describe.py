"""Describes a file: what its header says and what its chunks measure; no network, no weights."""

from dataclasses import dataclass
from typing import Any

from rvqcodec.codes.bitrate import format_kbps
from rvqcodec.container import Damage, Header, Reader
from rvqcodec.container.blocks import RawChunk
from rvqcodec.container.header import VERSION
from rvqcodec.container.source import Readable


@dataclass(frozen=True)
class Codebooks:
    """How many codebooks of a coded channel are in use: least, mean over the frames, most."""

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
        """Bits per second of the payload when every frame has all codebooks that the header allows."""
        return float(self.header.total_n_q * self.header.facts.codebook_rate)

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
        for c in channels:
            least[c] = min(least[c], item.n_q[c])
            most[c] = max(most[c], item.n_q[c])
            sums[c] += item.n_q[c] * item.frames
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
        "channel_coding": h.coding,
        "n_samples": d.n_samples,
        "duration": d.seconds,
        "length_in_header": h.n_samples is not None,
        "model_rate": h.model_rate,
        "hop": h.hop,
        "pre_skip": h.pre_skip,
        "first_frame": h.first_frame,
        "frames": d.frames,
        "code_bits": h.code_bits,
        "codebooks": h.total_n_q,
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
                "codebooks": list(x.n_q),
                "balance": x.balance,
            }
            for x in d.chunks
        ]
    return result


def as_text(description: Description) -> list[str]:
    """A description as lines for people, control characters escaped."""
    d, h = description, description.header
    longest = f"{h.frames_per_chunk} frames, {h.seconds(h.frames_per_chunk):.2f} s"
    channels = {"mono": "mono", "mid-side": "stereo (mid and side)"}.get(h.coding, f"{h.channels} channels")
    rows = [
        ("model", f"{h.model_id}, weights {h.weights_hash.hex()}"),
        ("audio", f"{clock(d.seconds)} ({d.n_samples:,} samples), {h.sample_rate:,} Hz, {channels}"),
        ("codebooks", f"{h.total_n_q} of {h.code_bits} bits, {d.frame_rate:g} frames/s: {_shares(d)}"),
        ("bitrate", f"{format_kbps(d.payload_bitrate)} codes, {format_kbps(d.total_bitrate)} in all"
                    f" ({_overhead(d):.2f} % of it container)"),
        ("size", f"{d.total_bytes:,} bytes, 1/{d.ratio:.0f} of 16-bit PCM"),
        ("chunks", f"{d.n_chunks:,} of up to {longest}"),
    ]  # fmt: skip
    if not d.n_samples:
        rows[3] = ("bitrate", f"{format_kbps(d.nominal_bitrate)} at most; there is no audio")
        rows[4] = ("size", f"{d.total_bytes:,} bytes")
    if h.first_frame:
        rows.append(("part", f"of a longer recording, from its frame {h.first_frame:,} on"))
    rows += [("tag", f"{key}={value}") for key, value in h.tags]
    for x in d.chunks:
        shares = "+".join(map(str, x.n_q))
        level = f", balance {x.balance} dB" if h.coding == "mid-side" else ""
        span = f"frames {x.start_frame:,} to {x.start_frame + x.frames - 1:,}"
        rows.append(("chunk", f"at byte {x.position:,}: {span}, {shares} codebooks{level}, {x.size:,} bytes"))
    rows += [("damage", damage_line(h, x)) for x in d.damage]
    return [f"  {name:<10} {printable(text)}" for name, text in rows]


def damage_line(header: Header, damage: Damage) -> str:
    """What is damaged and how much is lost, in one line."""
    lost = "nothing lost"
    if damage.frames:
        start, length = header.seconds(damage.start_frame), header.seconds(damage.frames)
        lost = f"{length:.2f} s lost from {clock(start)}"
    return f"at byte {damage.position:,}: {damage.reason}; {lost}"


def clock(seconds: float) -> str:
    """3723.5 -> "1:02:03.500"."""
    milli = round(seconds * 1000)
    hours, minutes, rest = milli // 3600000, milli // 60000 % 60, milli % 60000 / 1000
    return f"{hours}:{minutes:02d}:{rest:06.3f}" if hours else f"{minutes}:{rest:06.3f}"


def printable(text: str) -> str:
    """Text that cannot move a terminal's cursor or turn its writing around: such characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _shares(d: Description) -> str:
    names = {"mono": ("mono",), "mid-side": ("mid", "side")}.get(
        d.header.coding, tuple(f"channel {c + 1}" for c in range(d.header.channels))
    )
    parts = []
    for name, x in zip(names, d.codebooks, strict=True):
        parts.append(f"{name} {x.least}" if x.least == x.most else f"{name} {x.least} to {x.most} (mean {x.mean:.1f})")
    return ", ".join(parts)


def _overhead(d: Description) -> float:
    return 100 * (d.total_bytes - d.payload_bytes) / d.total_bytes
