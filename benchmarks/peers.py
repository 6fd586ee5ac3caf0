"""The classic codecs beside us: opus, mp3, codec 2 and speex, run as the programs that Debian ships."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]

RATE = 44100
CODEC2_DELAY = 160  # samples at 8 kHz: STOI is highest there, on every clip tried


@dataclass(frozen=True)
class Peer:
    """A codec at one bitrate.

    `code` takes samples float32 [C, n] at 44.1 kHz and an empty folder to work in, and gives back the encoded
    file and the decoded samples [C, m] at 44.1 kHz. `align`: the program leaves a delay, seen in its output.
    """

    family: str
    asked: int  # bits per second
    programs: tuple[str, ...]
    code: Callable[[Samples, Path], tuple[Path, Samples]]
    stereo: bool = True
    align: bool = True
    kind: str = ""  # another name for it and its like

    @property
    def name(self) -> str:
        return f"{self.family} {self.asked / 1000:g}"

    def missing(self) -> list[str]:
        """Programs that are not on this machine."""
        return [program for program in self.programs if shutil.which(program) is None]


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace")[-300:]
        raise RuntimeError(f"{command[0]} failed ({done.returncode}): {last}")


def _write(path: Path, samples: Samples, rate: int) -> Path:
    resampled = soxr.resample(np.ascontiguousarray(samples.T), RATE, rate) if rate != RATE else samples.T
    sf.write(path, np.clip(resampled, -1.0, 1.0), rate, subtype="PCM_16")
    return path


def _read(path: Path) -> Samples:
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    if rate != RATE:
        samples = soxr.resample(samples, rate, RATE)
    return np.ascontiguousarray(samples.T)


def opus(bitrate: int) -> Peer:
    """opusenc as installed (libopus, complexity 10, VBR: its defaults)."""

    def code(samples: Samples, folder: Path) -> tuple[Path, Samples]:
        encoded, decoded = folder / "out.opus", folder / "out.wav"
        wav = _write(folder / "in.wav", samples, RATE)
        _run("opusenc", "--quiet", "--comp", "10", "--bitrate", f"{bitrate / 1000:g}", wav, encoded)
        _run("opusdec", "--quiet", "--float", "--rate", str(RATE), encoded, decoded)
        return encoded, _read(decoded)

    return Peer("opus", bitrate, ("opusenc", "opusdec"), code)


def mp3(bitrate: int) -> Peer:
    """lame at a constant bitrate; it lowers the sample rate by itself."""

    def code(samples: Samples, folder: Path) -> tuple[Path, Samples]:
        encoded, decoded = folder / "out.mp3", folder / "out.wav"
        wav = _write(folder / "in.wav", samples, RATE)
        _run("lame", "--quiet", "-q", "0", "-b", f"{bitrate // 1000}", wav, encoded)
        _run("lame", "--quiet", "--decode", encoded, decoded)
        return encoded, _read(decoded)

    return Peer("mp3", bitrate, ("lame",), code)


def codec2(bitrate: int) -> Peer:
    """Codec 2 (8 kHz speech). A vocoder's waveform tells no delay: its 20 ms are taken out here."""

    def code(samples: Samples, folder: Path) -> tuple[Path, Samples]:
        raw, encoded, decoded = folder / "in.raw", folder / "out.c2", folder / "out.raw"
        narrow = soxr.resample(samples[0], RATE, 8000)
        (np.clip(narrow, -1.0, 1.0) * 32767).astype("<i2").tofile(raw)
        _run("c2enc", str(bitrate), raw, encoded)
        _run("c2dec", str(bitrate), encoded, decoded)
        out = np.fromfile(decoded, "<i2").astype(np.float32) / 32768
        return encoded, soxr.resample(out[CODEC2_DELAY:], 8000, RATE)[None]

    return Peer("codec2", bitrate, ("c2enc", "c2dec"), code, stereo=False, align=False)


def speex(bitrate: int) -> Peer:
    """Speex, wide band (16 kHz), the quality that stays within `bitrate`."""

    def code(samples: Samples, folder: Path) -> tuple[Path, Samples]:
        encoded, decoded = folder / "out.spx", folder / "out.wav"
        wav = _write(folder / "in.wav", samples, 16000)
        _run("speexenc", "-w", "--comp", "10", "--bitrate", str(bitrate), wav, encoded)
        _run("speexdec", encoded, decoded)
        return encoded, _read(decoded)

    return Peer("speex", bitrate, ("speexenc", "speexdec"), code, stereo=False)


PEERS = (
    *(opus(rate) for rate in (6000, 8000, 12000, 16000, 24000)),
    *(mp3(rate) for rate in (16000, 24000, 32000)),
    codec2(3200),
    *(speex(rate) for rate in (8000, 16000)),
)
