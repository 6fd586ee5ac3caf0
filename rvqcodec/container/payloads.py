"""How the codes of a chunk become bytes, chosen by the header's codec byte; a new payload is a row of PAYLOADS.

Plain packing (codec 0) has a size that follows from the numbers of a chunk. Every other payload stands behind its
length, so readers can walk, skip and copy chunks whose payload they never unpack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from rvqcodec.container import allocation, bits
from rvqcodec.container.allocation import Allocation, Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PLAIN = 0
"""The codec byte of plain bit packing."""


@dataclass(frozen=True)
class Shape:
    """What a payload holds: codes of `code_bits` bits for `frames` frames, as many of each as the allocation says."""

    limits: Limits
    allocation: Allocation
    frames: int
    code_bits: int

    @property
    def count(self) -> int:
        """Codes in all."""
        return self.allocation.total

    def n_q(self) -> NDArray[np.uint8]:
        """Codes of each frame and coded channel, uint8 [C, T]."""
        return allocation.n_q(self.limits, self.allocation, self.frames)

    def places(self) -> tuple[NDArray[np.intp], ...]:
        """Channel, codebook, frame of each code, in the order in which the rule hands them out: arrays [count]."""
        return allocation.places(self.limits, self.allocation, self.frames)

    def with_total(self, total: int) -> Shape:
        """The same with at most that many codes: the first of them."""
        return replace(self, allocation=self.allocation.with_total(total))


class Payload(Protocol):
    """One way to write codes: uint16 [K, frames] of each coded channel, K at least its largest `Shape.n_q`."""

    def size(self, shape: Shape) -> int | None:
        """Bytes that the codes take; None where only the bytes themselves tell, so a chunk says its length."""

    def pack(self, codes: Sequence[NDArray[np.uint16]], shape: Shape) -> bytes:
        """The codes as bytes. ValueError for a code that does not fit its bits."""

    def unpack(self, data: bytes, shape: Shape) -> tuple[NDArray[np.uint16], ...]:
        """The codes in `data`, the inverse of `pack`, K exactly the largest `Shape.n_q`; 0 where a frame has fewer.

        FormatError for bytes that `pack` never gives.
        """

    def head(self, data: bytes, shape: Shape, total: int) -> bytes:
        """What `pack` gives for the first `total` codes of `data`, which has no fewer."""

    def fault(self, data: bytes, shape: Shape) -> tuple[int, str] | None:
        """Where in `data` and why it is wrong, as far as that shows without unpacking; else None."""


class Plain:
    """Each code in its bits, in the order in which the rule hands codes out: so a prefix is a lower bitrate."""

    def size(self, shape: Shape) -> int | None:
        return bits.packed_size(shape.code_bits, shape.count)

    def pack(self, codes: Sequence[NDArray[np.uint16]], shape: Shape) -> bytes:
        import numpy as np  # not above: `rvq info` starts without it

        channel, codebook, frame = shape.places()
        flat = np.zeros(shape.count, np.uint16)
        for c, rows in enumerate(codes):
            own = channel == c
            flat[own] = rows[codebook[own], frame[own]]
        return bits.pack(flat, shape.code_bits)

    def unpack(self, data: bytes, shape: Shape) -> tuple[NDArray[np.uint16], ...]:
        import numpy as np

        channel, codebook, frame = shape.places()
        flat = bits.unpack(data, shape.code_bits, shape.count)
        codes = []
        for c in range(len(shape.limits)):
            own = channel == c
            rows = np.zeros((int(codebook[own].max(initial=-1)) + 1, shape.frames), np.uint16)
            rows[codebook[own], frame[own]] = flat[own]
            codes.append(rows)
        return tuple(codes)

    def head(self, data: bytes, shape: Shape, total: int) -> bytes:
        return bits.head(data, shape.code_bits, total)

    def fault(self, data: bytes, shape: Shape) -> tuple[int, str] | None:
        if bits.padding_is_zero(data, shape.code_bits, shape.count):
            return None
        return len(data) - 1, "padding bits are not zero"


PAYLOADS: dict[int, Payload] = {PLAIN: Plain()}
