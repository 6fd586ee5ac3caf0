"""Fixtures for all tests: made-up signals, and `rvq` run in this process or in one of its own."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import recording
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
RVQ = (sys.executable, "-c", "from rvqcodec.cli import main; main(prog_name='rvq')")
os.environ["RVQ_MODELS"] = str(ROOT / ".no-models")  # those of the user who runs the tests are not under test
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "100"}

# Whoever starts the tests in the background, or with nohup, has signals ignored; children would ignore them too. Those
# that have a handler here begin as usual in children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("SIGHUP", "SIGQUIT"):
    if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, name), lambda number, frame: None)

Rvq = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="session")
def signals() -> ModuleType:
    """benchmarks/recording.py: `voice`, `music` and `recording`, the sounds that the demo uses too."""
    return recording


@pytest.fixture(scope="session")
def stereo(signals: ModuleType) -> NDArray[np.float32]:
    """Three seconds of voice over music, float32 [2, n] at 44.1 kHz."""
    return np.asarray(signals.recording(3.0), np.float32)


@pytest.fixture(scope="session")
def speech(signals: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[NDArray[np.float32], int]:
    """Speech, float32 [n], and its sample rate: espeak-ng's where it is installed, else voice-like sound."""
    if shutil.which("espeak-ng") is None:
        return signals.voice(3.0), signals.RATE
    import soundfile

    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    text = "The quick brown fox jumps over the lazy dog, sixteen times."
    subprocess.run(["espeak-ng", "-w", str(path), text], check=True, timeout=60)
    samples, rate = soundfile.read(path, dtype="float32")
    return samples, rate


@pytest.fixture
def rvq() -> Rvq:
    """Runs `rvq ARGS` as a process of its own; `input`, `stdin`, `stdout`, `cwd`, `env` as for subprocess.run."""

    def run(*args: str | Path, timeout: float = 120, **options: Any) -> "subprocess.CompletedProcess[bytes]":
        options.setdefault("env", ENVIRONMENT)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([*RVQ, *map(str, args)], timeout=timeout, check=False, **options)

    return run


@pytest.fixture
def start() -> Callable[..., "subprocess.Popen[bytes]"]:
    """Starts `rvq ARGS` and comes back at once."""

    def popen(*args: str | Path, **options: Any) -> "subprocess.Popen[bytes]":
        options.setdefault("env", ENVIRONMENT)
        return subprocess.Popen([*RVQ, *map(str, args)], **options)

    return popen


class Result:
    """Exit code and texts of a command that ran in this process."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def invoke() -> Callable[..., Result]:
    """Runs `rvq ARGS` in this process, for everything that needs no real pipe; much faster than a process."""
    from click.testing import CliRunner

    from rvqcodec.cli import main

    def run(*args: str | Path) -> Result:
        result = CliRunner().invoke(main, [str(a) for a in args])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def write_wav() -> Callable[..., Path]:
    """Writes float32 [C, n] or [n] to an audio file and gives its path back."""

    def write(path: Path, samples: NDArray[np.float32], rate: int = 44100, subtype: str = "PCM_16") -> Path:
        import soundfile

        soundfile.write(path, np.atleast_2d(samples).T, rate, subtype=subtype)
        return path

    return write


def read_audio(path: Path) -> tuple[NDArray[np.float32], int]:
    """An audio file as float32 [C, n] and its sample rate."""
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(samples.T), rate


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skips a test, saying so, where one of these programs is missing."""
    missing = [p for p in programs if shutil.which(p) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def names_in(folder: Path) -> Sequence[str]:
    """All names in a folder, hidden ones too."""
    return sorted(os.listdir(folder))
