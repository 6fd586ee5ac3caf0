"""`rvq train export` and `rvq train average`: from runs to weights that are shipped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from rvqcodec.cli import streams
from rvqcodec.cli.errors import guarded
from rvqcodec.cli.traintools import folder_option

F = TypeVar("F", bound=Callable[..., Any])


def shipping_options(command: F) -> F:
    """--to, --note and --force."""
    for option in (
        click.option("-f", "--force", is_flag=True, help="Overwrite weights of that name."),
        click.option(
            "--note", "notes", metavar="KEY=TEXT", multiple=True, help="More about the training; may be repeated."
        ),
        folder_option("--to", help="Where the two files go.", must_exist=False, required=True),
    ):
        command = option(command)
    return command


def said(notes: tuple[str, ...]) -> dict[str, str]:
    """KEY=TEXT, ... -> a dictionary."""
    return dict(note.partition("=")[::2] for note in notes)


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@click.option("--model-id", required=True, help="Name of the bitstream: of encoder and codebooks.")
@click.option(
    "--decoder-version",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Counts up where the bitstream stays the same.",
)
@click.option("--licence", default="CC BY-SA 4.0", show_default=True, help="Of the weights.")
@shipping_options
@guarded
def export(
    run: Path,
    model_id: str,
    decoder_version: int,
    to: Path,
    licence: str,
    notes: tuple[str, ...],
    force: bool,
) -> None:
    """Write a run's averaged weights as NAME.safetensors (float16) and NAME.json, ready to ship."""
    from rvqcodec.training import checkpoint
    from rvqcodec.training import export as exporting

    card = exporting.export(
        checkpoint.of(run),
        to,
        model_id=model_id,
        decoder_version=decoder_version,
        licence=licence,
        training=said(notes),
        overwrite=force,
    )
    streams.show(str(card))


class Share(click.ParamType[tuple[float, Path]]):
    """SHARE=PATH, of something that exists."""

    name = "SHARE=PATH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, Path]:
        share, _, path = str(value).partition("=")
        try:
            number = float(share)
        except ValueError:
            number = -1.0
        if not 0 < number <= 1 or not path:
            self.fail(f"{value!r}: give SHARE=PATH, the share above 0 and at most 1", param, ctx)
        return number, click.Path(exists=True, path_type=Path).convert(path, param, ctx)


@click.command()
@click.argument("parts", metavar="SHARE=PATH...", type=Share(), nargs=-1, required=True)
@click.option(
    "--base",
    metavar="CARD",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The .json of weights whose codebooks it has.",
)
@click.option("--decoder-version", type=click.IntRange(1), required=True, help="Of the new decoder.")
@click.option(
    "--noise-until", metavar="HZ", type=click.FloatRange(0), help="From there on the noise's gain is that of the base."
)
@shipping_options
@guarded
def average(
    parts: tuple[tuple[float, Path], ...],
    base: Path,
    decoder_version: int,
    noise_until: float | None,
    to: Path,
    notes: tuple[str, ...],
    force: bool,
) -> None:
    """Write the mean of several decoders for the same codes as weights, ready to ship.

    PATH is a run, its last.pt, the .json of weights, or a .safetensors with a decoder's tensors alone. The shares sum
    to 1.
    """
    total = sum(share for share, _ in parts)
    if abs(total - 1) > 1e-6:
        raise click.UsageError(f"the shares sum to {total:g}; they must sum to 1")
    from rvqcodec.training import average as averaging

    card = averaging.average(
        base,
        parts,
        to,
        decoder_version=decoder_version,
        training=said(notes),
        noise_until=noise_until,
        overwrite=force,
    )
    streams.show(str(card))


EXPORTS: tuple[click.Command, ...] = (export, average)
