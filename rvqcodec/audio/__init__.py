"""Blocks of float32 samples [C, n] in and out of files and pipes, and rate conversion; all streaming."""

from rvqcodec.audio.formats import MAX_RATE, MIN_RATE
from rvqcodec.audio.input import AudioInput, open_input
from rvqcodec.audio.output import AudioOutput, open_output
from rvqcodec.audio.resample import Resampler, resampled_length
from rvqcodec.audio.samples import MAX_CHANNELS, RawFormat

__all__ = [
    "MAX_CHANNELS",
    "MAX_RATE",
    "MIN_RATE",
    "AudioInput",
    "AudioOutput",
    "RawFormat",
    "Resampler",
    "open_input",
    "open_output",
    "resampled_length",
]
