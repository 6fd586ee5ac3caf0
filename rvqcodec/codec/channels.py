"""Channels of the audio to the channels that are coded, and back."""

import numpy as np

from rvqcodec.types import Samples


def to_coded(samples: Samples, *, mono: bool = False) -> Samples:
    """float32 [C, n] as the channels to code: the mean of all (`mono`), mid and side of two, else as is."""
    if mono and len(samples) > 1:
        return np.asarray(samples.mean(axis=0, dtype=np.float32, keepdims=True))
    if len(samples) != 2:
        return samples
    left, right = samples
    return np.stack([(left + right) * np.float32(0.5), (left - right) * np.float32(0.5)])


def from_coded(coded: Samples, coding: str) -> Samples:
    """The inverse: coded channels float32 [C, n] as the channels of the audio; `coding` as in the header."""
    if coding != "mid-side":
        return coded
    mid, side = coded
    return np.stack([mid + side, mid - side])
