"""`rvq pack`: the same codes in fewer bytes, or packed plainly, without the network."""

import click

from rvqcodec.cli import options
from rvqcodec.cli.errors import Batch, guarded
from rvqcodec.cli.jobs import run_jobs
from rvqcodec.cli.names import Job, plan_edits
from rvqcodec.cli.pipes import reading, writing
from rvqcodec.codes import filling
from rvqcodec.codes.edit import pack as pack_file
from rvqcodec.container import Header, Reader
from rvqcodec.errors import RvqError
from rvqcodec.types import Progress


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--plain", is_flag=True, help="The other way: pack the codes as they are.")
@click.option("-o", "--output", metavar="PATH", help="Result: a file, a folder, or - for stdout.  [default: -]")
@options.recursive(".rvq")
@options.PRESERVE_MODTIME
@options.SKIP_EXISTING
@options.FORCE
@options.QUIET
@guarded
def pack(
    inputs: tuple[str, ...],
    plain: bool,
    output: str | None,
    recursive: bool,
    preserve_modtime: bool,
    skip_existing: bool,
    force: bool,
    quiet: bool,
) -> None:
    """Code the codes of .rvq files in fewer bytes, without loss: rvq pack old.rvq -o small.rvq

    The codes stay the same, so do tokens and sound. rvq encode does it by itself, unless it is told --plain. INPUT may
    be - for stdin. Several inputs go to a folder (-o FOLDER).
    """
    batch = Batch(quiet=quiet)
    work = plan_edits(inputs, output, recursive=recursive, skip_existing=skip_existing, batch=batch)

    def run(job: Job, progress: Progress) -> str:
        with reading(job.source) as file:
            reader = Reader(file)
            header = filling.plain(reader.header) if plain else _coded(reader.header)
            with writing(job, force=force) as out:
                done = pack_file(reader, out, header)
            return f"{done.total_bytes:,} bytes, {100 * (done.total_bytes / reader.total_bytes - 1):+.1f} %"

    run_jobs(work, run, force=force, batch=batch, label="pack", preserve_modtime=preserve_modtime)


def _coded(header: Header) -> Header:
    from rvqcodec.models import coding

    tables = coding.tables_hash(header.model_id, header.weights_hash)
    if not tables:
        raise RvqError(
            f"model {header.model_id} with weights {header.weights_hash.hex()}: no tables are installed to code its "
            "codes by (see rvq models); they stay packed"
        )
    return header if header.tables == tables else filling.coded(header, tables, 0)
