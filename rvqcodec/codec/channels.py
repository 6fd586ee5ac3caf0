"""Channels of the audio to the channels that are coded; stereo is turned besides (`turning`, `rotation`)."""

import numpy as np

from rvqcodec.types import Samples


def to_coded(samples: Samples, *, mono: bool = False) -> Samples:
    """float32 [C, n] as the channels to code: the mean of all (`mono`), else as is."""
    return samples.mean(axis=0, dtype=np.float32, keepdims=True) if mono and len(samples) > 1 else samples
