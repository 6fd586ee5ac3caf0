"""Audio in: `open_input` turns a path or stdin into blocks of float32 [C, n], in constant memory."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio.samples import RawFormat

BLOCK = 65_536


class AudioInput:
    """One recording being read. Make it with `open_input`; use it as a context manager.

    `name` is what messages call it ("stdin" or the path). `sample_rate` in Hz, `channels` 1..8. `n_samples` per
    channel is exact (blocks deliver that many or raise AudioError), or None when unknown (pipes). `tags` maps
    upper-case Vorbis comment keys (TITLE, ARTIST, ...) to text. While reading: `samples_read` per channel,
    `repaired` (values that were NaN, infinite or absurd and were replaced), `warnings` (one-line texts for the user).
    """

    name: str
    sample_rate: int
    channels: int
    n_samples: int | None
    tags: dict[str, str]
    warnings: list[str]
    samples_read: int
    repaired: int

    def blocks(self, n: int = BLOCK) -> Iterator[NDArray[np.float32]]:
        """Yield float32 [channels, n] (contiguous; the last block shorter, never empty) until the end, once."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what is held open; may be called twice."""

    def __enter__(self) -> "AudioInput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_input(source: str | Path, raw: RawFormat | None = None) -> AudioInput:
    """Open a file, or stdin for "-", for reading; with `raw` its bytes are headerless PCM.

    Raises AudioError, in one line, for what cannot be read.
    """
    raise NotImplementedError
