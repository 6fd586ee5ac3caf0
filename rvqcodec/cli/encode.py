"""`rvq encode`: audio files to `.rvq` files, or a stream to a stream."""

import click

from rvqcodec import files
from rvqcodec.audio.formats import READ_ENDINGS
from rvqcodec.cli import options, streams
from rvqcodec.cli.errors import Batch, guarded
from rvqcodec.cli.jobs import run_jobs
from rvqcodec.cli.names import Job, plan
from rvqcodec.cli.streams import STREAM
from rvqcodec.cli.text import clock
from rvqcodec.codes import bitrate as bitrates
from rvqcodec.container import usable_tags
from rvqcodec.speakers import parse as parse_layout
from rvqcodec.texts import as_utf8, printable, valid
from rvqcodec.types import Progress


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-b",
    "--bitrate",
    metavar="KBPS",
    help="The most that the codes take: 6kbps, 6k, 6 or 6000; see `rvq models` for the range.  [default: 6kbps]",
)
@options.codebooks()
@click.option("-o", "--output", metavar="PATH", help="Result: a file, a folder, or - for stdout.")
@options.mono()
@click.option(
    "--layout",
    metavar="NAME",
    help="Loudspeakers of the input's channels as they stand there, where it does not say or is wrong: 5.1, quad, "
    "discrete (none) or places, FL+FR+LFE.",
)
@click.option(
    "--gain", type=options.Decibels(), default=0.0, metavar="DB", help="Make the input louder, or with -DB quieter."
)
@click.option("--model", metavar="ID", help="Model to use (see `rvq models`).")
@options.DEVICE
@click.option(
    "--chunk",
    type=click.FloatRange(0.1, 10),
    metavar="SECONDS",
    help="Length of a chunk: what one error costs, and the delay in a pipe.  [default: 128 frames, some 3 s]",
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEY=VALUE",
    help="Add a tag, or replace the input's; may be repeated. Tags of the input are kept.",
)
@options.IGNORE_LENGTH
@click.option("--raw", is_flag=True, help="Inputs are headerless PCM; needs --rate and --channels.")
@click.option("--rate", type=int, metavar="HZ", help="Sample rate of --raw input.")
@click.option("--channels", type=int, metavar="N", help="Channels of --raw input.")
@options.sample_format("input")
@options.recursive("audio")
@options.jobs("encode")
@click.option("--constant", is_flag=True, help="Give every frame the same number of codes, however little it needs.")
@click.option("--plain", is_flag=True, help="Pack the codes as they are, instead of coding them in fewer bytes.")
@click.option("--verify", is_flag=True, help="Read back what was written and compare.")
@options.PRESERVE_MODTIME
@options.SKIP_EXISTING
@options.FORCE
@options.QUIET
@guarded
def encode(
    inputs: tuple[str, ...],
    bitrate: str | None,
    codebooks: int | None,
    output: str | None,
    mono: bool,
    layout: str | None,
    gain: float,
    model: str | None,
    device: str,
    chunk: float | None,
    tags: tuple[str, ...],
    ignore_length: bool,
    raw: bool,
    rate: int | None,
    channels: int | None,
    sample_format: str,
    recursive: bool,
    jobs: int,
    constant: bool,
    plain: bool,
    verify: bool,
    preserve_modtime: bool,
    skip_existing: bool,
    force: bool,
    quiet: bool,
) -> None:
    """Encode audio to .rvq: song.wav becomes song.rvq beside it.

    INPUT is WAV (also RF64, W64), FLAC, OGG (Vorbis, Opus, FLAC), MP3, AIFF, AU or CAF, or what the program ffmpeg
    reads, where it is installed (AAC, ALAC, WMA, WavPack, Speex ...); or - for stdin, whose result goes to stdout.
    Several inputs give one result each; a bad one does not stop the others, and the exit code is then 1. It is 1 also
    where a part of an input could not be read, which a line on stderr tells.
    Nothing is overwritten without -f.
    """
    if bitrate is not None and codebooks is not None:
        raise click.UsageError("-b and -q say the same thing; give one of them")
    bits_per_second = options.asked_bitrate(bitrate, model)
    own_tags = _tags(tags)
    if not raw and (rate is not None or channels is not None):
        raise click.UsageError("--rate and --channels describe --raw input; other inputs say themselves")
    if raw and (rate is None or channels is None):
        raise click.UsageError("--raw needs --rate and --channels")
    if layout is not None:
        _check_layout(layout)
    batch = Batch(quiet=quiet)
    work = plan(
        inputs,
        output,
        ending=".rvq",
        accepts=READ_ENDINGS,
        recursive=recursive,
        skip_existing=skip_existing,
        batch=batch,
    )
    if verify and any(job.target == STREAM or files.is_special(job.target) for job in work):
        raise click.UsageError("--verify needs a file to read back; give one with -o")

    def run(job: Job, progress: Progress) -> str:
        from rvqcodec.audio import RawFormat
        from rvqcodec.codec import EncodeOptions, encode_file

        wanted = EncodeOptions(
            bitrate=bits_per_second,
            n_q=codebooks,
            mono=mono,
            model=model,
            device=device,
            chunk_seconds=chunk,
            tags=own_tags,
            raw=RawFormat(rate or 0, channels or 0, sample_format) if raw else None,
            verify=verify,
            constant=constant,
            plain=plain,
            layout=layout,
            ignore_length=ignore_length,
            gain=gain,
        )
        target = streams.stdout() if job.target == STREAM else job.target
        report = encode_file(job.source, target, wanted, force=force, progress=progress)
        batch.tell(report.remarks)
        kbps = bitrates.format_kbps(8 * report.file_bytes / report.seconds) if report.n_samples else "empty"
        return f"{clock(report.seconds)}, {report.file_bytes:,} bytes, {kbps}"

    run_jobs(work, run, force=force, workers=jobs, batch=batch, label="encode", preserve_modtime=preserve_modtime)


def _check_layout(text: str) -> None:
    try:
        parse_layout(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--layout") from None


def _tags(texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """What --tag says. Tags that cannot be kept are refused here, where those of an input are only told."""
    kept, problems = usable_tags(_tag(text) for text in texts)
    if problems:
        raise click.BadParameter(problems[0], param_hint="--tag")
    return kept


def _tag(text: str) -> tuple[str, str]:
    text = as_utf8(text)
    if text != valid(text):
        raise click.BadParameter(
            f"{printable(text)} is not UTF-8, which tags are; convert it first", param_hint="--tag"
        )
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--tag")
    return key.strip().upper(), value
