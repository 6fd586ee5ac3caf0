"""`rvq decode`: `.rvq` files to audio files, or a stream to a stream."""

import click

from rvqcodec.audio.formats import MAX_RATE, MIN_RATE, NAMED, SHOWN_ENDINGS
from rvqcodec.cli import options, streams
from rvqcodec.cli.errors import Batch, guarded
from rvqcodec.cli.jobs import run_jobs
from rvqcodec.cli.names import Job, plan
from rvqcodec.cli.options import Seconds
from rvqcodec.cli.streams import STREAM, called
from rvqcodec.cli.text import clock, cut_line
from rvqcodec.types import Progress


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help=f"Result: a file ({', '.join(SHOWN_ENDINGS)}), a folder, or - for stdout.",
)
@click.option("--to", type=click.Choice(NAMED), help="Kind of result where no file name says it.  [default: wav]")
@click.option(
    "-q",
    "--codebooks",
    type=click.IntRange(min=1),
    metavar="N",
    help="Use at most N codebooks a frame, over all channels, though the file has more.",
)
@click.option(
    "--rate",
    type=click.IntRange(MIN_RATE, MAX_RATE),
    metavar="HZ",
    help="Sample rate of the result.  [default: as the original]",
)
@click.option("--subtype", metavar="TYPE", help="Sample type: PCM_16, PCM_24, FLOAT.  [default: PCM_16]")
@click.option("--start", type=Seconds(), default="0", metavar="TIME", help="Start here: 90 or 1:30 or 1:02:03.5.")
@click.option("--duration", type=Seconds(), metavar="TIME", help="Decode so much.  [default: to the end]")
@click.option(
    "--gain", type=options.Decibels(), default=0.0, metavar="DB", help="Make the result louder, or with -DB quieter."
)
@click.option(
    "--no-clip",
    is_flag=True,
    help="Turn what is over full scale down, smoothly and for some 40 ms around it, in place of cutting it.",
)
@click.option("--raw", is_flag=True, help="Headerless PCM instead of WAV, channels in the order of WAV.")
@options.sample_format("output")
@click.option(
    "--salvage", is_flag=True, help="Put silence for what is damaged and go on; exit code 1 if anything was lost."
)
@options.DEVICE
@options.recursive(".rvq")
@options.jobs("decode")
@options.PRESERVE_MODTIME
@options.SKIP_EXISTING
@options.FORCE
@options.QUIET
@guarded
def decode(
    inputs: tuple[str, ...],
    output: str | None,
    to: str | None,
    codebooks: int | None,
    rate: int | None,
    subtype: str | None,
    start: float,
    duration: float | None,
    gain: float,
    no_clip: bool,
    raw: bool,
    sample_format: str,
    salvage: bool,
    device: str,
    recursive: bool,
    jobs: int,
    preserve_modtime: bool,
    skip_existing: bool,
    force: bool,
    quiet: bool,
) -> None:
    """Decode .rvq to audio: song.rvq becomes song.wav beside it.

    INPUT is an .rvq file, or - for stdin, whose result goes to stdout as WAV.
    The result has the original's length, sample rate and channels, to the sample, each for its loudspeaker;
    what the format cannot say of these is told.
    Several inputs give one result each; a bad one does not stop the others, and the exit code is then 1.
    Nothing is overwritten without -f.
    """
    if raw and (subtype or to):
        raise click.UsageError("--raw goes with --format, not with --subtype or --to")
    batch = Batch(quiet=quiet)
    ending = ".raw" if raw else f".{to or 'wav'}"
    work = plan(
        inputs,
        output,
        ending=ending,
        accepts={".rvq"},
        recursive=recursive,
        skip_existing=skip_existing,
        batch=batch,
    )

    def run(job: Job, progress: Progress) -> str:
        from rvqcodec.codec import DecodeOptions, decode_file

        options = DecodeOptions(
            n_q=codebooks,
            device=device,
            rate=rate,
            start=start,
            duration=duration,
            format="raw" if raw else to,
            subtype=sample_format if raw else subtype,
            salvage=salvage,
            gain=gain,
            limit=no_clip,
        )
        source = streams.stdin() if job.source == STREAM else job.source
        report = decode_file(source, job.target, options, force=force, progress=progress)
        if report.clipped:
            remedy = f"; --no-clip turns them down, --gain {gain - report.over:.1f} everything"
            streams.say(f"{called(job.source)}: {cut_line(report)}{remedy}")
        if report.limited and not quiet:
            text = f"{report.limited:,} samples over full scale were turned down, by {report.over:.1f} dB at most"
            streams.say(f"{called(job.source)}: {text}")
        if report.lost_tags and not quiet:
            streams.say(f"{called(job.source)}: {', '.join(report.lost_tags)}: tags that the result has no place for")
        if report.layout_note:
            streams.say(f"{called(job.source)}: {report.layout_note}")
        for damage in report.losses:
            streams.say(f"{called(job.source)}: {damage}")
        if report.losses:
            places = f"{len(report.losses)} damaged place{'s' * (len(report.losses) > 1)}"
            batch.fail(f"{called(job.source)}: {places}; the result has silence there")
        return clock(report.seconds)

    run_jobs(work, run, force=force, workers=jobs, batch=batch, label="decode", preserve_modtime=preserve_modtime)
