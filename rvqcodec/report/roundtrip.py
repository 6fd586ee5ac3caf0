"""Encode and decode one recording through the functions behind `rvq encode` and `rvq decode`."""

from dataclasses import dataclass
from pathlib import Path

from rvqcodec.codec import EncodeOptions, encode_file
from rvqcodec.codec.options import Remarks
from rvqcodec.report.recording import Sound, read_recording


@dataclass(frozen=True)
class Roundtrip:
    """One recording there and back: the `.rvq` file, and what a listener gets."""

    encoded: Path
    encoded_bytes: int
    bits_per_second: float  # of the whole file, its container counted
    decoded: Sound
    remarks: Remarks  # about the source


def code_file(
    source: str | Path,
    folder: Path,
    bitrate: int,
    *,
    mono: bool = False,
    model: str | None = None,
    device: str = "auto",
) -> Roundtrip:
    """Encode `source` at `bitrate` (bits per second) into `folder` and decode it. Errors: RvqError, OSError.

    The model is loaded once a process, however often this is called.
    """
    encoded = folder / f"{bitrate}.rvq"
    options = EncodeOptions(bitrate=bitrate, mono=mono, model=model, device=device)
    report = encode_file(source, encoded, options)
    recording = read_recording(str(encoded), device=device)
    return Roundtrip(encoded, report.file_bytes, report.file_bytes * 8 / report.seconds, recording, report.remarks)
