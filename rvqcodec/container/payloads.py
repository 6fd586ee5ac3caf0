"""How the codes of a chunk become bytes, chosen by the header's codec byte; a new payload is a row of PAYLOADS.

Plain packing (codec 0) has a size that follows from the numbers of a chunk. Every other payload stands behind its
length, so readers can walk, skip and copy chunks whose payload they never unpack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from rvqcodec.container import bits, coders
from rvqcodec.container.shapes import Shape
from rvqcodec.errors import FormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Unpacked: TypeAlias = tuple[NDArray[np.uint16], ...]

PLAIN, CODED = 0, 1
"""Codec bytes: of plain bit packing, and of codes that a model's tables make shorter."""


class Payload(Protocol):
    """One way to write codes: uint16 [K, frames] of each coded channel, K at least its largest `Shape.n_q`."""

    def size(self, shape: Shape) -> int | None:
        """Bytes that the codes take; None where only the bytes themselves tell, so a chunk says its length."""

    def pack(self, codes: Sequence[NDArray[np.uint16]], shape: Shape) -> bytes:
        """The codes as bytes. ValueError for a code that does not fit its bits."""

    def unpack(self, payloads: Sequence[tuple[bytes, Shape]]) -> Sequence[Unpacked | FormatError]:
        """The codes in some chunks' bytes, the inverse of `pack`; a FormatError in place of bytes that it never gives.

        K is exactly the largest `Shape.n_q`; 0 stands where a frame has fewer.
        """

    def head(self, data: bytes, shape: Shape, total: int) -> bytes:
        """What `pack` gives for the first `total` codes of `data`, which has no fewer."""

    def fault(self, data: bytes, shape: Shape) -> tuple[int, str] | None:
        """Where in `data` and why it is wrong, as far as that shows without unpacking; else None."""


def _coder(shape: Shape) -> coders.Coder:
    assert shape.coder is not None
    return coders.coder(shape.coder)


def _encoded(
    codes: Sequence[NDArray[np.uint16]], shape: Shape, size: int | None = None, least: int = 0
) -> tuple[bytes, int]:
    try:
        return _coder(shape).encode(codes, shape, size, least)
    except ValueError as error:
        raise FormatError(f"codes cannot be coded: {error}; write them packed (codec {PLAIN})") from None


class Plain:
    """Each code in its bits, in the order in which the rule hands codes out: so a prefix is a lower bitrate."""

    def size(self, shape: Shape) -> int:
        return bits.packed_size(shape.code_bits, shape.count)

    def pack(self, codes: Sequence[NDArray[np.uint16]], shape: Shape) -> bytes:
        import numpy as np  # not above: `rvq info` starts without it

        channel, codebook, frame = shape.places()
        flat = np.zeros(shape.count, np.uint16)
        for c, rows in enumerate(codes):
            own = channel == c
            flat[own] = rows[codebook[own], frame[own]]
        return bits.pack(flat, shape.code_bits)

    def unpack(self, payloads: Sequence[tuple[bytes, Shape]]) -> Sequence[Unpacked | FormatError]:
        return [self._unpacked(data, shape) for data, shape in payloads]

    def _unpacked(self, data: bytes, shape: Shape) -> Unpacked | FormatError:
        import numpy as np

        channel, codebook, frame = shape.places()
        try:
            flat = bits.unpack(data, shape.code_bits, shape.count)
        except FormatError as error:
            return error
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


class Coded:
    """Codes as their coder makes them, where that is shorter than packing them; else packed.

    A payload as long as packed codes is packed codes: no codes take more than that.
    """

    def size(self, shape: Shape) -> int | None:
        return None

    def pack(self, codes: Sequence[NDArray[np.uint16]], shape: Shape) -> bytes:
        plain = _PLAIN.pack(codes, shape)
        if not shape.count:
            return plain
        coded, _ = _encoded(codes, shape)
        return coded if len(coded) < len(plain) else plain

    def unpack(self, payloads: Sequence[tuple[bytes, Shape]]) -> Sequence[Unpacked | FormatError]:
        coded = [i for i, (data, shape) in enumerate(payloads) if len(data) != _PLAIN.size(shape)]
        result = list(_PLAIN.unpack([item for i, item in enumerate(payloads) if i not in coded]))
        if coded:
            coder = _coder(payloads[coded[0]][1])
            for i, found in zip(coded, coder.decode([payloads[i] for i in coded]), strict=True):
                result.insert(i, FormatError(f"payload: {found}") if isinstance(found, ValueError) else found)
        return result

    def head(self, data: bytes, shape: Shape, total: int) -> bytes:
        [found] = self.unpack([(data, shape)])
        if isinstance(found, FormatError):
            raise found
        return self.pack(found, shape.with_total(total))

    def fault(self, data: bytes, shape: Shape) -> tuple[int, str] | None:
        packed = _PLAIN.size(shape)
        if len(data) == packed:
            return _PLAIN.fault(data, shape)
        if len(data) > packed:
            return 0, f"payload of {len(data)} bytes is longer than the {packed} of packed codes"
        return None


def fitted(codes: Sequence[NDArray[np.uint16]], shape: Shape, size: int, least: int) -> tuple[bytes, int]:
    """What `Coded.pack` gives for the most of these codes, from the first on, that take at most `size` bytes, or for
    `least` if they are fewer; and how many they are. Raises as it does.
    """
    packed = min(8 * size // shape.code_bits, shape.count)
    data, count = _encoded(codes, shape, size, max(least, packed // shape.step * shape.step))
    shape = shape.with_total(count)
    return (data if len(data) < _PLAIN.size(shape) else _PLAIN.pack(codes, shape)), count


_PLAIN = Plain()
PAYLOADS: dict[int, Payload] = {PLAIN: _PLAIN, CODED: Coded()}
