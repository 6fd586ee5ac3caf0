"""Several recordings one after another in one file, read as one."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio.resample import Resampler
from rvqcodec.audio.sources import Source
from rvqcodec.errors import AudioError


class ChainSource:
    """The samples of several sources, each made when the one before has ended.

    Rate and channels are those of the first. Others are converted to that rate; mono goes to all channels. A part with
    another number of channels is left out, and so is what follows one that cannot be opened: each adds a line to
    `losses`.
    """

    def __init__(self, name: str, parts: Iterator[Source], expected: int | None = None) -> None:
        """`expected`: samples per channel of all parts, unproven. Errors: those of the first part."""
        first = next(parts)
        self.sample_rate, self.channels, self.tags = first.sample_rate, first.channels, first.tags
        self.layout = first.layout
        self.n_samples: int | None = None
        self.expected = expected
        self.notes, self.warnings, self.losses = first.notes, first.warnings, first.losses
        self._name, self._parts, self._n_parts = name, parts, 1
        self._part: Source | None = first
        self._resampler = Resampler(self.sample_rate, self.sample_rate, self.channels)
        self._ready = np.zeros((self.channels, 0), np.float32)

    def read(self, n: int) -> NDArray[np.float32]:
        blocks, got = [self._ready], self._ready.shape[1]
        while got < n and self._part is not None:
            block = self._read(n - got)
            if block.shape[1]:
                spread = np.broadcast_to(block, (self.channels, block.shape[1]))
                block = self._resampler.push(np.ascontiguousarray(spread))
            else:
                block = self._resampler.flush()
                self._next()
            blocks.append(block)
            got += block.shape[1]
        whole = np.concatenate(blocks, axis=1)
        self._ready = whole[:, n:]
        return np.ascontiguousarray(whole[:, :n])

    def _read(self, n: int) -> NDArray[np.float32]:
        """What the present part gives; nothing where it fails, unless it is the first."""
        assert self._part is not None
        try:
            return self._part.read(n)
        except AudioError as error:
            if self._n_parts == 1:
                raise
            self.losses.append(f"{self._name}: part {self._n_parts} was left out: {self._without_name(error)}")
            return np.zeros((self.channels, 0), np.float32)

    def _without_name(self, error: AudioError) -> str:
        return str(error).removeprefix(f"{self._name}: ")

    def _next(self) -> None:
        """Go on to the next part that can be used; None when there is none."""
        assert self._part is not None
        self._part.close()
        if self._n_parts > 1:
            self.warnings += self._part.warnings
            self.losses += self._part.losses
        try:
            for part in self._parts:
                self._n_parts += 1
                if part.channels in (1, self.channels):
                    self._part = part
                    self._resampler = Resampler(part.sample_rate, self.sample_rate, self.channels)
                    if part.channels > 1 and part.layout != self.layout:
                        said = f"{part.layout.name} channels are taken for {self.layout.name} ones, as the first has"
                        self.warnings.append(f"{self._name}: part {self._n_parts}: {said}")
                    if part.sample_rate != self.sample_rate:
                        rates = f"from {part.sample_rate} to {self.sample_rate} Hz"
                        self.notes.append(f"{self._name}: part {self._n_parts} was converted {rates}, the first one's")
                    return
                shape = f"{part.channels} channels, the first one {self.channels}"
                self.losses.append(f"{self._name}: part {self._n_parts} was left out: it has {shape}")
                part.close()
        except AudioError as error:
            where = f"what follows part {self._n_parts} was left out"
            self.losses.append(f"{self._name}: {where}: {self._without_name(error)}")
        self._part = None

    def close(self) -> None:
        if self._part is not None:
            self._part.close()
