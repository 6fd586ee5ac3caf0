"""Write the vectors of the token patterns, one JSON file a pattern; never over a file that exists.

    python formats/patterns/make.py [FOLDER]

A changed vector is a changed pattern: formats/patterns.md would need a new name for it.
"""

import json
import sys
from pathlib import Path

import numpy as np

from rvqcodec.codes.tokens import PATTERNS, Layout, interleave

CASES = (  # name, codebooks, coded channels, frames, boundaries
    ("mono", 4, 1, 5, False),
    ("mono with start and end", 4, 1, 5, True),
    ("one codebook", 1, 1, 3, False),
    ("fewer frames than codebooks", 5, 1, 2, False),
    ("no frames", 4, 1, 0, False),
    ("no frames, start and end", 4, 1, 0, True),
    ("mid and side, side with one codebook less and silent in frame 0", 3, 2, 4, False),
    ("16 codebooks", 16, 1, 6, False),
)


def grid(n_q: int, channels: int, frames: int) -> np.ndarray:
    """Codes that say where they come from: 1 to 9 hundreds for the row, tens and ones for the frame."""
    row, frame = np.arange(n_q * channels)[:, None], np.arange(frames)[None, :]
    codes = (row % 9 + 1) * 100 + row // 9 * 50 + frame
    if channels == 2:
        codes[n_q:, :1] = 1024
        codes[2 * n_q - 1] = 1024
    return codes


def main(folder: Path) -> int:
    taken = [str(folder / f"{p}.json") for p in PATTERNS if (folder / f"{p}.json").exists()]
    if taken:
        print(f"{', '.join(taken)} exists already: vectors are never changed", file=sys.stderr)
        return 1
    for pattern in PATTERNS:
        cases = []
        for name, n_q, channels, frames, boundaries in CASES:
            layout = Layout(pattern, n_q, channels=channels, codebook_size=1024, boundaries=boundaries)
            codes = grid(n_q, channels, frames)
            cases.append(
                {
                    "name": name,
                    "codebook_size": layout.codebook_size,
                    "n_q": n_q,
                    "channels": channels,
                    "frames": frames,
                    "boundaries": boundaries,
                    "steps": layout.steps(frames),
                    "codes": codes.tolist(),
                    "tokens": interleave(codes, layout).tolist(),
                }
            )
        text = json.dumps({"pattern": pattern, "cases": cases}, indent=1)
        (folder / f"{pattern}.json").write_text(_rows_on_one_line(text) + "\n")
    return 0


def _rows_on_one_line(text: str) -> str:
    """Numbers of a row beside one another, so that a person can read the pattern."""
    lines: list[str] = []
    joining = False
    for line in text.split("\n"):
        bare = line.strip()
        if joining:
            lines[-1] += bare if bare.startswith("]") else bare.replace(",", ", ")
            joining = not bare.startswith("]")
        else:
            lines.append(line)
            joining = bare == "["
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
