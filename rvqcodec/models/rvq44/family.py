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
    from rvqcodec.models.rvq44.network import Network


def facts(config: dict[str, Any], model_id: str, weights_hash: bytes) -> ModelFacts:
    """What files have to know of a model. TypeError for a config with other fields than `Config`."""
    return Config(**config).facts(model_id, weights_hash)


def bitstream(names: Iterable[str]) -> list[str]:
    """Those of the names of tensors that say what codes mean."""
    return configs.bitstream(names)


def load(card: Card, tensors: Mapping[str, npt.NDArray[Any]], device: str) -> "Rvq44":
    """The model of a card from its tensors. RuntimeError, ValueError or TypeError where they do not fit its config."""
    import torch

    from rvqcodec.models.rvq44.network import Network

    network = Network(Config(**card.config))
    network.load_state_dict({name: torch.from_numpy(tensor).float() for name, tensor in tensors.items()})
    return Rvq44(network.to(device).eval().requires_grad_(False), card.facts)


class Rvq44:
    """A network with the facts of its card; what `Model` asks for."""

    def __init__(self, network: "Network", facts: ModelFacts | None = None) -> None:
        """facts: None for a network that is no model yet, as in training."""
        self.network = network
        self.facts = facts or network.config.facts("untrained", bytes(8))

    @property
    def context(self) -> int:
        return timing.context(self.network.config, paired=True)

    @property
    def lookahead(self) -> int:
        return timing.lookahead(self.network.config, paired=True)

    def encoder(self, channels: int, *, paired: bool = False) -> "StreamEncoder":
        from rvqcodec.models.rvq44.encoder import StreamEncoder

        return StreamEncoder(self.network, channels, paired=paired)

    def decoder(
        self,
        channels: int,
        *,
        paired: bool = False,
        start_frame: int = 0,
        begins: bool = False,
        precision: str = "auto",
    ) -> "StreamDecoder":
        from rvqcodec.models.rvq44.decoder import StreamDecoder, takes_bf16

        bf16 = takes_bf16(precision, self.network.device)
        return StreamDecoder(
            self.network, channels, paired=paired, start_frame=start_frame, begins=begins, bf16=bf16
        )  # fmt: skip
