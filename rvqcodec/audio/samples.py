"""How samples stand as bytes: little-endian PCM and float to float32 [C, n] and back, with one rounding rule."""

from dataclasses import dataclass

from rvqcodec.errors import AudioError

MIN_RATE, MAX_RATE = 8_000, 192_000
MAX_CHANNELS = 8
RAW_FORMATS = ("s16le", "f32le")


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
