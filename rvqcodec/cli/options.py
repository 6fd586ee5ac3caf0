"""Options that several verbs have in common."""

import click

from rvqcodec.cli.shared import STREAM

DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the network runs; auto takes CUDA where there is one.",
)
FORCE = click.option("-f", "--force", is_flag=True, help="Overwrite results that exist.")
FORCE_ONE = click.option("-f", "--force", is_flag=True, help="Overwrite a result that exists.")
QUIET = click.option("--quiet", is_flag=True, help="Print only warnings and errors.")
RESULT = click.option(
    "-o",
    "--output",
    metavar="PATH",
    default=STREAM,
    show_default=True,
    help="Result: a file, or - for stdout.",
)
