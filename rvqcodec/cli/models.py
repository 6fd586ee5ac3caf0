"""`rvq models`: which models are installed."""

import json

import click

from rvqcodec import weights
from rvqcodec.cli import shared
from rvqcodec.errors import WeightsError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each model, one to a line.")
@shared.guarded
def models(as_json: bool) -> None:
    """List the models that are installed, the one that encodes by default first.

    A file names its model by id and hash; any decoder version of that model decodes it, the newest is taken.
    """
    installed = weights.available()
    if not installed:
        raise WeightsError("no models are installed; install rvq again")
    for info in installed:
        if as_json:
            fields = {
                "model_id": info.model_id,
                "weights_hash": info.weights_hash.hex(),
                "decoder_version": info.decoder_version,
                "sha256": info.sha256,
                "licence": info.licence,
                "path": str(info.path),
            }
            click.echo(json.dumps(fields))
        else:
            click.echo(f"{info.model_id}  hash {info.weights_hash.hex()}  decoder {info.decoder_version}")
            click.echo(f"    {info.path}, {info.licence}, sha256 {info.sha256}")
