"""Who imports whom: heavy libraries only where they are needed, and the rooms in one direction."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rvqfiles
from conftest import ENVIRONMENT, ROOT

HEAVY = {"torch", "transformers", "huggingface_hub", "soundfile", "soxr", "safetensors", "scipy", "matplotlib"}
PACKAGE = ROOT / "rvqcodec"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three frames, made without the network."""
    path = tmp_path_factory.mktemp("imports") / "tiny.rvq"
    path.write_bytes(rvqfiles.make_file(frames=3, short=1))
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


def test_encoding_and_decoding_on_the_cpu_need_no_torch(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    """Nor do they import what else takes long to come."""
    song = write_wav(tmp_path / "song.wav", np.zeros((2, 5000), np.float32))
    for args in (["encode", str(song)], ["decode", str(song.with_suffix(".rvq")), "-o", str(tmp_path / "back.wav")]):
        code = f"from rvqcodec.cli import main\ntry: main({args!r})\nexcept SystemExit as end: assert not end.code"
        assert not imported(code) & {"torch", "scipy", "matplotlib", "transformers", "threadpoolctl", "numba"}


@pytest.mark.parametrize(
    "module",
    ["errors", "files", "container", "codes.edit", "codes.tokenfile", "codes.verify", "models.loading",
     "models.rvq44.family", "models.published.encodec", "models.published.dac", "models.published.mimi",
     "models.adding", "cli", "api.residual", "audio.formats"],
)  # fmt: skip
def test_rooms_without_torch(module: str) -> None:
    assert not imported(f"import rvqcodec.{module}") & HEAVY


# Room -> rooms that it may import, all of them above it here: so there is no circle.
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "texts": set(),
    "types": set(),
    "speakers": set(),
    "foreign": set(),
    "files": {"errors"},
    "container": {"errors", "speakers"},
    "audio": {"errors", "files", "foreign", "speakers", "types"},
    "codes": {"container", "errors", "files", "speakers", "types"},
    "models": {"container", "errors", "files", "types"},
    "codec": {"audio", "codes", "container", "errors", "files", "models", "speakers", "types"},
    "api": {"audio", "codec", "codes", "container", "errors", "models", "speakers", "types"},
    "report": {"audio", "codec", "container", "errors", "files", "speakers", "texts", "types"},
    "training": {"audio", "codec", "container", "errors", "files", "models", "report", "texts", "types"},
    "__init__": {"api", "codes", "errors"},
    "cli": {
        *("__init__", "audio", "codec", "codes", "container", "errors", "files", "foreign", "models", "report"),
        *("speakers", "texts", "training", "types"),
    },
    "__main__": {"cli"},
}  # fmt: skip
FILES = sorted(PACKAGE.glob("**/*.py"))


def room_of(path: Path) -> str:
    """The folder, or the loose module, that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """The modules of the package that a file imports, anywhere in it, `rvqcodec.` left out."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rvqcodec":
            base = node.module.removeprefix("rvqcodec").lstrip(".")
            for alias in node.names:
                below = PACKAGE.joinpath(*base.split("."), alias.name) if base else PACKAGE / alias.name
                is_module = below.is_dir() or below.with_suffix(".py").exists()
                found.add(".".join(filter(None, (base, alias.name))) if is_module else base or "__init__")
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix("rvqcodec.") for a in node.names if a.name.startswith("rvqcodec.")}
    return found


def test_every_room_stands_in_the_table() -> None:
    assert {room_of(path) for path in FILES} == set(ROOMS)
    folders = [path for path in PACKAGE.iterdir() if list(path.glob("*.py"))]
    assert 5 <= len(folders) <= 9
    above: set[str] = set()
    for room, may in ROOMS.items():
        assert may <= above, room
        above.add(room)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_only_what_is_above_them(path: Path) -> None:
    rooms = {module.split(".")[0] for module in imports_of(path)}
    assert rooms - {room_of(path)} <= ROOMS[room_of(path)]


def test_no_circle_between_files() -> None:
    """Imports for types alone count too."""
    dotted = (".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in FILES)
    names = {name.removesuffix(".__init__"): path for name, path in zip(dotted, FILES, strict=True)}
    left = {name: {m for m in imports_of(path) if m in names and m != name} for name, path in names.items()}
    while free := [name for name, needs in left.items() if not needs]:
        for name in free:
            del left[name]
        for needs in left.values():
            needs.difference_update(free)
    assert not left


def test_one_model_is_known_only_at_home() -> None:
    for path in FILES:
        home = room_of(path) == "training" or path.is_relative_to(PACKAGE / "models" / "rvq44")
        assert home or not any(m.startswith("models.rvq44") for m in imports_of(path)), path


def test_files_and_codes_know_no_torch() -> None:
    for path in FILES:
        if room_of(path) in ("container", "codes", "errors", "files", "texts", "types"):
            top = ast.parse(path.read_text()).body
            names = {a.name for node in top if isinstance(node, ast.Import) for a in node.names}
            names |= {node.module or "" for node in top if isinstance(node, ast.ImportFrom)}
            assert not {name.split(".")[0] for name in names} & HEAVY, path


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
