"""`open` an `.rvq` file as a `Recording`: its header at once, codes and sound when asked for."""

import math
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from rvqcodec import speakers
from rvqcodec.api.arrays import as_asked
from rvqcodec.codec import DecodeOptions, decoding
from rvqcodec.codes.grid import Codes
from rvqcodec.container import Reader
from rvqcodec.errors import AudioError
from rvqcodec.types import Samples

if TYPE_CHECKING:
    from torch import Tensor


def open(path: str | os.PathLike[str]) -> "Recording":
    """An `.rvq` file: its header at once, codes and sound when asked for. Errors: FormatError, OSError."""
    return Recording(path)


class Recording:
    """An `.rvq` file. Make it with `open`; it holds no file open between calls.

    `header` is all that its header says; of this there are here `sample_rate` (Hz), `channels`, `layout` (their
    loudspeakers: "stereo", "5.1", "FL+FR+TC", "discrete" for none) and `tags`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path)
        with self.path.open("rb") as file:
            self.header: Final = Reader(file).header
        self.sample_rate: Final = self.header.sample_rate
        self.channels: Final = self.header.channels
        self.layout: Final = speakers.name(self.header.layout, self.header.channels)
        self.tags: Final = self.header.tags

    @cached_property
    def n_samples(self) -> int:
        """Samples per channel; reads the whole file where its header does not say (made in a pipe)."""
        if self.header.n_samples is not None:
            return self.header.n_samples
        return self.codes.header.n_samples or 0

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.n_samples / self.sample_rate

    @cached_property
    def codes(self) -> Codes:
        """All codes; read, and every checksum checked, when first asked for. Errors: FormatError."""
        with self.path.open("rb") as file:
            return Codes.read(file)

    @overload
    def decode(
        self,
        start: float = 0.0,
        duration: float | None = None,
        *,
        n_q: int | None = None,
        rate: int | None = None,
        device: str = "cpu",
        as_torch: Literal[False] = False,
    ) -> Samples: ...
    @overload
    def decode(
        self,
        start: float = 0.0,
        duration: float | None = None,
        *,
        n_q: int | None = None,
        rate: int | None = None,
        device: str = "cpu",
        as_torch: Literal[True],
    ) -> "Tensor": ...
    def decode(
        self,
        start: float = 0.0,
        duration: float | None = None,
        *,
        n_q: int | None = None,
        rate: int | None = None,
        device: str = "cpu",
        as_torch: bool = False,
    ) -> Any:
        """Audio float32 [C, n] from `start` on, for `duration` (None: to the end), both in seconds.

        rate: in Hz (None: the recording's). n_q: limit of codebooks a frame, over all channels.
        Reads only the chunks it needs. FormatError, WeightsError, AudioError for a start behind the end.
        """
        if not (start >= 0 and math.isfinite(start) and (duration is None or 0 <= duration < math.inf)):
            raise AudioError(f"start {start} s, duration {duration} s: must be 0 or more")
        options = DecodeOptions(n_q=n_q, device=device, rate=rate, start=start, duration=duration)
        with self.path.open("rb") as file:
            return as_asked(decoding.decode_samples(Reader(file), options), as_torch)
