"""Stereo turned chunk by chunk before it is coded, by the angle that leaves least in the second channel."""

import numpy as np

from rvqcodec.codec import rotation
from rvqcodec.container import Header
from rvqcodec.types import Samples


class Turner:
    """Left and right at the model's rate to main and second: a chunk's samples wait until its angle is known."""

    def __init__(self, header: Header) -> None:
        self._frames, self._hop, self._rate = header.frames_per_chunk, header.hop, header.model_rate
        self._rotation = rotation.Rotation(header.hop, skip=header.pre_skip)
        self._pending: Samples = np.zeros((2, 0), np.float32)
        self._missing = header.pre_skip  # samples of the first chunk that the stream lacks
        self._angles: list[int] = []

    def angle(self, chunk: int) -> int:
        """The angle of a chunk, by its number."""
        return self._angles[chunk] if chunk < len(self._angles) else self._angles[-1]

    def push(self, samples: Samples) -> Samples:
        """float32 [2, n] -> main and second [2, m] of the chunks that are complete."""
        self._pending = np.concatenate([self._pending, samples], 1)
        done = [np.zeros((2, 0), np.float32)]
        while self._pending.shape[1] >= self._frames * self._hop - self._missing:
            done.append(self._turn(self._frames * self._hop - self._missing))
        return np.concatenate(done, 1)

    def flush(self) -> Samples:
        """The rest."""
        return np.concatenate([self._turn(self._pending.shape[1]), self._rotation.flush()], 1)

    def _turn(self, n: int) -> Samples:
        """The next n samples, which are a chunk or its beginning."""
        part, self._pending = self._pending[:, :n], self._pending[:, n:]
        self._missing = 0
        before = self._angles[-1] if self._angles else rotation.MIDDLE
        self._angles.append(rotation.choose(rotation.powers(part, self._rate), before))
        return self._rotation.push(part, [self._angles[-1]] * self._frames)
