"""A run: which codec made what of which clip, as JSON on disk and as mean figures per kind of sound."""

import json
import math
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from rvqcodec import files
from rvqcodec.errors import RvqError
from rvqcodec.report.metrics import figure_name
from rvqcodec.report.metrics.bands import LEVEL_BANDS, RIPPLE_BANDS, Band, band_name
from rvqcodec.types import Samples

SCHEMA = "rvq-run-1"
KINDS = ("speech", "music", "sound")


@dataclass(frozen=True)
class Clip:
    """One recording that was coded; `audio` is a file beside the run, if it was kept."""

    name: str
    kind: str  # "speech", "music", "sound" or "other"
    seconds: float
    sample_rate: int
    channels: int
    sha256: str  # of the 16-bit samples that every codec was given
    audio: str | None = None


@dataclass(frozen=True)
class Row:
    """One clip through one codec; figures by the names of metrics.Measurement."""

    clip: str
    codec: str  # "rvq 6", "opus 12": the family and the kbps asked for
    family: str  # begins with "rvq" where it is one of our models
    asked: float  # bits per second
    encoded_bytes: int
    bits_per_second: float  # of the whole file, its container counted
    figures: dict[str, float | None]
    audio: str | None = None


@dataclass(frozen=True)
class Run:
    """All rows of one run, with what is needed to make it again."""

    command: str
    clips: tuple[Clip, ...]
    rows: tuple[Row, ...]
    made: str = field(default_factory=lambda: datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"))
    machine: str = field(default_factory=lambda: this_machine())
    notes: tuple[str, ...] = ()

    @property
    def codecs(self) -> list[str]:
        """Names in the order of families (ours first, the rest as they came) and bitrates."""
        families = sorted(dict.fromkeys(row.family for row in self.rows), key=lambda name: not is_ours(name))
        asked = {row.codec: (families.index(row.family), row.asked) for row in self.rows}
        return sorted(asked, key=lambda name: asked[name])


def is_ours(family: str) -> bool:
    """Whether a family of codecs is rvq: "rvq", or a model's name where a run holds several."""
    return family.startswith("rvq")


def this_machine() -> str:
    """What this runs on, in a line."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def kind_of(name: str) -> str:
    """Kind of sound by the start of a file's name: speech-, music- or sound-; everything else is "other"."""
    prefix = name.split("-")[0].lower()
    return prefix if prefix in KINDS else "other"


def save_run(run: Run, path: Path) -> None:
    """Write `run` as JSON; it appears whole or not at all."""
    document = {"schema": SCHEMA, **asdict(run)}
    with files.replacing(path, force=True) as file:
        file.write((json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def keep_audio(samples: Samples, sample_rate: int, run: Path, name: str, layout: int | None = None) -> str:
    """Write float32 [C, n] as 16-bit FLAC into the folder beside a run; gives the path from the run on.

    layout: the mask of the loudspeakers (None: the usual one).
    """
    from rvqcodec.audio import open_output

    folder = run.with_suffix(".audio")
    folder.mkdir(exist_ok=True)
    path = folder / f"{name.replace(' ', '-')}.flac"
    with open_output(path, sample_rate, samples.shape[0], layout=layout, n_samples=samples.shape[1]) as output:
        output.write(samples)
    return f"{folder.name}/{path.name}"


def load_run(path: Path) -> Run:
    """Read a run; RvqError says in one line what is wrong with the file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RvqError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise RvqError(f"{path}: not JSON ({error}); give a file made by `rvq roundtrip --out`") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise RvqError(f"{path}: not a run (no schema {SCHEMA}); give a file made by `rvq roundtrip --out`")
    try:
        clips = tuple(Clip(**clip) for clip in document["clips"])
        rows = tuple(Row(**row) for row in document["rows"])
        about = (document["made"], document["machine"], tuple(document["notes"]))
        run = Run(document["command"], clips, rows, *about)
    except (KeyError, TypeError) as error:
        raise RvqError(f"{path}: a damaged run ({error}); make it again") from error
    unknown = {row.clip for row in rows} - {clip.name for clip in clips}
    if unknown:
        names = ", ".join(sorted(unknown))
        raise RvqError(f"{path}: a damaged run (rows of unknown clips: {names}); make it again")
    return run


@dataclass(frozen=True)
class Summary:
    """Means of one codec over the clips of one group."""

    codec: str
    family: str
    clips: int
    bits_per_second: float
    figures: dict[str, float | None]


def groups_of(run: Run) -> dict[str, list[str]]:
    """Clip names by group: speech, other (all but speech) and all, without groups that would only repeat."""
    speech = [clip.name for clip in run.clips if clip.kind == "speech"]
    other = [clip.name for clip in run.clips if clip.kind != "speech"]
    groups = {"speech": speech, "other": other, "all": speech + other}
    if not speech or not other:
        del groups["all"]
    return {name: clips for name, clips in groups.items() if clips}


def summarize(run: Run, clips: Iterable[str]) -> list[Summary]:
    """One line per codec: the mean over those of `clips` that it coded (a figure's None are left out)."""
    wanted = set(clips)
    lines = []
    for codec in run.codecs:
        rows = [row for row in run.rows if row.codec == codec and row.clip in wanted]
        if rows:
            names = dict.fromkeys(name for row in rows for name in row.figures)
            figures = {name: _mean([row.figures.get(name) for row in rows]) for name in names}
            rate = math.fsum(row.bits_per_second for row in rows) / len(rows)
            lines.append(Summary(codec, rows[0].family, len(rows), rate, figures))
    return lines


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


@dataclass(frozen=True)
class Column:
    """How a figure is shown: its heading, decimals, and whether higher is better."""

    name: str
    heading: str
    decimals: int
    higher_is_better: bool | None = None
    scale: float = 1.0


COLUMNS = (
    Column("mel", "mel", 3, False),
    Column("stft", "STFT", 2, False),
    Column("si_sdr", "SI-SDR dB", 1, True),
    Column("log_spectral", "LSD dB", 1, False),
    Column("loudness", "loudness LU", 1),
    Column("highest_kept", "kept kHz", 1, True, 1e-3),
    Column("stoi", "STOI", 3, True),
    Column("pesq", "PESQ", 2, True),
    Column("visqol", "ViSQOL", 2, True),
)


def _of_bands(figure: str, word: str, bands: Sequence[Band]) -> tuple[Column, ...]:
    """A column a band; the word stands over the first of them only, for narrow tables."""
    headings = [f"{word} {band_name(bands[0])}", *map(band_name, bands[1:])]
    return tuple(Column(figure_name(figure, b), h, 1) for b, h in zip(bands, headings, strict=True))


BAND_COLUMNS = (
    *_of_bands("level", "level", LEVEL_BANDS),
    *_of_bands("ripple_change", "ripple", RIPPLE_BANDS),
    Column("image_level", "image dB", 2, False),
    Column("image_coherence", "coherence", 3, False),
)
BANDS_EXPLAINED = (
    "level: change in dB by band in kHz; ripple: dB more than the original's, in kHz; "
    "image, coherence: errors between two channels"
)


def shown(value: float | None, column: Column) -> str:
    """A figure as text; "-" where there is none."""
    return "-" if value is None else f"{value * column.scale:.{column.decimals}f}"


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A plain text table: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [headings, *lines]) for i in range(len(headings))]
    rows = []
    for line in [headings, *lines]:
        right = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        rows.append("  ".join([line[0].ljust(widths[0]), *right]).rstrip())
    return "\n".join(rows)


def markdown(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """The same as a table in Markdown."""
    rule = ["---", *("---:" for _ in headings[1:])]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in [headings, *lines]]
    return "\n".join("| " + " | ".join(line) + " |" for line in [cells[0], rule, *cells[1:]])


def summary_table(
    lines: Sequence[Summary], draw: Callable[..., str] = table, columns: Sequence[Column] = COLUMNS
) -> str:
    """Table of summaries, drawn by `table` or `markdown`; columns without a single figure are left out."""
    columns = [c for c in columns if any(line.figures.get(c.name) is not None for line in lines)]
    cells = []
    for line in lines:
        figures = [shown(line.figures.get(c.name), c) for c in columns]
        cells.append([line.codec, f"{line.bits_per_second / 1000:.2f}", *figures])
    return draw(["codec", "kbps", *(c.heading for c in columns)], cells)


def duel(run: Run, ours: str, theirs: str) -> dict[str, tuple[int, int]]:
    """For each figure with a better end: on how many clips `ours` is better than `theirs`, and of how many."""
    pairs = {(row.clip, row.codec): row.figures for row in run.rows}
    found = {}
    for column in (*COLUMNS, *BAND_COLUMNS):
        if column.higher_is_better is None:
            continue
        wins = []
        for clip in run.clips:
            a, b = (pairs.get((clip.name, codec), {}).get(column.name) for codec in (ours, theirs))
            if a is not None and b is not None:
                wins.append(a > b if column.higher_is_better else a < b)
        if wins:
            found[column.heading] = (sum(wins), len(wins))
    return found
