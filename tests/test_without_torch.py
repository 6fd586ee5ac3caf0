"""Without torch: sound is encoded and decoded; what needs torch says in one line how to get it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ENVIRONMENT

NO_TORCH = "import sys; sys.modules['torch'] = None\n"  # as where it is not installed
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a few lines of Python in a process that has no torch."""

    def run(code: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", NO_TORCH + code]
        return subprocess.run(
            command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
        )

    return run


def rvq(*words: str) -> str:
    return f"from rvqcodec.cli import main; main({list(words)!r})"


@pytest.fixture
def song(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    return write_wav(tmp_path / "song.wav", 0.1 * np.random.default_rng(0).standard_normal((2, 9000)))


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_encoding_and_decoding_need_none(run: Run, song: Path, device: str) -> None:
    for words in (["encode", "song.wav"], ["decode", "song.rvq", "-o", "back.wav"]):
        done = run(rvq(*words, "--device", device))
        assert done.returncode == 0, done.stderr
    assert (song.parent / "back.wav").stat().st_size == song.stat().st_size


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["encode", "song.wav", "--device", "cuda"], "torch"),
        (["train", "--data", ".", "--out", "run"], "train"),
        (["train", "figures", "."], "train"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_needs_it_says_so_in_a_line(run: Run, song: Path, words: list[str], extra: str) -> None:
    done = run(rvq(*words))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"pip install 'rvqcodec[{extra}]'" in done.stderr
    assert sorted(os.listdir(song.parent)) == ["song.wav"]


def test_arrays_need_none_but_tensors_do(run: Run) -> None:
    code = (
        "import numpy as np, rvqcodec\ncodec = rvqcodec.load(device='auto')\n"
        "codes = codec.encode(np.zeros(3000, np.float32), 44100)\nassert codec.decode(codes).shape == (1, 3000)\n"
        "for ask in (codes.to_torch, lambda: codec.decode(codes, as_torch=True)):\n"
        "    try: ask()\n    except rvqcodec.RvqError as error: print(error)\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        "to_torch needs torch, which is not installed",
        "as_torch needs torch, which is not installed",
    ]
