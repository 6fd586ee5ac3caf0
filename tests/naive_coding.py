"""A second reader of codec 1, from formats/coding.md and formats/rvq-1.md alone: whole numbers, one code at a time."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

Place = tuple[int, int, int]  # channel, code, frame


def tables(folder: Path) -> dict[str, Any]:
    return {name: x.astype(np.int64) for name, x in load_file(folder / "rvq44-5.tables.safetensors").items()}


def layer(t: dict[str, Any], name: str, x: Any) -> Any:
    sums = x @ t[f"{name}.weight"] + t[f"{name}.bias"]
    return np.array(
        [s >> b if b >= 0 else s << -b for s, b in zip(sums.tolist(), t[f"{name}.bits"].tolist(), strict=True)]
    )


def head(t: dict[str, Any], name: str, x: Any) -> list[int]:
    logits = layer(t, f"{name}.head", x)
    return [int(t["frequencies"][min(4095, int(d))]) for d in logits.max() - logits]


def cut_off(x: Any, least: int) -> Any:
    return np.minimum(np.maximum(x, least), 511)


class Chunk:
    """What is known of a chunk's codes while they come."""

    def __init__(self, t: dict[str, Any], demands: list[list[int]], paired: bool) -> None:
        self.t, self.demands, self.paired = t, demands, paired
        self.known: dict[Place, int] = {}

    def envelope(self, c: int, frame: int, most: int = 4) -> Any:
        found = np.zeros(48, np.int64)
        for k in range(most):
            if (c, k, frame) in self.known:
                found += self.t["entries"][k][self.known[c, k, frame]]
        return found

    def row(self, c: int, frame: int) -> Any:
        if not 0 <= frame < len(self.demands[c]):
            return np.zeros(51, np.int64)
        demand = self.demands[c][frame]
        count = sum((c, k, frame) in self.known for k in range(4))
        seen = cut_off(self.envelope(c, frame) * int(self.t["scale"][0]) >> 24, -511)
        return np.concatenate([seen, [16 * count, 16 * (demand - 12) if demand else 0, 64 if demand else 0]])

    def onset(self, c: int, frame: int) -> bool:
        rise, band = self.t["onset.rule"].tolist()

        def level(half: int) -> float:
            if half < 0:
                return float("inf")
            values = self.envelope(c, half // 2, 2)[24 * (half % 2) :][:24]
            return float(values[band:].sum())

        return any(level(h) - min(level(h - 1), level(h - 2)) > rise for h in (2 * frame, 2 * frame + 1) if h)

    def waveform(self, c: int, k: int, frame: int) -> int:
        """Number of a waveform code; -1 for an onset's."""
        return k - 4 - self.onset(c, frame)

    def frequencies(self, c: int, k: int, frame: int) -> list[int]:
        t = self.t
        if self.paired and c == 1:
            if k:
                return (t["static.second"][k - 1] + 1).tolist()
            return head(t, "second", t["second.seen"][self.known.get((c, 0, frame - 1), -1)])
        if k < 4:
            x = np.concatenate([self.row(c, frame + o) for o in (-2, -1, 0, 1, 2)])
            h = cut_off(layer(t, f"envelope{k}.first", x), 0)
            h = cut_off(layer(t, f"envelope{k}.second", h), 0)
            own, spread = self.envelope(c, frame), int(t[f"envelope{k}.spread"][0])
            far = [cut_off((self.envelope(c, frame + o) - own) * spread >> 24, -511) for o in (-1, 1)]
            return head(t, f"envelope{k}", cut_off(layer(t, f"envelope{k}.last", np.concatenate([h, *far])), 0))
        j = self.waveform(c, k, frame)
        if j < 0:
            return (t["onset"][0] + 1).tolist()
        if j >= 4:
            return (t["static"][j] + 1).tolist()
        before = -1
        if frame and self.demands[c][frame - 1]:
            before = self.known.get((c, 4 + j + self.onset(c, frame - 1), frame - 1), -1)
        return head(t, f"chain{j}", t[f"chain{j}.seen"][before])


def decode(
    t: dict[str, Any], data: bytes, places: list[Place], demands: list[list[int]], paired: bool
) -> dict[Place, int]:
    """The codes of a payload by place."""
    chunk = Chunk(t, demands, paired)
    low, width, bits = 0, 1 << 56, 56
    value = int.from_bytes(data, "big")
    for place in places:
        frequencies = chunk.frequencies(*place)
        step = width // sum(frequencies)
        behind = bits - 8 * len(data)
        where = ((value << behind if behind >= 0 else value >> -behind) - low) // step
        first = code = 0
        while first + frequencies[code] <= where:
            first, code = first + frequencies[code], code + 1
        low, width = low + first * step, frequencies[code] * step
        while width <= 1 << 48:
            low, width, bits = low << 8, width << 8, bits + 8
        chunk.known[place] = code
    assert data == (-(-low >> 48)).to_bytes((bits - 48) // 8, "big")
    return chunk.known
