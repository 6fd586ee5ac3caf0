"""The door: chunks to payloads (`encoding`) and payloads to chunks (`decoding`), if the tables know such codes."""

from collections.abc import Sequence

from rvqcodec.container.shapes import Shape
from rvqcodec.models.rvq44.likely import ENVELOPE, Likely
from rvqcodec.models.rvq44.payload.decoding import decode
from rvqcodec.models.rvq44.payload.encoding import encode
from rvqcodec.models.rvq44.payload.frequencies import Frequencies
from rvqcodec.models.rvq44.payload.order import Codes, Order


class PayloadCoder:
    """See `container.coders.Coder`. paired: of two coded channels the second is the second one of a pair."""

    def __init__(self, likely: Likely, *, paired: bool) -> None:
        self._likely, self._paired = likely, paired
        self._frequencies = Frequencies(likely)

    def encode(
        self, codes: Sequence[Codes], shape: Shape, size: int | None = None, least: int = 0
    ) -> tuple[bytes, int]:
        """As `Coder.encode`."""
        return encode(codes, self._order(shape), self._likely, self._frequencies, size, least)

    def decode(self, payloads: Sequence[tuple[bytes, Shape]]) -> list[tuple[Codes, ...] | ValueError]:
        """As `Coder.decode`."""
        done: dict[int, tuple[Codes, ...] | ValueError] = {}
        parts: list[tuple[int, bytes, Order]] = []
        for i, (data, shape) in enumerate(payloads):
            try:
                parts.append((i, data, self._order(shape)))
            except ValueError as error:
                done[i] = error
        done.update(decode(parts, self._likely, self._frequencies))
        return [done[i] for i in range(len(payloads))]

    def _order(self, shape: Shape) -> Order:
        """ValueError for codes that the tables do not know."""
        likely, order = self._likely, Order(shape, paired=self._paired)
        most = [
            len(likely.static_second) + 1 if order.second(c) else len(likely.static) + ENVELOPE for c in order.channels
        ]
        if 1 << shape.code_bits != likely.size or any(
            n.max(initial=0) > k for n, k in zip(order.n_q, most, strict=True)
        ):
            raise ValueError(
                f"more codes of a frame, or other ones, than the tables know ({most} of 0 to {likely.size - 1})"
            )
        return order
