"""Options that several verbs have in common."""

import click

from rvqcodec.cli.shared import STREAM
from rvqcodec.codes import bitrate as bitrates

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


def asked_bitrate(text: str | None, model: str | None) -> int:
    """The bitrate of -b in bits per second (None: the default); one that no audio can have with this model is refused.

    model: as for --model. Errors: BitrateError, WeightsError.
    """
    if text is None:
        return bitrates.DEFAULT
    from rvqcodec.models import cards

    bits_per_second = bitrates.parse_bitrate(text)
    bitrates.check_possible(bits_per_second, cards.find(model).facts)
    return bits_per_second
