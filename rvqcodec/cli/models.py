"""`rvq models`: which models are installed."""

import json

import click

from rvqcodec.cli import shared
from rvqcodec.errors import WeightsError
from rvqcodec.models import cards


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each model, one to a line.")
@shared.guarded
def models(as_json: bool) -> None:
    """List the models that are installed, the one that encodes by default first.

    A file names its model by id and hash; any decoder version of that model decodes it, the newest is taken.
    """
    installed = cards.available()
    if not installed:
        raise WeightsError("no models are installed; install rvq again")
    for card in installed:
        if as_json:
            fields = {
                "model_id": card.model_id,
                "weights_hash": card.weights_hash.hex(),
                "decoder_version": card.decoder_version,
                "sha256": card.sha256,
                "licence": card.licence,
                "path": str(card.path),
            }
            click.echo(json.dumps(fields))
        else:
            click.echo(f"{card.model_id}  hash {card.weights_hash.hex()}  decoder {card.decoder_version}")
            click.echo(f"    {card.path}, {card.licence}, sha256 {card.sha256}")
