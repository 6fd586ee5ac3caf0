"""The wheel: `pip install .` alone gives an `rvq` that works, with the weights inside."""

import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ENVIRONMENT, ROOT
from numpy.typing import NDArray

from rvqcodec import __version__


@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="not installed: hatchling")
def test_the_wheel_works_from_anywhere(
    tmp_path: Path, stereo: NDArray[np.float32], write_wav: Callable[..., Path]
) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert any(name.startswith("rvqcodec/_weights/") and name.endswith(".safetensors") for name in names)
    assert not [name for name in names if name.endswith((".wav", ".flac", ".rvq", ".pt"))]
    (metadata,) = (tmp_path / "installed").glob("*.dist-info/METADATA")
    assert {f"Version: {__version__}", "License-Expression: MIT", "License-File: LICENSE"} <= {
        *metadata.read_text().splitlines()
    }
    assert (metadata.parent / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()

    song = write_wav(tmp_path / "song.wav", stereo[:, :30000])
    environment = {**ENVIRONMENT, "PYTHONPATH": str(tmp_path / "installed")}
    for args in (("encode", "song.wav"), ("decode", "song.rvq", "-o", "back.wav")):
        done = subprocess.run(
            [sys.executable, "-m", "rvqcodec", *args], cwd=tmp_path, env=environment, capture_output=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        [sys.executable, "-m", "rvqcodec", "models"], cwd=tmp_path, env=environment, capture_output=True, timeout=60
    )
    assert str(tmp_path / "installed" / "rvqcodec" / "_weights").encode() in listed.stdout
    assert (tmp_path / "back.wav").stat().st_size == song.stat().st_size


@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="not installed: hatchling")
def test_the_sdist_has_what_a_checkout_has(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.*")}
    files = {"README.md", "LICENSE", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "formats/rvq-1.md"}
    assert pages | files | {"weights/CREDITS.md", "tests/test_wheel.py", "benchmarks/quality.png"} <= names
