"""Who imports whom: heavy libraries only where they are needed, and the rooms in one direction."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ENVIRONMENT, ROOT

from rvqcodec.container import Chunk, Header, Writer

HEAVY = {"torch", "soundfile", "soxr", "safetensors", "scipy", "matplotlib"}
PACKAGE = ROOT / "rvqcodec"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three frames, made without the network."""
    path = tmp_path_factory.mktemp("imports") / "tiny.rvq"
    header = Header(
        sample_rate=44100, channels=1, coding="mono", model_id="test", weights_hash=bytes(8), model_rate=44100,
        hop=1176, code_bits=10, total_n_q=4, frames_per_chunk=8, pre_skip=588,
    )  # fmt: skip
    with open(path, "wb") as file:
        writer = Writer(file, header)
        writer.write_chunk(Chunk(start_frame=0, frames=3, n_q=(4,), codes=(np.ones((4, 3), np.uint16),)))
        writer.close(2000)
    return path


def imported(code: str) -> set[str]:
    """The top-level modules that a fresh Python has after running some code."""
    script = f"import sys\n{code}\nprint(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stderr.split("\n")[-2].split())


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["--version"],
        ["encode", "--help"],
        ["decode", "--help"],
        ["info", "TINY"],
        ["info", "--json", "TINY"],
        ["verify", "TINY"],
        ["trim", "TINY", "-q", "2", "-f", "-o", "TINY.2"],
        ["cut", "TINY", "--duration", "0.01", "-f", "-o", "TINY.3"],
        ["cat", "TINY", "TINY", "-f", "-o", "TINY.4"],
        ["models"],
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_commands_that_start_at_once(tiny: Path, args: list[str]) -> None:
    words = [word.replace("TINY", str(tiny)) for word in args]
    code = f"from rvqcodec.cli import main\ntry: main({words!r})\nexcept SystemExit as end: assert not end.code"
    assert not imported(code) & HEAVY


@pytest.mark.parametrize(
    "module", ["errors", "files", "container", "codes.edit", "codes.tokenfile", "codes.verify", "cli", "kmeans"]
)
def test_rooms_without_torch(module: str) -> None:
    assert not imported(f"import rvqcodec.{module}") & HEAVY


def imports_of(path: Path) -> set[str]:
    """The rooms of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rvqcodec":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("rvqcodec.")}
    return found


def files_of(room: str) -> list[Path]:
    folder = PACKAGE / room
    return sorted(folder.glob("**/*.py")) if folder.is_dir() else [PACKAGE / f"{room}.py"]


@pytest.mark.parametrize(
    ("room", "may"),
    [
        ("errors", set()),
        ("files", {"errors"}),
        ("container", {"errors"}),
        ("audio", {"errors", "files"}),
        ("codes", {"container", "errors", "files"}),
        ("models", {"container", "errors"}),
        ("kmeans", set()),
        ("codec", {"audio", "codes", "container", "errors", "files", "models"}),
    ],
)
def test_rooms_import_only_what_is_below_them(room: str, may: set[str]) -> None:
    for path in files_of(room):
        assert imports_of(path) - {room} <= may, path


def test_nothing_outside_imports_training_or_the_command_line() -> None:
    for path in PACKAGE.glob("**/*.py"):
        room = path.relative_to(PACKAGE).parts[0]
        if room not in ("training", "cli"):
            assert "training" not in imports_of(path), path
        if room != "cli" and path.name != "__main__.py":
            assert "cli" not in imports_of(path), path


def test_nothing_unpickles() -> None:
    for path in PACKAGE.glob("**/*.py"):
        tree = ast.parse(path.read_text())
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert not names & {"pickle", "cPickle", "dill", "joblib", "shelve"}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                assert not any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords)
