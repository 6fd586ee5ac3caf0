"""`rvq info`: what is in these files, and how large it is?"""

import click

from rvqcodec.cli import streams
from rvqcodec.cli.errors import Batch, guarded
from rvqcodec.cli.pipes import reading
from rvqcodec.cli.streams import called
from rvqcodec.cli.text import as_text
from rvqcodec.codes.describe import as_dict, describe


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each file, one to a line.")
@click.option("--verbose", is_flag=True, help="List every chunk too.")
@guarded
def info(inputs: tuple[str, ...], as_json: bool, verbose: bool) -> None:
    """Describe .rvq files: model, length, rates, codebooks, true bitrates, tags, damage.

    All of a file is read and checked; no model is needed. A damaged file is described as far as possible,
    and the exit code is then 1. INPUT may be - for stdin.
    """
    batch = Batch()
    for name in inputs:
        with batch.item(called(name)):
            with reading(name) as file:
                found = describe(file, list_chunks=verbose)
            if as_json:
                streams.show_json({"file": called(name), **as_dict(found)})
            else:
                streams.show(called(name), *as_text(found))
            if found.damage:
                count = len(found.damage)
                batch.fail(f"{called(name)}: damaged in {count:,} place{'s' * (count > 1)}")
    batch.finish()
