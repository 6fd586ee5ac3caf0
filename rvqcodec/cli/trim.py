"""`rvq trim`: a lower bitrate by dropping codebooks, without the network."""

import click

from rvqcodec.cli import options, streams
from rvqcodec.cli.errors import Batch, guarded
from rvqcodec.cli.jobs import run_jobs
from rvqcodec.cli.names import Job, plan_edits
from rvqcodec.cli.pipes import reading, writing
from rvqcodec.cli.streams import called
from rvqcodec.codes import bitrate as bitrates
from rvqcodec.codes.bitrate import format_kbps
from rvqcodec.codes.edit import trim as trim_file
from rvqcodec.container import Reader
from rvqcodec.models import cards
from rvqcodec.types import Progress


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-b", "--bitrate", help="The most that the codes take from now on: 3kbps, 3k, 3, 3000.")
@options.codebooks()
@click.option("-o", "--output", metavar="PATH", help="Result: a file, a folder, or - for stdout.  [default: -]")
@options.recursive(".rvq")
@options.PRESERVE_MODTIME
@options.SKIP_EXISTING
@options.FORCE
@options.QUIET
@guarded
def trim(
    inputs: tuple[str, ...],
    bitrate: str | None,
    codebooks: int | None,
    output: str | None,
    recursive: bool,
    preserve_modtime: bool,
    skip_existing: bool,
    force: bool,
    quiet: bool,
) -> None:
    """Lower the bitrate of .rvq files without re-encoding: rvq trim song.rvq -b 3kbps -o small.rvq

    Drops codebooks, chunk by chunk; what is left is byte for byte what encoding at the lower bitrate gives.
    INPUT may be - for stdin. Several inputs go to a folder (-o FOLDER).
    """
    if (bitrate is None) == (codebooks is None):
        raise click.UsageError("give the new bitrate with -b, or codebooks with -q")
    bits = None if bitrate is None else bitrates.parse_bitrate(bitrate)
    batch = Batch(quiet=quiet)
    work = plan_edits(inputs, output, recursive=recursive, skip_existing=skip_existing, batch=batch)

    def run(job: Job, progress: Progress) -> str:
        with reading(job.source) as file:
            reader = Reader(file)
            header = reader.header
            total = codebooks or bitrates.total_n_q(bits or 0, header.coded_channels, cards.facts_of(header))
            if bits and header.budget and bits > header.budget and not quiet:
                streams.say(f"{called(job.source)}: has only {format_kbps(header.budget)} and stays as it is")
            elif total > header.total_n_q and not quiet:
                streams.say(f"{called(job.source)}: has only {header.total_n_q} codebooks a frame and stays as it is")
            with writing(job, force=force) as out:
                done = trim_file(reader, out, total, bits or 0)
            rate = done.total_bytes * 8 * header.sample_rate / done.n_samples if done.n_samples else 0
            return f"{done.total_bytes:,} bytes, {format_kbps(round(rate, -1))}"

    run_jobs(work, run, force=force, batch=batch, label="trim", preserve_modtime=preserve_modtime)
