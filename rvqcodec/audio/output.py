"""Audio out: `open_output` takes blocks of float32 [C, n] to a file (whole or not at all) or to stdout."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

FORMATS = ("wav", "flac", "ogg", "raw")


class AudioOutput:
    """One recording being written. Make it with `open_output`; use it as a context manager.

    Leaving the `with` block normally closes (the file gets its name); leaving it by an exception, Ctrl-C
    included, removes what was written. `clipped` counts samples that were limited; `samples_written` per channel.
    """

    clipped: int
    samples_written: int

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append float32 [channels, n]."""
        raise NotImplementedError

    def close(self) -> None:
        """Finish; may be called twice."""

    def abort(self) -> None:
        """Remove what was written; may be called after close, then without effect."""

    def __enter__(self) -> "AudioOutput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def open_output(
    target: str | Path,
    sample_rate: int,
    channels: int,
    *,
    format: str | None = None,
    subtype: str | None = None,
    n_samples: int | None = None,
    tags: Mapping[str, str] | None = None,
) -> AudioOutput:
    """Open a file, or stdout for "-", for writing.

    `format` is one of FORMATS; None means by the ending of `target` (stdout: "wav"). `subtype` names the sample
    type, in any case; None means PCM_16 (s16le for raw, VORBIS for ogg, OPUS for a name that ends in .opus).
    `n_samples` per channel, when known, makes the sizes in a WAV header on stdout exact. `tags` as in AudioInput.
    Raises AudioError, in one line; BrokenPipeError passes as it is. An existing file is replaced: asking is the
    command line's duty.
    """
    raise NotImplementedError
