"""What a user may choose when encoding and decoding, and what is reported back."""

import math
from dataclasses import dataclass

from rvqcodec.audio import RawFormat


@dataclass(frozen=True)
class EncodeOptions:
    """bitrate: the most the payload takes, bits per second over all coded channels (None: 6000, or what of the model's
    comes nearest); n_q (codebooks a frame over all coded channels) overrides it. chunk_seconds None: 128 frames. tags
    are added to the input's, or replace them. raw: the input's bytes are headerless PCM. verify: read back and compare
    what was written. constant: every frame of a chunk has the same number of codes, instead of more where more is
    heard. layout: of the input's channels, in place of what it says (`speakers.parse`). gain: in dB, of the input.
    ignore_length: take all that stands behind the head of a PCM file as samples, whatever length it announces.
    plain: codes are packed, not coded by the model's tables.
    """

    bitrate: int | None = None
    n_q: int | None = None
    mono: bool = False
    model: str | None = None
    device: str = "auto"
    chunk_seconds: float | None = None
    tags: tuple[tuple[str, str], ...] = ()
    raw: RawFormat | None = None
    verify: bool = False
    constant: bool = False
    layout: str | None = None
    ignore_length: bool = False
    gain: float = 0.0
    plain: bool = False


@dataclass(frozen=True)
class Remarks:
    """Lines for the user about an input, each with its name: `losses` say which sound was not read, `warnings` what
    is odd, `notes` what is left out by rule.
    """

    losses: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EncodeReport:
    """What was done: samples per channel at `sample_rate`, bytes of codes and of the whole file, remarks."""

    sample_rate: int
    channels: int
    n_samples: int
    payload_bytes: int
    file_bytes: int
    remarks: Remarks

    @property
    def seconds(self) -> float:
        return self.n_samples / self.sample_rate


@dataclass(frozen=True)
class DecodeOptions:
    """n_q: limit of codebooks a frame over all coded channels. rate: sample rate of the output (None:
    the file's). start, duration: the part to decode, in seconds. format, subtype, gain, limit: as for
    `audio.open_output`. salvage: put silence for what is damaged and go on.
    """

    n_q: int | None = None
    device: str = "auto"
    rate: int | None = None
    start: float = 0.0
    duration: float | None = None
    format: str | None = None
    subtype: str | None = None
    salvage: bool = False
    gain: float = 0.0
    limit: bool = False


@dataclass(frozen=True)
class DecodeReport:
    """What was done: samples per channel at `sample_rate`, a line a loss, the tags that the format has no place for,
    and what it cannot say of the channels' layout, or "".

    clipped: values over full scale that were cut, limited: that a limiter turned down; peak: the largest before that.
    """

    sample_rate: int
    channels: int
    n_samples: int
    clipped: int
    losses: tuple[str, ...]
    lost_tags: tuple[str, ...]
    layout_note: str
    limited: int
    peak: float

    @property
    def over(self) -> float:
        """How far the peak is over full scale, in dB, rounded up to a tenth; 0 if it is not."""
        return math.ceil(200 * math.log10(max(1.0, self.peak))) / 10

    @property
    def seconds(self) -> float:
        return self.n_samples / self.sample_rate
