"""`rvq compare`: how far one recording is from another, in figures and as a picture."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rvqcodec.cli import options, streams
from rvqcodec.cli.errors import Batch, guarded
from rvqcodec.cli.names import check_target, result_name
from rvqcodec.texts import printable

if TYPE_CHECKING:
    from rvqcodec.report.metrics import Measurement
    from rvqcodec.report.recording import Sound

JUDGED_SECONDS = 60.0  # PESQ, STOI and ViSQOL are made for clips, and ViSQOL takes seconds per second


@click.command()
@click.argument("reference")
@click.argument("other")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option(
    "--plot", type=click.Path(dir_okay=False), metavar="PNG", help="Draw both spectrograms and their difference."
)
@click.option("--fast", is_flag=True, help="Leave out PESQ, STOI and ViSQOL.")
@options.device("Where an .rvq file is decoded")
@click.option("-f", "--force", is_flag=True, help="Overwrite a picture that exists.")
@guarded
def compare(
    reference: str,
    other: str,
    as_json: bool,
    plot: str | None,
    fast: bool,
    device: str,
    force: bool,
) -> None:
    """Measure how far OTHER is from REFERENCE.

    Either may be an audio file, an .rvq file (decoded on the way), or - for stdin. Delays up to 100 ms are
    found, told and taken out. PESQ, STOI and ViSQOL (clips up to 60 s) need: pip install 'rvqcodec[metrics]'.
    """
    if reference == other == streams.STREAM:
        raise click.UsageError("only one of REFERENCE and OTHER can be - (stdin)")
    if plot is not None:
        from rvqcodec.report.plot import require_matplotlib

        if result_name(plot) == streams.STREAM:
            raise click.UsageError("--plot: stdout is for the figures; name a file")
        check_target(plot, reference, other, force=force)
        require_matplotlib()
    from rvqcodec.report.metrics import measure
    from rvqcodec.report.recording import make_alike, read_recording

    sources = [read_recording(name, device=device) for name in (reference, other)]
    batch = Batch()
    for loss in (line for source in sources for line in source.losses):
        batch.fail(loss)
    a, b, notes = make_alike(*sources)
    seconds = min(a.seconds, b.seconds)
    names, absent = judged_metrics(seconds, fast=fast)
    if "visqol" in names and sys.stderr is not None and sys.stderr.isatty():
        streams.say("ViSQOL takes about a second per second of audio; --fast leaves it out")
    found = measure(a.samples, b.samples, a.sample_rate, perceptual_metrics=names)
    if plot:
        draw(plot, a, b, found)
    if as_json:
        recordings = dict(zip(("reference", "other"), map(_about, sources), strict=True))
        streams.show_json({**recordings, "figures": found.to_dict(), "notes": notes}, indent=2)
        batch.finish()
        return
    for label, source in zip(("reference", "other"), sources, strict=True):
        streams.show(f"{label:<12}{_line(source)}")
    streams.show(*(f"{'note':<12}{note}" for note in notes), "")
    streams.show(*(f"{label:<26}{value}" for label, value in lines(found, absent)))
    batch.finish()


def judged_metrics(seconds: float, *, fast: bool, visqol: bool = True) -> tuple[list[str], dict[str, str]]:
    """Which of STOI, PESQ and ViSQOL to take, and for each of the others why not."""
    from rvqcodec.report.metrics import INSTALL, PERCEPTUAL, missing

    absent = {}
    for name in PERCEPTUAL:
        if fast or (name == "visqol" and not visqol):
            absent[name] = ""
        elif missing(name):
            absent[name] = f"not installed: {INSTALL}"
        elif seconds > JUDGED_SECONDS:
            absent[name] = f"only for clips up to {JUDGED_SECONDS:.0f} s"
    return [name for name in PERCEPTUAL if name not in absent], absent


def lines(found: "Measurement", absent: dict[str, str]) -> list[tuple[str, str]]:
    """The figures as (label, text), best first to read."""
    kept, held = found.highest_kept / 1000, found.highest_held / 1000
    rows = [
        ("compared", f"{found.seconds:.3f} s, other later by {found.delay * 1000:.2f} ms"),
        ("mel distance", f"{found.mel:.3f}"),
        ("STFT distance", f"{found.stft:.3f}"),
        ("SI-SDR", _with_unit(found.si_sdr, "dB", 1)),
        ("log-spectral distance", f"{found.log_spectral:.1f} dB"),
        ("loudness difference", _with_unit(found.loudness, "LU", 2, sign=True)),
        ("frequencies kept", f"up to {kept:.1f} of {held:.1f} kHz" if held else "-"),
        *_band_lines(found),
    ]
    for name, label, decimals, range_ in (
        ("stoi", "STOI", 3, "0 to 1"),
        ("pesq", "PESQ wide band", 2, "1 to 4.6"),
        ("visqol", "ViSQOL", 2, "1 to 5"),
    ):
        value: float | None = getattr(found, name)
        if name in absent:
            if absent[name]:
                rows.append((label, absent[name]))
        else:
            text = "too short or silent" if value is None else f"{value:.{decimals}f} ({range_})"
            rows.append((label, text))
    return rows


def _band_lines(found: "Measurement") -> list[tuple[str, str]]:
    """Level and ripple in bands, and the stereo image of two channels, a line each."""
    from rvqcodec.report.metrics.bands import LEVEL_BANDS, RIPPLE_BANDS, Band, Figures, band_name

    def row(values: Figures, sign: str = "") -> str:
        return " ".join("-" if value is None else f"{value:{sign}.1f}" for value in values)

    def names(bands: tuple[Band, ...]) -> str:
        return ", ".join(map(band_name, bands)) + " kHz"

    rows = [
        ("level change by band", f"{row(found.levels, '+')} dB in {names(LEVEL_BANDS)}"),
        ("ripple", f"{row(found.ripples)} (was {row(found.ripples_reference)}) dB in {names(RIPPLE_BANDS)}"),
    ]
    if found.image_level is not None:
        coherence = found.image_coherence
        rows.append(("stereo image", f"level off by {found.image_level:.2f} dB, coherence by {coherence:.3f}"))
    return rows


def draw(target: str, a: "Sound", b: "Sound", found: "Measurement") -> None:
    """The picture of two recordings, the delay that was found taken out."""
    from rvqcodec import files
    from rvqcodec.report import plot
    from rvqcodec.report.metrics.align import shift_to_fit

    x, y = shift_to_fit(a.samples, b.samples, round(found.delay * a.sample_rate))
    with files.replacing(target, force=True) as sink:
        plot.comparison_plot(
            x, y, a.sample_rate, sink, names=(printable(Path(a.name).name), printable(Path(b.name).name))
        )


def _with_unit(value: float | None, unit: str, decimals: int, *, sign: bool = False) -> str:
    return "-" if value is None else f"{value:{'+' if sign else ''}.{decimals}f} {unit}"


def _line(recording: "Sound") -> str:
    channels = "1 channel" if recording.channels == 1 else f"{recording.channels} channels"
    text = f"{recording.name}: {recording.sample_rate} Hz, {channels}, {recording.seconds:.2f} s"
    if recording.coded and recording.file_bytes is not None:
        kbps = recording.file_bytes * 8 / recording.seconds / 1000
        text += f", {recording.file_bytes} bytes, {kbps:.2f} kbps"
    return text


def _about(recording: "Sound") -> dict[str, Any]:
    return {
        "name": recording.name,
        "sample_rate": recording.sample_rate,
        "channels": recording.channels,
        "seconds": recording.seconds,
        "file_bytes": recording.file_bytes,
        "coded": recording.coded,
    }
