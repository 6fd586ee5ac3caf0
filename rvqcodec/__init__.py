"""rvqcodec: a streaming neural audio codec; importing the package costs nothing heavy.

    import rvqcodec

    codec = rvqcodec.load()                          # the network, verified
    codes = codec.encode(wav, 44100, bitrate="6kbps")  # float32 [C, n] -> Codes
    wav = codec.decode(codes)
    rvqcodec.open("song.rvq").decode(start=60, duration=5)

torch, soundfile and soxr are imported when a name that needs them is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rvqcodec.api.codec import AudioCodec, load
    from rvqcodec.api.live import Decoder, Encoder
    from rvqcodec.api.recording import Recording, open
    from rvqcodec.api.residual import ResidualQuantizer
    from rvqcodec.codes import tokens
    from rvqcodec.codes.grid import Codes
    from rvqcodec.errors import AudioError, BitrateError, FormatError, RvqError, WeightsError

__version__ = "0.2.0"

__all__ = [
    "AudioCodec",
    "AudioError",
    "BitrateError",
    "Codes",
    "Decoder",
    "Encoder",
    "FormatError",
    "Recording",
    "ResidualQuantizer",
    "RvqError",
    "WeightsError",
    "load",
    "open",
    "tokens",
]

_HOME = {
    "AudioCodec": "api.codec",
    "Recording": "api.recording",
    "load": "api.codec",
    "open": "api.recording",
    "Codes": "codes.grid",
    "Decoder": "api.live",
    "Encoder": "api.live",
    "ResidualQuantizer": "api.residual",
    "AudioError": "errors",
    "BitrateError": "errors",
    "FormatError": "errors",
    "RvqError": "errors",
    "WeightsError": "errors",
}


def __getattr__(name: str) -> Any:
    if name == "tokens":
        return importlib.import_module("rvqcodec.codes.tokens")
    if name not in _HOME:
        raise AttributeError(f"module 'rvqcodec' has no attribute {name!r}")
    return getattr(importlib.import_module(f"rvqcodec.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
