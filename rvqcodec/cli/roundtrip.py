"""`rvq roundtrip`: encode, decode and compare at several bitrates, in one table."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rvqcodec.cli import options, streams
from rvqcodec.cli.compare import judged_metrics
from rvqcodec.cli.errors import Batch, guarded
from rvqcodec.cli.names import check_target, result_name
from rvqcodec.cli.progress import Bar
from rvqcodec.files import is_special, temporary_folder
from rvqcodec.texts import printable, valid

if TYPE_CHECKING:
    from rvqcodec.report.recording import Sound
    from rvqcodec.report.run import Clip, Run


@click.command()
@click.argument("source", metavar="INPUT")
@click.option(
    "-b",
    "--bitrate",
    metavar="LIST",
    help="Bitrates, separated by commas, as for encode.  [default: 1.5,3,6,12, or what the model has of them]",
)
@options.mono("First ")
@click.option("--model", metavar="ID", help="Model to use (see `rvq models`).")
@options.DEVICE
@click.option("--visqol", is_flag=True, help="Measure ViSQOL too; takes about a second per second.")
@click.option("--fast", is_flag=True, help="Leave out PESQ and STOI.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="RUN.json",
    help="Keep figures and audio for `rvq report`; the audio goes to a folder beside it.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite a run that exists.")
@guarded
def roundtrip(
    source: str,
    bitrate: str | None,
    mono: bool,
    model: str | None,
    device: str,
    visqol: bool,
    fast: bool,
    as_json: bool,
    out: str | None,
    force: bool,
) -> None:
    """Encode INPUT, decode it and compare, at several bitrates.

    INPUT is an audio file. kbps is that of the whole .rvq file; ratio is against 16-bit samples.
    """
    from rvqcodec.errors import AudioError

    asked = sorted({options.possible_bitrate(text, model) for text in bitrate.split(",")}) if bitrate else None
    if source == streams.STREAM or is_special(source):
        raise AudioError(f"{streams.called(source)} can be read only once; save it to a file first")
    if out is not None:
        if result_name(out) == streams.STREAM or is_special(out):
            raise click.UsageError("--out keeps audio in a folder beside RUN.json; name a file")
        check_target(out, source, force=force)
    from rvqcodec.report.recording import read_recording

    original = read_recording(source, device=device)
    if original.coded:
        raise AudioError(f"{source}: is an .rvq file already; give the audio it was made from")
    batch = Batch()
    for loss in original.losses:
        batch.fail(loss)
    if asked is None:
        from rvqcodec.codes.bitrate import usual
        from rvqcodec.models import cards

        asked = usual(1 if mono else original.channels, cards.find(model).facts)
    run = _measure(original, source, asked, mono, model, device, visqol, fast, Path(out) if out else None)
    if as_json:
        from dataclasses import asdict

        streams.show_json([asdict(row) for row in run.rows], indent=2)
    else:
        streams.show(*_table(run).splitlines())
    batch.finish()


def _measure(
    original: "Sound",
    source: str,
    asked: list[int],
    mono: bool,
    model: str | None,
    device: str,
    visqol: bool,
    fast: bool,
    out: Path | None,
) -> "Run":
    from rvqcodec.report.metrics import PERCEPTUAL, measure
    from rvqcodec.report.recording import make_alike
    from rvqcodec.report.roundtrip import code_file
    from rvqcodec.report.run import Row, Run, keep_audio, save_run

    names, _ = judged_metrics(original.seconds, fast=fast, visqol=visqol)
    clip = _clip(original, out)
    family = "rvq" if model is None or model.endswith(".json") else model
    rows: list[Row] = []
    with (
        temporary_folder() as folder,
        Bar(label="roundtrip", unit="bitrate", quiet=False) as progress,
    ):
        for bits_per_second in asked:
            result = code_file(source, folder, bits_per_second, mono=mono, model=model, device=device)
            for line in () if rows else (*result.remarks.notes, *result.remarks.warnings):
                streams.say(line)
            a, b, _ = make_alike(original, result.decoded)
            # Our output has no delay; where little correlates (1.5 kbps) a search might find a false one.
            found = measure(a.samples, b.samples, a.sample_rate, perceptual_metrics=names, align=False)
            figures = {k: v for k, v in found.to_dict().items() if k in names or k not in PERCEPTUAL}
            name = f"{family} {bits_per_second / 1000:g}"
            audio = keep_audio(b.samples, b.sample_rate, out, f"{clip.name}.{name}", b.layout) if out else None
            size = result.encoded_bytes
            rows.append(Row(clip.name, name, family, bits_per_second, size, result.bits_per_second, figures, audio))
            progress.to(len(rows), len(asked))
    run = Run(valid(shlex.join(["rvq", *sys.argv[1:]])), (clip,), tuple(rows))
    if out:
        save_run(run, out)
    return run


def _clip(original: "Sound", out: Path | None) -> "Clip":
    import hashlib

    from rvqcodec.report.run import Clip, keep_audio, kind_of

    name = printable(Path(original.name).stem)
    digest = hashlib.sha256(original.samples.tobytes()).hexdigest()
    audio = None
    if out:
        audio = keep_audio(original.samples, original.sample_rate, out, f"{name}.reference", original.layout)
    rate, channels = original.sample_rate, original.channels
    return Clip(name, kind_of(name), original.seconds, rate, channels, digest, audio)


def _table(run: "Run") -> str:
    from rvqcodec.report.run import COLUMNS, shown, table

    clip = run.clips[0]
    raw_bits = 16 * clip.sample_rate * clip.channels
    columns = [c for c in COLUMNS if any(c.name in row.figures for row in run.rows)]
    cells = []
    for row in run.rows:
        ratio = f"1:{raw_bits / row.bits_per_second:.0f}"
        figures = [shown(row.figures.get(c.name), c) for c in columns]
        cells.append([f"{row.asked / 1000:g}", f"{row.bits_per_second / 1000:.2f}", ratio, *figures])
    return table(["asked", "kbps", "ratio", *(c.heading for c in columns)], cells)
