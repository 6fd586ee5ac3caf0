"""README and docs: shell commands run, every command and option is listed, links lead somewhere."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import numpy as np
import pytest
from conftest import ENVIRONMENT, ROOT, RVQ
from numpy.typing import NDArray

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [
    *PAGES,
    *sorted(ROOT.glob("C*.md")),
    ROOT / "weights" / "MODEL_CARD.md",
    *sorted((ROOT / "formats").glob("*.md")),
]
TEXTS = {page.name: page.read_text() for page in PAGES}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


COMMANDS = [(name, line) for name, text in TEXTS.items() for block in blocks(text, "sh") for line in block.splitlines()]
SHOWN = [
    line.removeprefix("$ ").partition(" # ")[0].strip()
    for text in TEXTS.values()
    for block in blocks(text, "console")
    for line in block.splitlines()
    if line.startswith("$ rvq ")
]
Folders = dict[str, Path]


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 8000


def test_every_command_and_option_is_listed() -> None:
    spec = importlib.util.spec_from_file_location("make_commands", ROOT / "docs" / "make_commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.render() in TEXTS["commands.md"], "run: python docs/make_commands.py"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, stereo: NDArray[np.float32]) -> Folders:
    """Where a page's commands run: a song, an album, and `rvq` on the path."""
    import soundfile

    made = {}
    for name in TEXTS:
        made[name] = folder = tmp_path_factory.mktemp(name)
        (folder / "bin").mkdir()
        script = folder / "bin" / "rvq"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(RVQ)} "$@"\n')
        script.chmod(0o755)
        (folder / "album").mkdir()
        soundfile.write(folder / "song.wav", stereo.T, 44100)
        for i in range(2):
            soundfile.write(folder / "album" / f"{i}.flac", stereo[:, : 20000 * (i + 1)].T, 44100)
    return made


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 20
    assert len(SHOWN) > 10
    assert {name for name, _ in COMMANDS} >= {"README.md", "commands.md", "tokens.md"}


@pytest.mark.skipif(os.name != "posix", reason="shell commands")
@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda text: text[:60])
def test_commands_run_in_order(folders: Folders, page: str, command: str) -> None:
    for program in ("ffmpeg", "sox"):
        if command.startswith(program) and shutil.which(program) is None:
            pytest.skip(f"not installed: {program}")
    environment = {**ENVIRONMENT, "PATH": f"{folders[page] / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-ec", command],
        cwd=folders[page],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.name != "posix", reason="shell commands")
def test_they_left_what_the_pages_say(folders: Folders) -> None:
    import soundfile

    readme, commands, tokens = folders["README.md"], folders["commands.md"], folders["tokens.md"]
    assert soundfile.info(readme / "again.wav").frames == 3 * 44100
    assert soundfile.info(readme / "piped.wav").frames == 3 * 44100
    assert (readme / "small.rvq").stat().st_size < (readme / "song.rvq").stat().st_size
    assert soundfile.info(commands / "small.flac").channels == 1
    assert soundfile.info(commands / "part.wav").frames == 22050
    assert soundfile.info(commands / "rough.wav").samplerate == 16000
    assert sorted(p.name for p in (commands / "sounds").iterdir()) == ["0.ogg", "1.ogg"]
    assert soundfile.info(commands / "piped.wav").frames == 3 * 44100
    assert (commands / "low.rvq").stat().st_size < (commands / "song.rvq").stat().st_size
    assert soundfile.info(tokens / "from_tokens.wav").channels == 1


@pytest.mark.parametrize("line", SHOWN, ids=lambda line: line[:60])
def test_commands_too_long_to_run_have_their_options(line: str) -> None:
    from rvqcodec.cli import main

    command: click.Command = main
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, line
        command = found
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known, line


def test_the_delay_is_the_one_stated() -> None:
    from rvqcodec.models import loading

    model = loading.load(None, "cpu")
    milliseconds = 1000 * model.lookahead / model.facts.model_rate
    assert milliseconds <= 300
    text = " ".join(TEXTS["how-it-works.md"].split())
    assert f"lookahead of encoder and decoder together, is {milliseconds:.0f} ms" in text
    assert f"{milliseconds:.0f} ms of lookahead" in TEXTS["README.md"]


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        text = file.read_text() if file.suffix == ".md" else ""
        headings = [
            re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)", text, re.M)
        ]
        assert not anchor or anchor in headings, target
