"""The README: it lists every command and option, and its shell commands run."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ENVIRONMENT, ROOT, RVQ
from numpy.typing import NDArray

TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]


def test_every_command_and_option_is_listed() -> None:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "benchmarks" / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.render() in TEXT, "run: python benchmarks/readme.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, stereo: NDArray[np.float32]) -> Path:
    """Where the README's commands run: a song, an album, and `rvq` on the path."""
    import soundfile

    folder = tmp_path_factory.mktemp("readme")
    (folder / "bin").mkdir()
    script = folder / "bin" / "rvq"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(RVQ)} "$@"\n')
    script.chmod(0o755)
    (folder / "album").mkdir()
    soundfile.write(folder / "song.wav", stereo.T, 44100)
    for i in range(2):
        soundfile.write(folder / "album" / f"{i}.flac", stereo[:, : 20000 * (i + 1)].T, 44100)
    return folder


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.skipif(os.name != "posix", reason="shell commands")
@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=lambda i: COMMANDS[i][:60])
def test_commands_run_in_order(folder: Path, number: int) -> None:
    command = COMMANDS[number]
    for program in ("ffmpeg", "sox"):
        if command.startswith(program) and shutil.which(program) is None:
            pytest.skip(f"not installed: {program}")
    environment = {**ENVIRONMENT, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-ec", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def results(folder: Path) -> Callable[[str], Path]:
    return lambda name: folder / name


@pytest.mark.skipif(os.name != "posix", reason="shell commands")
def test_they_left_what_the_readme_says(results: Callable[[str], Path]) -> None:
    import soundfile

    assert soundfile.info(results("small.flac")).channels == 1
    assert soundfile.info(results("part.wav")).frames == 22050
    assert soundfile.info(results("rough.wav")).samplerate == 16000
    assert sorted(p.name for p in results("sounds").iterdir()) == ["0.ogg", "1.ogg"]
    assert soundfile.info(results("piped.wav")).frames == 3 * 44100
    assert results("low.rvq").stat().st_size < results("song.rvq").stat().st_size


def test_the_delay_is_the_one_stated() -> None:
    from rvqcodec.models import loading

    model = loading.load(None, "cpu")
    milliseconds = 1000 * model.lookahead / model.facts.model_rate
    assert milliseconds <= 300
    assert f"lookahead of encoder and decoder together, is {milliseconds:.0f} ms" in " ".join(TEXT.split())


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        assert not path or (ROOT / path).exists(), target
        text = TEXT if not path else (ROOT / path).read_text() if path.endswith(".md") else ""
        headings = [
            re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)", text, re.M)
        ]
        assert not anchor or anchor in headings, target
