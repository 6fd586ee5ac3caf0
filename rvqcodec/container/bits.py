"""Codes to bytes and back: `width` bits a code, most significant bit first, then zero bits to a whole
byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvqcodec.errors import FormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def packed_size(width: int, count: int) -> int:
    """Bytes that `count` codes of `width` bits take."""
    return (width * count + 7) // 8


def padding_is_zero(data: bytes, width: int, count: int) -> bool:
    """Whether the bits of the last byte that belong to no code are zero."""
    spare = -width * count % 8
    return spare == 0 or data[packed_size(width, count) - 1] & ((1 << spare) - 1) == 0


def head(data: bytes, width: int, count: int) -> bytes:
    """The first `count` codes of packed ones, packed as if they were all."""
    size, spare = packed_size(width, count), -width * count % 8
    kept = bytearray(data[:size])
    if spare:
        kept[-1] &= 0xFF << spare & 0xFF
    return bytes(kept)


def pack(codes: NDArray[np.uint16], width: int) -> bytes:
    """Codes [n] or [K, T] (row by row, so codebook by codebook) as bytes; `width` is 1 to 16 bits.

    Raises ValueError when a code does not fit `width` bits.
    """
    import numpy as np

    flat = np.ascontiguousarray(codes, dtype=np.uint16).reshape(-1)
    if flat.size and int(flat.max()) >> width:
        raise ValueError(f"code {int(flat.max())} does not fit {width} bits")
    bits = np.unpackbits(flat.astype(">u2").view(np.uint8)).reshape(-1, 16)
    return np.packbits(bits[:, 16 - width :]).tobytes()


def unpack(data: bytes, width: int, count: int) -> NDArray[np.uint16]:
    """The `count` codes of `width` bits (1 to 16) in `data`, uint16 [count].

    Raises FormatError when `data` is longer or shorter than they need, or when a padding bit is set.
    """
    import numpy as np

    if len(data) != packed_size(width, count):
        raise FormatError(f"{count} codes of {width} bits take {packed_size(width, count)} bytes, not {len(data)}")
    if not padding_is_zero(data, width, count):
        raise FormatError("padding bits after the last code are not zero")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=width * count).reshape(count, width)
    wide = np.zeros((count, 16), np.uint8)
    wide[:, 16 - width :] = bits
    return np.packbits(wide).view(">u2").astype(np.uint16)
