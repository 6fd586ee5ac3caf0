"""How the codes of a chunk become bytes, chosen by the header's codec byte; a new payload is a row of PAYLOADS.

Plain packing (codec 0) has a size that follows from the numbers of a chunk. Every other payload stands behind its
length, so readers can walk, skip and copy chunks whose payload they never unpack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rvqcodec.container import bits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PLAIN = 0
"""The codec byte of plain bit packing."""


@dataclass(frozen=True)
class Shape:
    """What a payload holds: `n_q` codebooks of each coded channel, `frames` frames, codes of `code_bits` bits."""

    n_q: tuple[int, ...]
    frames: int
    code_bits: int

    @property
    def count(self) -> int:
        """Codes in all."""
        return sum(self.n_q) * self.frames


class Payload(Protocol):
    """One way to write codes: uint16 [n_q, frames] of each coded channel, in order."""

    def size(self, shape: Shape) -> int | None:
        """Bytes that the codes take; None where only the bytes themselves tell, so a chunk says its length."""

    def pack(self, codes: Sequence[NDArray[np.uint16]], shape: Shape) -> bytes:
        """The codes as bytes. ValueError for a code that does not fit its bits."""

    def unpack(self, data: bytes, shape: Shape) -> tuple[NDArray[np.uint16], ...]:
        """The codes in `data`, the inverse of `pack`. FormatError for bytes that `pack` never gives."""

    def fault(self, data: bytes, shape: Shape) -> tuple[int, str] | None:
        """Where in `data` and why it is wrong, as far as that shows without unpacking; else None."""


class Plain:
    """Each code in its bits: channel by channel, codebook by codebook, frame by frame, without gaps."""

    def size(self, shape: Shape) -> int | None:
        return bits.packed_size(shape.code_bits, shape.count)

    def pack(self, codes: Sequence[NDArray[np.uint16]], shape: Shape) -> bytes:
        import numpy as np  # not above: `rvq info` starts without it

        return bits.pack(np.concatenate([np.asarray(c, np.uint16).reshape(-1) for c in codes]), shape.code_bits)

    def unpack(self, data: bytes, shape: Shape) -> tuple[NDArray[np.uint16], ...]:
        flat = bits.unpack(data, shape.code_bits, shape.count)
        codes, at = [], 0
        for n_q in shape.n_q:
            codes.append(flat[at : at + n_q * shape.frames].reshape(n_q, shape.frames))
            at += n_q * shape.frames
        return tuple(codes)

    def fault(self, data: bytes, shape: Shape) -> tuple[int, str] | None:
        if bits.padding_is_zero(data, shape.code_bits, shape.count):
            return None
        return len(data) - 1, "padding bits are not zero"


PAYLOADS: dict[int, Payload] = {PLAIN: Plain()}
