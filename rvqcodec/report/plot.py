"""Pictures: spectrograms of two recordings and their difference; quality against bitrate (matplotlib)."""

import importlib.util
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rvqcodec.errors import RvqError
from rvqcodec.report.run import Run, Summary, groups_of, is_ours, summarize
from rvqcodec.types import Samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WINDOW = 2048
COLUMNS = 1200  # of a spectrogram: about what a screen shows
QUIETEST = -110.0  # dB of full scale at the dark end
DIFFERENCE = 30.0  # dB at both ends of the difference's scale
PANELS = (
    ("mel", "all", "mel distance (lower is better)"),
    ("visqol", "all", "ViSQOL (higher is better)"),
    ("stoi", "speech", "STOI, speech (higher is better)"),
    ("pesq", "speech", "PESQ wide band, speech (higher is better)"),
)
OURS = ("#c2255c", "#0b7285", "#862e9c")  # of our models, in a run of several
COLOURS = {"opus": "#1971c2", "mp3": "#e8890c", "codec2": "#2b8a3e", "speex": "#7048a8"}
MARKERS = {"rvq": "o", "opus": "s", "mp3": "^", "codec2": "D", "speex": "v"}


def require_matplotlib() -> None:
    """Raise RvqError, which says how to install it, where matplotlib is missing; costs no import."""
    if importlib.util.find_spec("matplotlib") is None:
        raise RvqError("plots need matplotlib: pip install 'rvqcodec[plot]'")


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure in inches, without a screen."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: "Figure", target: Path | BinaryIO, *, dpi: int, kind: str = "png") -> None:
    """Write a figure; characters that no font here has become boxes, without a word on stderr. ValueError: no kind."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(target, dpi=dpi, format=kind)


def levels(samples: Samples) -> NDArray[np.float32]:
    """Spectrogram in dB of full scale, [WINDOW // 2 + 1, columns], of samples [n] or [C, n] (mean power)."""
    channels = np.atleast_2d(samples)
    length = channels.shape[1]
    columns = max(1, min(COLUMNS, length // (WINDOW // 8)))
    starts = np.linspace(-WINDOW // 2, length - WINDOW // 2, columns).round().astype(np.int64)
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    power = np.zeros((columns, WINDOW // 2 + 1), np.float64)
    for channel in channels:
        padded = np.pad(channel, WINDOW)
        frames = padded[starts[:, None] + WINDOW + np.arange(WINDOW)]
        power += np.square(np.abs(np.fft.rfft(frames * window, axis=1)) * 2.0 / window.sum())
    return np.asarray(10.0 * np.log10(power.T / len(channels) + 1e-14), np.float32)


def draw_spectrogram(axes: "Axes", decibel: NDArray[np.float32], seconds: float, sample_rate: int) -> Any:
    """One spectrogram with its axes in kHz and seconds; gives the image for a colour bar."""
    image = axes.imshow(
        decibel,
        origin="lower",
        aspect="auto",
        extent=(0.0, seconds, 0.0, sample_rate / 2000),
        vmin=QUIETEST,
        vmax=-10.0,
        cmap="magma",
        interpolation="antialiased",
    )
    axes.set_ylabel("kHz")
    return image


def comparison_plot(
    reference: Samples,
    other: Samples,
    sample_rate: int,
    target: Path | BinaryIO,
    *,
    names: tuple[str, str] = ("reference", "other"),
) -> None:
    """Both spectrograms and their difference as a PNG; samples [C, n] of equal length, aligned."""
    figure = new_figure(11, 9)
    upper, middle, lower = figure.subplots(3, 1, sharex=True, sharey=True)
    seconds = reference.shape[-1] / sample_rate
    a, b = levels(reference), levels(other)
    for axes, decibel, name in ((upper, a, names[0]), (middle, b, names[1])):
        image = draw_spectrogram(axes, decibel, seconds, sample_rate)
        axes.set_title(name, loc="left", parse_math=False)
    figure.colorbar(image, ax=[upper, middle], label="dB of full scale", pad=0.01)
    # Below the quietest level shown nothing is to be told apart.
    change = np.maximum(b, QUIETEST) - np.maximum(a, QUIETEST)
    image = lower.imshow(
        change,
        origin="lower",
        aspect="auto",
        extent=(0.0, seconds, 0.0, sample_rate / 2000),
        vmin=-DIFFERENCE,
        vmax=DIFFERENCE,
        cmap="RdBu_r",
        interpolation="antialiased",
    )
    lower.set_title("difference: red where the second is louder, blue where it lost", loc="left")
    lower.set_ylabel("kHz")
    lower.set_xlabel("seconds")
    figure.colorbar(image, ax=lower, label="dB", pad=0.01, extend="both")
    save(figure, target, dpi=110)


def spectrogram_png(samples: Samples, sample_rate: int, target: BinaryIO) -> None:
    """A small spectrogram with axes, for a page."""
    figure = new_figure(5.2, 1.9)
    axes = figure.subplots()
    draw_spectrogram(axes, levels(samples), samples.shape[-1] / sample_rate, sample_rate)
    axes.set_xlabel("seconds", fontsize=8)
    axes.yaxis.label.set_fontsize(8)
    axes.tick_params(labelsize=8)
    save(figure, target, dpi=100)


def quality_plot(run: Run, target: Path | BinaryIO) -> None:
    """Quality against true kbps with a line per codec, as a PNG; only figures that the run has."""
    groups = groups_of(run)
    panels = []
    for name, group, title in PANELS:
        clips = groups.get(group) or (next(iter(groups.values())) if group == "all" and groups else [])
        lines = [line for line in summarize(run, clips) if line.figures.get(name) is not None]
        if lines:
            panels.append((name, title, lines))
    if not panels:
        raise RvqError("the run holds no figures to plot")
    rows = (len(panels) + 1) // 2
    figure = new_figure(11 if len(panels) > 1 else 6, 4.2 * rows)
    cells = figure.subplots(rows, 2 if len(panels) > 1 else 1, squeeze=False).flatten()
    for axes, (name, title, lines) in zip(cells, panels, strict=False):
        _draw_curves(axes, name, lines)
        axes.set_title(title, loc="left", fontsize=11)
    for axes in cells[len(panels) :]:
        axes.set_visible(False)
    handles, labels = cells[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    save(figure, target, dpi=110)


def _draw_curves(axes: "Axes", name: str, lines: list[Summary]) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    ours = list(dict.fromkeys(line.family for line in lines if is_ours(line.family)))
    for family in dict.fromkeys(line.family for line in lines):
        own = [line for line in lines if line.family == family]
        points = sorted((line.bits_per_second / 1000, line.figures[name] or 0.0) for line in own)
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            marker=MARKERS.get(family, "o"),
            color=OURS[ours.index(family) % len(OURS)] if family in ours else COLOURS.get(family, "#495057"),
            linewidth=2.6 if family in ours else 1.6,
            zorder=3 if family in ours else 2,
            label=family,
        )
    ticks = [1.5, 3, 6, 12, 24, 32]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("true kbps, container counted")
    axes.grid(True, color="#dee2e6", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
