"""Files described as text for people: lengths, descriptions, damage."""

from typing import TYPE_CHECKING

from rvqcodec.codes.bitrate import format_kbps
from rvqcodec.codes.describe import Description
from rvqcodec.container import Damage, Header
from rvqcodec.container.allocation import n_q_rows
from rvqcodec.speakers import name as layout_name
from rvqcodec.texts import printable

if TYPE_CHECKING:
    from rvqcodec.codec import DecodeReport
    from rvqcodec.codes.grid import Codes


def as_text(description: Description) -> list[str]:
    """A description as lines for people, control characters escaped."""
    d, h = description, description.header
    longest = f"{h.frames_per_chunk} frames, {h.seconds(h.frames_per_chunk):.2f} s"
    layout = layout_name(h.layout, h.channels)
    coded = {"mono": "", "mid-side": " (main and second)"}.get(h.coding, f" ({h.channels} channels)")
    rows = [
        ("model", f"{h.model_id}, weights {h.weights_hash.hex()}"),
        ("audio", f"{clock(d.seconds)} ({d.n_samples:,} samples), {h.sample_rate:,} Hz, {layout}{coded}"),
        ("codebooks", f"{h.total_n_q} of {h.code_bits} bits, {d.frame_rate:g} frames/s: {_shares(d)}"),
        ("coding", _coding(h)),
        ("bitrate", f"{format_kbps(d.payload_bitrate)} codes, {format_kbps(d.total_bitrate)} in all"
                    f" ({_overhead(d):.2f} % of it container)"),
        ("size", f"{d.total_bytes:,} bytes, 1/{d.ratio:.0f} of 16-bit PCM"),
        ("chunks", f"{d.n_chunks:,} of up to {longest}"),
    ]  # fmt: skip
    if not d.n_samples:
        rows[4] = ("bitrate", f"{format_kbps(d.nominal_bitrate)} at most; there is no audio")
        rows[5] = ("size", f"{d.total_bytes:,} bytes")
    if h.first_frame:
        rows.append(("part", f"of a longer recording, from its frame {h.first_frame:,} on"))
    rows += [("tag", f"{key}={value}") for key, value in h.tags]
    for x in d.chunks:
        span = f"frames {x.start_frame:,} to {x.start_frame + x.frames - 1:,}"
        counts = [_range(min(row), max(row)) for row in n_q_rows(h.limits, x.allocation, x.frames)]
        shares, kind = " + ".join(counts), ", part of a longer one" if x.allocation.part else ""
        rows.append(("chunk", f"at byte {x.position:,}: {span}, {shares} codebooks{kind}, {x.size:,} bytes"))
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


def length_of(codes: "Codes") -> str:
    """How long the sound of codes is, as `clock` says it."""
    return clock((codes.header.n_samples or 0) / codes.header.sample_rate)


def cut_line(report: "DecodeReport") -> str:
    """How many samples of a decoded recording were cut at full scale."""
    share = 100 * report.clipped / max(1, report.n_samples * report.channels)
    return f"{report.clipped:,} samples ({share:.2g} %) over full scale were cut, by {report.over:.1f} dB at most"


def _coding(header: Header) -> str:
    if not header.tables:
        return "codes packed as they are"
    filled = f", chunks filled up to {format_kbps(header.budget)}" if header.budget else ""
    return f"codes coded by the model's tables {header.tables.hex()}{filled}"


def _shares(d: Description) -> str:
    names = {"mono": ("mono",), "mid-side": ("main", "second")}.get(
        d.header.coding, tuple(f"channel {c + 1}" for c in range(d.header.channels))
    )
    parts = []
    for name, x in zip(names, d.codebooks, strict=True):
        mean = "" if x.least == x.most else f" (mean {x.mean:.1f})"
        parts.append(f"{name} {_range(x.least, x.most)}{mean}")
    return ", ".join(parts)


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def _overhead(d: Description) -> float:
    return 100 * (d.total_bytes - d.payload_bytes) / d.total_bytes
