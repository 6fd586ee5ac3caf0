"""How samples stand as bytes: little-endian PCM and float to float32 [C, n] and back, with one rounding rule.

An integer of b bits stands for value / 2**(b-1), as in libsndfile; the other way it is
round-half-even(x * 2**(b-1)), limited to the integer's range, without dither. Files and pipes share this
rule. (libsndfile itself, with clipping on, rounds down, which is off by half a step on average.)
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio.formats import MAX_RATE, MIN_RATE, RAW_FORMATS
from rvqcodec.errors import AudioError

MAX_CHANNELS = 8

# Bytes per sample of every encoding that we read or write ourselves; the names are libsndfile's.
WIDTH = {
    "PCM_U8": 1, "PCM_S8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ALAW": 1, "ULAW": 1,
}  # fmt: skip


def check_rate_and_channels(name: str, sample_rate: int, channels: int) -> None:
    """Raise AudioError unless the rate (Hz) and the number of channels are ones that rvq works with."""
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise AudioError(f"{name}: {sample_rate} Hz; rvq takes sample rates from {MIN_RATE} to {MAX_RATE} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{name}: {channels} channels; rvq takes 1 to {MAX_CHANNELS}")


@dataclass(frozen=True)
class RawFormat:
    """What headerless PCM means: rate in Hz, channels (interleaved), and one of RAW_FORMATS."""

    sample_rate: int
    channels: int
    sample_format: str = "s16le"

    def __post_init__(self) -> None:
        if self.sample_format not in RAW_FORMATS:
            raise AudioError(f"raw format {self.sample_format!r}: must be one of {', '.join(RAW_FORMATS)}")
        check_rate_and_channels("raw audio", self.sample_rate, self.channels)

    @property
    def encoding(self) -> str:
        """The name in WIDTH."""
        return RAW_FORMATS[self.sample_format]


def decode(data: bytes, encoding: str, channels: int, order: str = "<") -> NDArray[np.float32]:
    """Interleaved bytes (whole sample frames) to float32 [channels, n], integers scaled to -1 <= x < 1.

    order: "<" for little-endian samples, ">" for big-endian ones.
    """
    values: NDArray[np.float32]
    if encoding == "PCM_U8":
        values = (np.frombuffer(data, np.uint8).astype(np.float32) - np.float32(128)) * np.float32(2**-7)
    elif encoding == "PCM_S8":
        values = np.frombuffer(data, np.int8) * np.float32(2**-7)
    elif encoding in ("ALAW", "ULAW"):
        values = _companded(encoding)[np.frombuffer(data, np.uint8)]
    elif encoding == "PCM_16":
        values = np.frombuffer(data, f"{order}i2") * np.float32(2**-15)
    elif encoding == "PCM_24":
        # Three bytes become the upper three of an int32: the sign comes out right, and float32 holds it
        # exactly.
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)[:, :: 1 if order == "<" else -1]
        values = wide.view("<i4")[:, 0].astype(np.float32) * np.float32(2**-31)
    elif encoding == "PCM_32":
        values = np.frombuffer(data, f"{order}i4").astype(np.float32) * np.float32(2**-31)
    elif encoding == "FLOAT":
        values = np.frombuffer(data, f"{order}f4").astype(np.float32)
    else:
        assert encoding == "DOUBLE", encoding
        with np.errstate(over="ignore", invalid="ignore"):
            # What is too large becomes infinite; AudioInput repairs that.
            values = np.frombuffer(data, f"{order}f8").astype(np.float32)
    return np.ascontiguousarray(values.reshape(-1, channels).T, dtype=np.float32)


@cache
def _companded(encoding: str) -> NDArray[np.float32]:
    """What each of the 256 bytes of ITU-T G.711 stands for."""
    codes = np.arange(256)
    if encoding == "ULAW":
        bits = ~codes & 0xFF
        size = ((2 * (bits & 15) + 33) << (bits >> 4 & 7)) - 33
        values = np.where(bits & 0x80, -size, size) * 4
    else:
        bits = codes ^ 0x55
        part, step = bits >> 4 & 7, 2 * (bits & 15) + 1
        size = np.where(part == 0, step, (step + 32) << np.maximum(part - 1, 0))
        values = np.where(bits & 0x80, size, -size) * 8
    return (values * 2.0**-15).astype(np.float32)


def quantize(samples: NDArray[np.float32], encoding: str) -> tuple[NDArray[np.generic], int]:
    """float32 [C, n] to the integers (int16, or int32 for the wider ones) that `encoding` stores, and how
    many samples lay outside -1 <= x <= 1 and were limited. FLOAT keeps every value and counts none.
    """
    if encoding == "FLOAT":
        return samples, 0
    outside = ~(np.abs(samples) <= 1)  # True for NaN as well
    n_outside = int(np.count_nonzero(outside))
    if n_outside:
        samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    full = 2.0 ** (8 * WIDTH[encoding] - 1)
    # float32 cannot hold 2**31 - 1, so the widest one is limited in float64.
    scaled = samples * (np.float64(full) if encoding == "PCM_32" else np.float32(full))
    limited = np.clip(np.rint(scaled), -full, full - 1)
    return limited.astype(np.int16 if WIDTH[encoding] <= 2 else np.int32), n_outside


def encode(values: NDArray[np.generic], encoding: str) -> bytes:
    """What `quantize` gave, [C, n], as interleaved little-endian bytes."""
    interleaved = np.ascontiguousarray(values.T)
    if encoding == "PCM_U8":
        return (interleaved.astype(np.int16) + 128).astype(np.uint8).tobytes()
    if encoding == "PCM_24":
        return interleaved.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return interleaved.astype({"PCM_16": "<i2", "PCM_32": "<i4", "FLOAT": "<f4"}[encoding]).tobytes()
