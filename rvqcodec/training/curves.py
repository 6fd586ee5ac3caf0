"""The curves of a run: its log.jsonl and figures.jsonl as one picture (matplotlib)."""

import json
from pathlib import Path
from typing import Any

from rvqcodec import files
from rvqcodec.errors import RvqError
from rvqcodec.report.plot import new_figure, save
from rvqcodec.texts import printable
from rvqcodec.training.loop import LOG

PANELS = (
    ("mel", "mel loss"),
    ("waveform", "waveform loss"),
    ("spectrum", "spectrum loss"),
    ("energy", "energy loss"),
    ("commitment", "commitment"),
    ("judge", "discriminators' loss"),
    ("adversarial", "adversarial loss"),
    ("matching", "feature matching"),
    ("gradient", "norm of the gradient"),
    ("rate", "learning rate, share of its peak"),
)


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a log.jsonl by step. A run that went on from an older checkpoint wrote steps twice: the later count.

    RvqError when there is no log, or none with rows.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise RvqError(f"{path}: no log of a run ({error.strerror}); give the folder that --out named") from error
    rows: list[dict[str, float]] = []
    for line in lines:
        try:
            row: Any = json.loads(line)
            step = row["step"]
        except (ValueError, KeyError, TypeError):
            continue  # a line that was cut off when the machine went down
        while rows and rows[-1]["step"] >= step:
            rows.pop()
        rows.append(row)
    if not rows:
        raise RvqError(f"{path}: no rows yet; rows come every few dozen steps (--set log_every=N)")
    return rows


def draw(run: Path, target: Path) -> None:
    """Draw all curves of the run in folder `run` into an image; its ending says which kind. An old one is replaced."""
    rows = read_log(run / LOG)
    shown = [(name, label) for name, label in PANELS if any(name in row for row in rows)]
    columns = 3
    lines = -(-len(shown) // columns)
    figure = new_figure(4.5 * columns, 3.0 * lines)
    for i, (name, label) in enumerate(shown):
        axes = figure.add_subplot(lines, columns, i + 1)
        points = [(row["step"], row[name]) for row in rows if name in row]
        axes.plot([step for step, _ in points], [value for _, value in points], linewidth=1)
        axes.set_xlabel("step")
        axes.set_title(label, fontsize=10)
        axes.grid(alpha=0.3)
        if name in ("gradient", "commitment"):
            axes.set_yscale("log")
    figure.suptitle(f"{printable(run.resolve().name)}: {rows[-1]['step']} steps", parse_math=False)
    try:
        with files.replacing(target, force=True) as sink:
            save(figure, sink, dpi=110, kind=target.suffix[1:])
    except ValueError as error:
        raise RvqError(f"{target}: {error}; end the name in .png, .svg or .pdf") from error
