"""`Wrapped`: what `stream.Network` asks of a network and all three of transformers' models give in the same way."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rvqcodec.models.published.layers import Layer, stream_of

if TYPE_CHECKING:
    from torch import Tensor


class Wrapped:
    """A model of transformers with an `encoder` and a `decoder`; quantizing is left to the family."""

    fills = False

    def __init__(self, model: Any, width: int) -> None:
        """width: of its latents."""
        self._model, self.width = model, width

    @property
    def device(self) -> Any:
        return self._model.device

    def analysis(self) -> Layer:
        return stream_of(self._model.encoder)

    def synthesis(self) -> Layer:
        return stream_of(self._model.decoder)


def summed(parts: "Sequence[Tensor]") -> "Tensor":
    """The sum of one tensor or more, from the first on: as the quantizers of transformers add them up."""
    return sum(parts[1:], start=parts[0])
