"""The family `rvq44`: how its cards are read, which tensors say what codes mean, and its `Model`."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from rvqcodec.container import ModelFacts
from rvqcodec.models.interface import Card
from rvqcodec.models.rvq44 import config as configs
from rvqcodec.models.rvq44 import timing
from rvqcodec.models.rvq44.config import Config

if TYPE_CHECKING:
    from rvqcodec.models.rvq44.decoder import StreamDecoder
    from rvqcodec.models.rvq44.encoder import StreamEncoder
    from rvqcodec.models.rvq44.engine import Engine
    from rvqcodec.models.rvq44.payload import PayloadCoder


def facts(config: dict[str, Any], model_id: str, weights_hash: bytes) -> ModelFacts:
    """What files have to know of a model. TypeError for a config with other fields than `Config`."""
    return Config(**config).facts(model_id, weights_hash)


def bitstream(names: Iterable[str]) -> list[str]:
    """Those of the names of tensors that say what codes mean."""
    return configs.bitstream(names)


def load(card: Card, tensors: Mapping[str, npt.NDArray[Any]], device: str) -> "Rvq44":
    """The model of a card from its tensors: in numpy on the CPU, in torch elsewhere.

    RuntimeError, ValueError or TypeError where they do not fit its config.
    """
    config = Config(**card.config)
    if device == "cpu":
        from rvqcodec.models.rvq44.cpu.engine import NumpyEngine

        return Rvq44(NumpyEngine(config, tensors), card.facts)
    from rvqcodec.models.rvq44.network.engine import TorchEngine

    return Rvq44(TorchEngine.of(config, tensors, device), card.facts)


def coder(tensors: Mapping[str, npt.NDArray[Any]], *, paired: bool) -> "PayloadCoder":
    """Who codes the codes of a file by its tables. ValueError for tensors that are none."""
    from rvqcodec.models.rvq44.likely import Likely
    from rvqcodec.models.rvq44.payload import PayloadCoder

    return PayloadCoder(Likely(tensors), paired=paired)


class Rvq44:
    """An engine with the facts of its card; what `Model` asks for."""

    def __init__(self, engine: "Engine", facts: ModelFacts | None = None) -> None:
        """facts: None for a network that is no model yet, as in training."""
        self.engine = engine
        self.facts = facts or engine.config.facts("untrained", bytes(8))

    @property
    def context(self) -> int:
        return timing.context(self.engine.config, paired=True)

    @property
    def lookahead(self) -> int:
        return timing.lookahead(self.engine.config, paired=True)

    def encoder(self, channels: int, *, paired: bool = False) -> "StreamEncoder":
        from rvqcodec.models.rvq44.encoder import StreamEncoder

        return StreamEncoder(self.engine, channels, paired=paired)

    def decoder(
        self, channels: int, *, paired: bool = False, start_frame: int = 0, begins: bool = False
    ) -> "StreamDecoder":
        from rvqcodec.models.rvq44.decoder import StreamDecoder

        return StreamDecoder(self.engine, channels, paired=paired, start_frame=start_frame, begins=begins)
