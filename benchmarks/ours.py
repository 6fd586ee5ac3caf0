"""rvq as a peer of the classic codecs: one model or several, installed or not, each at several bitrates.

That is ours, and published checkpoints of other codecs that were added with `rvq models add`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from peers import RATE, Peer

from rvqcodec.codes.bitrate import parse_bitrate, possible, usual
from rvqcodec.errors import RvqError
from rvqcodec.models import cards
from rvqcodec.types import Samples

PUBLISHED = ("encodec", "dac", "mimi")
"""Kinds of models of others."""


def families(models: Sequence[str]) -> dict[str, str | None]:
    """Family -> model, ids or paths of .json: "rvq" for the only one, else names that begin with rvq.

    RvqError for models whose names are the same.
    """
    if len(models) < 2:
        return {"rvq": models[0] if models else None}
    found: dict[str, str | None] = {}
    for model in models:
        name = Path(model).stem if model.endswith(".json") else model
        family = name if name.startswith("rvq") else f"rvq-{name}"
        if family in found:
            raise RvqError(f"--model {model}: a second one of that name; rename its .json")
        found[family] = model
    return found


def rvq_codecs(models: Sequence[str], bitrates: str) -> Iterator[Peer]:
    """Every model at every bitrate of a list such as "1.5,3"."""
    for family, model in families(models).items():
        for text in bitrates.split(","):
            yield rvq(family, parse_bitrate(text.strip()), model)


def published(channels: int, bitrates: str | None) -> Iterator[Peer]:
    """Every installed model of others, at those of the bitrates (None: the usual ones) that it has."""
    for card in cards.available():
        if card.family in PUBLISHED:
            wanted = usual(channels, card.facts)
            if bitrates is not None:
                wanted = [parse_bitrate(text.strip()) for text in bitrates.split(",")]
            for bitrate in wanted:
                if possible(bitrate, channels, card.facts):
                    yield rvq(card.model_id, bitrate, card.model_id, kind=card.family)


def rvq(family: str, bitrate: int, model: str | None, *, kind: str = "") -> Peer:
    """rvq at one bitrate; it leaves no delay to take out.

    Through the Python interface, which runs the code of the command line, because `rvq decode` takes installed models
    only. The model is loaded once and kept.
    """

    def code(samples: Samples, folder: Path) -> tuple[Path, Samples]:
        import rvqcodec
        from rvqcodec.container import Chunk, Reader

        codec = rvqcodec.load(model, device="auto")
        encoded = folder / "out.rvq"
        codec.encode(samples, RATE, bitrate=bitrate).save(encoded)
        with encoded.open("rb") as file:
            reader = Reader(file)
            decoder = codec.decoder(reader.header)
            blocks = [decoder.push(chunk) for chunk in reader if isinstance(chunk, Chunk)]
        return encoded, np.concatenate([*blocks, decoder.flush()], axis=1)

    return Peer(family, bitrate, (), code, align=False, kind=kind)
