"""A run as one HTML page: tables, curves, players side by side with spectrograms; needs no network."""

import base64
import io
from collections.abc import Collection, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from rvqcodec.errors import RvqError
from rvqcodec.report.recording import read_recording
from rvqcodec.report.run import (
    BAND_COLUMNS,
    BANDS_EXPLAINED,
    COLUMNS,
    Clip,
    Column,
    Row,
    Run,
    Summary,
    groups_of,
    is_ours,
    shown,
    summarize,
)
from rvqcodec.texts import valid

# The browser itself then refuses anything that is not in the page.
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

ON_CARD = ("mel", "si_sdr", "stoi", "pesq", "visqol")

STYLE = """
:root { color-scheme: light dark; --line: #8884; --ours: #c2255c; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { margin: 2.2rem 0 .6rem; font-size: 1.25rem; }
h3 { margin: 1.2rem 0 .4rem; font-size: 1.05rem; }
.about { color: #888; overflow-wrap: anywhere; } code { font-size: .9em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.ours td { background: var(--soft); } tr.ours td:first-child { color: var(--ours); font-weight: 600; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: .8rem; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: .6rem .7rem; min-width: 0; }
.card.ours { border-color: var(--ours); } .card.reference { border-width: 2px; }
.card b { font-size: 1.05em; } .card small { display: block; color: #888; min-height: 2.9em; }
.card audio { width: 100%; height: 36px; } .card img, .curves { width: 100%; height: auto; display: block; }
.curves { max-width: 1000px; background: white; border-radius: 8px; }
"""

# One player at a time; another player of the same clip goes on where the last one was.
SCRIPT = """
for (const group of document.querySelectorAll('.cards')) {
  const players = [...group.querySelectorAll('audio')];
  for (const player of players) player.addEventListener('play', () => {
    for (const other of document.querySelectorAll('audio')) {
      if (other === player || other.paused) continue;
      other.pause();
      const at = other.currentTime;
      if (players.includes(other) && at < player.duration) player.currentTime = at;
    }
  });
}
"""


def make_page(run: Run, folder: Path, *, title: str, codecs: Collection[str] = ()) -> str:
    """The page as text. `folder` holds the run's audio; `codecs` (names or families) limits what is shown.

    Raises RvqError for audio that is missing or lies elsewhere, and where matplotlib is not installed.
    """
    if codecs:
        unknown = set(codecs) - set(run.codecs) - {row.family for row in run.rows}
        if unknown:
            names = ", ".join(sorted(unknown))
            raise RvqError(f"no codec {names} in the run; it has {', '.join(run.codecs)}")
        chosen = tuple(row for row in run.rows if row.codec in codecs or row.family in codecs)
        run = replace(run, rows=chosen)
    about = f"{escape(run.made)} · {escape(run.machine)}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="about">{about}<br><code>{escape(run.command)}</code></p>',
        *(f'<p class="about">Note: {escape(note)}</p>' for note in run.notes),
        *_figures(run),
        *_players(run, folder),
        f"<script>{SCRIPT}</script></body></html>\n",
    ]
    return valid("\n".join(parts))


def _figures(run: Run) -> list[str]:
    from rvqcodec.report.plot import quality_plot

    parts = ["<h2>Figures</h2>"]
    for group, clips in groups_of(run).items():
        count = "1 clip" if len(clips) == 1 else f"mean of {len(clips)} clips"
        parts.append(f"<h3>{escape(group)} ({count})</h3>")
        lines = summarize(run, clips)
        parts += [_table(lines, COLUMNS), _table(lines, BAND_COLUMNS)]
    parts.append(
        '<p class="about">kbps counts the whole file. Lower is better for mel, STFT and LSD (log-spectral) '
        f"distance; higher for SI-SDR, STOI, PESQ and ViSQOL. {escape(BANDS_EXPLAINED)}.</p>"
    )
    if len(run.codecs) > 1:
        picture = io.BytesIO()
        quality_plot(run, picture)
        image = _data("image/png", picture.getvalue())
        parts.append("<h2>Quality against bitrate</h2>")
        parts.append(f'<img class="curves" alt="Quality against kbps" src="{image}">')
    return parts


def _table(lines: list[Summary], columns: Sequence[Column]) -> str:
    """Empty where no line has a figure of these columns: runs of before have none of bands."""
    columns = [c for c in columns if any(line.figures.get(c.name) is not None for line in lines)]
    if not columns:
        return ""
    head = "".join(f"<th>{escape(text)}</th>" for text in ("codec", "kbps", *(c.heading for c in columns)))
    rows = []
    for line in lines:
        cells = [line.codec, f"{line.bits_per_second / 1000:.2f}"]
        cells += [shown(line.figures.get(c.name), c) for c in columns]
        ours = ' class="ours"' if is_ours(line.family) else ""
        rows.append(f"<tr{ours}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _players(run: Run, folder: Path) -> list[str]:
    clips = [clip for clip in run.clips if clip.audio]
    if not clips:
        hint = "<code>--audio</code> of benchmarks/quality.py keeps some"
        return [f'<p class="about">The run holds no audio: {hint}.</p>']
    parts = ["<h2>Listen</h2><p>A player that is started goes on where the one before it was.</p>"]
    order = {codec: index for index, codec in enumerate(run.codecs)}
    for clip in clips:
        parts.append(f"<h3>{escape(clip.name)} ({escape(clip.kind)})</h3>")
        cards = [_card("reference", "original", _about_clip(clip), clip.audio or "", folder)]
        rows = [row for row in run.rows if row.clip == clip.name and row.audio]
        for row in sorted(rows, key=lambda row: order[row.codec]):
            look = "ours" if is_ours(row.family) else "peer"
            cards.append(_card(look, row.codec, _about_row(row), row.audio or "", folder))
        parts.append(f'<div class="cards">{"".join(cards)}</div>')
    return parts


def _about_clip(clip: Clip) -> str:
    channels = "1 channel" if clip.channels == 1 else f"{clip.channels} channels"
    return f"{clip.sample_rate} Hz, {channels}, {clip.seconds:.1f} s"


def _about_row(row: Row) -> str:
    known = [c for c in COLUMNS if row.figures.get(c.name) is not None]
    figures = [f"{c.heading} {shown(row.figures[c.name], c)}" for c in known if c.name in ON_CARD]
    return " · ".join([f"{row.bits_per_second / 1000:.2f} kbps", *figures])


def _card(look: str, name: str, about: str, audio: str, folder: Path) -> str:
    from rvqcodec.report.plot import spectrogram_png

    path = _inside(folder, audio)
    recording = read_recording(str(path))
    picture = io.BytesIO()
    spectrogram_png(recording.samples, recording.sample_rate, picture)
    kind = "audio/flac" if path.suffix == ".flac" else "audio/wav"
    return (
        f'<div class="card {look}"><b>{escape(name)}</b><small>{escape(about)}</small>'
        f'<audio controls preload="metadata" src="{_data(kind, path.read_bytes())}"></audio>'
        f'<img alt="Spectrogram of {escape(name)}" src="{_data("image/png", picture.getvalue())}"></div>'
    )


def _inside(folder: Path, name: str) -> Path:
    """The audio file that a run names; never one outside the run's own folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or path.suffix not in (".flac", ".wav"):
        raise RvqError(f"{name}: the run names audio that is not a .flac or .wav below its own folder")
    if not path.is_file():
        raise RvqError(f"{path}: missing; keep the folder of audio beside the run")
    return path


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
