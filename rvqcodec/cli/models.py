"""`rvq models`: which models are installed; `add`, `remove` and `show` for those of a user's own."""

from pathlib import Path
from typing import Any

import click

from rvqcodec.cli import streams
from rvqcodec.cli.errors import guarded
from rvqcodec.codes.bitrate import legal_range
from rvqcodec.errors import WeightsError
from rvqcodec.models import cards
from rvqcodec.models.interface import Card
from rvqcodec.texts import printable

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each model, one to a line.")


@click.group(invoke_without_command=True)
@AS_JSON
@click.pass_context
@guarded
def models(ctx: click.Context, as_json: bool) -> None:
    """List the models that are installed, the one that encodes by default first.

    A file names its model by id and hash; any decoder version of that model decodes it, the newest is taken.
    """
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError(f"--json goes behind {ctx.invoked_subcommand}, if at all")
        return
    installed = cards.available()
    if not installed:
        raise WeightsError("no models are installed; install rvq again")
    for card in installed:
        if as_json:
            streams.show_json(_fields(card))
        else:
            streams.show(f"{card.model_id}  hash {card.weights_hash.hex()}  decoder {card.decoder_version}")
            streams.show(f"    {_rates(card)}: {legal_range(card.facts)}")
            streams.show(f"    {card.path}, {card.licence}, sha256 {card.sha256}")
    for error in cards.unreadable():
        streams.say(str(error))


@models.command()
@click.argument("source", metavar="FOLDER")
@click.option("--id", "model_id", metavar="NAME", help="Id of the model.  [default: by kind and rate, encodec-24khz]")
@click.option("--copy", is_flag=True, help="Copy the weights, so that FOLDER may go; else they are linked to.")
@click.option("--download", is_flag=True, help="FOLDER is the name of a published checkpoint: fetch that.")
@guarded
def add(source: str, model_id: str | None, copy: bool, download: bool) -> None:
    """Add a checkpoint of EnCodec, DAC or Mimi: rvq models add FOLDER

    FOLDER holds config.json and model.safetensors, as Hugging Face lays them out. The model is checked, and is then one
    of those that --model takes. Needs: pip install 'rvqcodec[families]'
    """
    from rvqcodec.models import adding

    card = adding.add(adding.download(source) if download else Path(source), model_id, copy=copy)
    streams.show(f"{card.model_id}: {_rates(card)}, {legal_range(card.facts)}; licence {card.licence}")


@models.command()
@click.argument("name", metavar="ID")
@guarded
def remove(name: str) -> None:
    """Remove a model that was added: rvq models remove encodec-24khz

    The folder that it came from stays as it is. Files that were made with the model need it to be decoded.
    """
    from rvqcodec.models import adding

    adding.remove(name)


@models.command()
@click.argument("name", metavar="ID")
@AS_JSON
@guarded
def show(name: str, as_json: bool) -> None:
    """Show all that is known of a model: rvq models show encodec-24khz"""
    card = cards.find(name)
    facts = card.facts
    if as_json:
        streams.show_json(_fields(card) | {"config": card.config, "training": card.training})
        return
    rows = [
        ("family", f"{card.family}, decoder {card.decoder_version}"),
        ("hash", card.weights_hash.hex()),
        ("rate", f"{facts.model_rate:,} Hz, {facts.frame_rate:g} frames/s of {facts.hop:,} samples"),
        ("codebooks", f"{facts.max_n_q} of {1 << facts.code_bits:,} codes ({facts.code_bits} bits)"),
        ("bitrates", legal_range(facts)),
        ("stereo", "as a main and a second channel" if facts.pairs else "each channel by itself"),
        ("licence", card.licence),
        ("weights", f"{card.path}{f' -> {card.path.resolve()}' if card.path.is_symlink() else ''}"),
        ("sha256", card.sha256),
        *((key.replace("_", " "), str(value)) for key, value in card.training.items() if isinstance(value, str | int)),
    ]
    streams.show(card.model_id, *(f"  {printable(heading):<10} {text}" for heading, text in rows))


def _rates(card: Card) -> str:
    facts = card.facts
    return (
        f"{facts.model_rate:,} Hz, {facts.frame_rate:g} frames/s, {facts.max_n_q} codebooks of {facts.code_bits} bits"
    )


def _fields(card: Card) -> dict[str, Any]:
    return {
        "model_id": card.model_id,
        "weights_hash": card.weights_hash.hex(),
        "decoder_version": card.decoder_version,
        "sha256": card.sha256,
        "licence": card.licence,
        "path": str(card.path),
        "family": card.family,
        "sample_rate": card.facts.model_rate,
        "frame_rate": card.facts.frame_rate,
        "code_bits": card.facts.code_bits,
        "codebooks": card.facts.max_n_q,
        "bitrates": legal_range(card.facts),
    }
