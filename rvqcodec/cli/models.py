"""`rvq models`: which models are installed."""

import json

import click

from rvqcodec.cli.errors import guarded
from rvqcodec.codes.bitrate import legal_range
from rvqcodec.errors import WeightsError
from rvqcodec.models import cards


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each model, one to a line.")
@guarded
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
                "family": card.family,
                "sample_rate": card.facts.model_rate,
                "frame_rate": card.facts.frame_rate,
                "code_bits": card.facts.code_bits,
                "codebooks": card.facts.max_n_q,
            }
            click.echo(json.dumps(fields))
        else:
            click.echo(f"{card.model_id}  hash {card.weights_hash.hex()}  decoder {card.decoder_version}")
            facts = card.facts
            rates = f"{facts.model_rate:,} Hz, {facts.frame_rate:g} frames/s, {facts.max_n_q} codebooks of"
            click.echo(f"    {rates} {facts.code_bits} bits: {legal_range(facts)}")
            click.echo(f"    {card.path}, {card.licence}, sha256 {card.sha256}")
