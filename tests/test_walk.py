"""-r: what is taken from a tree, what is passed over and told; what is there already; times of modification."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ENVIRONMENT, RVQ, Result, names_in
from rvqfiles import make_file

Run = Callable[..., Any]

posix = pytest.mark.skipif(os.name != "posix", reason="needs links, FIFOs and permissions")


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_file())
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.rvq", "deep/b.rvq", "deep/deeper/C.RVQ"):
        make(tmp_path / "tree" / name)
    return tmp_path / "tree"


def trim(invoke: Run, tree: Path, *args: str | Path) -> Result:
    """`trim -r`, which needs no network; the walk is that of all verbs."""
    result: Result = invoke("trim", "-r", tree, "-q", 2, "-o", tree.parent / "out", *args)
    return result


def results(tree: Path) -> list[str]:
    out = tree.parent / "out"
    return sorted(str(path.relative_to(out)) for path in out.glob("**/*") if path.is_file())


def told(result: Result) -> list[str]:
    """The lines that are no results."""
    return [line for line in result.err.splitlines() if line.startswith("rvq: ")]


def test_a_plain_tree_is_taken_whole_without_a_word(invoke: Run, tree: Path) -> None:
    result = trim(invoke, tree)
    assert (result.code, told(result)) == (0, [])
    assert results(tree) == ["a.rvq", "deep/b.rvq", "deep/deeper/C.rvq"]


def test_other_kinds_and_hidden_names_are_counted(invoke: Run, tree: Path) -> None:
    for name in ("cover.jpg", "deep/x.JPG", "README", ".hidden.rvq", ".folder/y.rvq", ".a.rvq.12345678.rvq-part"):
        make(tree / name)
    result = trim(invoke, tree)
    assert result.code == 0
    assert told(result) == [
        f"rvq: {tree}: passed over 3 files of other kinds (.jpg, no ending), 2 names that begin with a dot"
    ]
    assert results(tree) == ["a.rvq", "deep/b.rvq", "deep/deeper/C.rvq"]
    assert trim(invoke, tree, "-f", "--quiet").err == ""


@posix
def test_links(invoke: Run, tree: Path) -> None:
    """Links to files are followed; links to folders are not, so that no circle is run; links to nowhere are faults."""
    make(tree.parent / "elsewhere" / "d.rvq")
    (tree / "file.rvq").symlink_to(tree.parent / "elsewhere" / "d.rvq")
    (tree / "folder").symlink_to(tree.parent / "elsewhere")
    (tree / "deep" / "up").symlink_to("..")
    (tree / "broken.rvq").symlink_to("nowhere")
    (tree / "loop.rvq").symlink_to("loop.rvq")
    result = trim(invoke, tree)
    assert result.code == 1
    hint = "a link to a folder, which -r does not enter; name it as an INPUT to take it"
    assert sorted(told(result)) == sorted(
        [
            f"rvq: {tree}/folder: {hint}",
            f"rvq: {tree}/deep/up: {hint}",
            f"rvq: {tree}/broken.rvq: No such file or directory",
            f"rvq: {tree}/loop.rvq: Too many levels of symbolic links",
        ]
    )
    assert results(tree) == ["a.rvq", "deep/b.rvq", "deep/deeper/C.rvq", "file.rvq"]
    result = invoke("trim", "-r", tree / "folder", "-q", 2, "-o", tree.parent / "out")
    assert (result.code, "d.rvq" in results(tree)) == (0, True)


@posix
def test_what_is_no_file_on_a_disk_is_told_and_nobody_waits_for_it(invoke: Run, tree: Path) -> None:
    os.mkfifo(tree / "fifo.rvq")
    (tree / "null.rvq").symlink_to("/dev/null")
    (tree / "folder.rvq").mkdir()
    with socket.socket(socket.AF_UNIX) as ear:
        here = os.getcwd()
        os.chdir(tree)  # names of sockets are short
        try:
            ear.bind("socket.rvq")
        finally:
            os.chdir(here)
        result = trim(invoke, tree)
    assert result.code == 0
    kinds = {"fifo": "a FIFO", "null": "a device", "socket": "a socket"}
    assert told(result) == [f"rvq: {tree}/{n}.rvq: {k}; name it as an INPUT to take it" for n, k in kinds.items()]
    assert results(tree) == ["a.rvq", "deep/b.rvq", "deep/deeper/C.rvq"]


def test_the_folder_of_results_is_not_taken_again(invoke: Run, tree: Path) -> None:
    args = ("trim", "-r", tree, "-q", 2, "-o", tree / "deep" / "small")
    assert invoke(*args).code == 0
    result = invoke(*args, "-f")
    assert (result.code, told(result)) == (
        0,
        [f"rvq: {tree}/deep/small: the folder of results, which -r does not enter"],
    )
    assert names_in(tree / "deep" / "small") == ["a.rvq", "deep"]
    assert names_in(tree / "deep" / "small" / "deep") == ["b.rvq", "deeper"]


def test_a_folder_with_nothing_to_take_is_a_failure(invoke: Run, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "song.m4a").write_bytes(b"")
    result = trim(invoke, tmp_path / "tree")
    assert (result.code, told(result)) == (
        1,
        [
            f"rvq: {tmp_path}/tree: no files ending in .rvq",
            f"rvq: {tmp_path}/tree: passed over 1 file of other kinds (.m4a)",
        ],
    )


def bounded() -> list[str]:
    """What stands before a command so that permissions count: nothing for most, for root the loss of two powers."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root here, who may read everything, and no setpriv (Debian: apt-get install util-linux)")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@posix
@pytest.mark.parametrize("what", ["folder", "file", "names only"])
def test_what_may_not_be_read_is_told_and_the_rest_is_taken(tree: Path, what: str) -> None:
    locked = {"folder": tree / "deep", "file": tree / "a.rvq", "names only": tree / "deep" / "deeper"}[what]
    locked.chmod(0o444 if what == "names only" else 0)
    command = [*bounded(), *RVQ, "trim", "-r", str(tree), "-q", "2", "-o", str(tree.parent / "out")]
    try:
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=60, check=False)
    finally:
        locked.chmod(0o755)
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("rvq: ")]
    left_out = "; what is in it was left out" if what == "folder" else ""
    name = tree / "deep" / "deeper" / "C.RVQ" if what == "names only" else locked
    assert (done.returncode, lines) == (1, [f"rvq: {name}: Permission denied{left_out}"])
    taken = {"folder": ["a.rvq"], "file": ["deep/b.rvq", "deep/deeper/C.rvq"], "names only": ["a.rvq", "deep/b.rvq"]}
    assert results(tree) == taken[what]


def test_only_what_is_missing(invoke: Run, tree: Path) -> None:
    assert trim(invoke, tree).code == 0
    kept = tree.parent / "out" / "a.rvq"
    kept.write_bytes(b"mine")
    result = trim(invoke, tree)
    assert (result.code, len(told(result))) == (1, 3)
    for force in ([], ["-f"]):
        (tree.parent / "out" / "deep" / "b.rvq").unlink()
        result = trim(invoke, tree, "--skip-existing", *force)
        assert (result.code, told(result)) == (0, ["rvq: 2 results there already: skipped"])
        assert kept.read_bytes() == b"mine"
        assert results(tree) == ["a.rvq", "deep/b.rvq", "deep/deeper/C.rvq"]
    result = trim(invoke, tree, "--skip-existing", "--quiet")
    assert (result.code, result.err) == (0, "")


def test_every_verb_of_many_files_skips_what_is_there(invoke: Run, tmp_path: Path) -> None:
    """No input can be read, so none was tried."""
    for verb, ending, result in (
        (("encode",), ".wav", ".rvq"),
        (("decode",), ".rvq", ".wav"),
        (("trim", "-q", "2", "-o", f"{tmp_path}/"), ".rvq", ".rvq"),
        (("tokens", "encode"), ".wav", ".npz"),
        (("tokens", "decode"), ".npz", ".rvq"),
    ):
        folder = tmp_path / verb[0]
        folder.mkdir(exist_ok=True)
        (folder / f"x{ending}").write_bytes(b"no such thing")
        (tmp_path / "x.rvq" if verb[0] == "trim" else folder / f"x{result}").write_bytes(b"mine")
        done = invoke(*verb, folder / f"x{ending}", "--skip-existing")
        assert (done.code, done.err) == (0, "rvq: 1 result there already: skipped\n"), verb


def test_a_result_that_is_the_input_is_not_there_already(invoke: Run, tree: Path) -> None:
    result = invoke("trim", "-q", 2, tree / "a.rvq", "-o", tree / "a.rvq", "--skip-existing")
    assert (result.code, "is the input itself" in result.err) == (1, True)


@posix
@pytest.mark.parametrize("verb", ["trim", "cut", "tokens encode", "tokens decode"])
def test_the_time_of_modification_is_kept_where_asked(invoke: Run, tree: Path, verb: str) -> None:
    source, out = tree / "a.rvq", tree.parent / "result"
    if verb == "tokens decode":
        assert invoke("tokens", "encode", source, "-o", tree / "a.npz").code == 0
        source, out = tree / "a.npz", tree.parent / "result.rvq"
    os.utime(source, ns=(10**18, 981_173_106 * 10**9 + 5))
    extra = ("-q", 2) if verb == "trim" else ()
    to = ("--to", "jsonl") if verb == "tokens encode" else ()
    assert invoke(*verb.split(), source, *extra, *to, "-o", out).code == 0
    assert out.stat().st_mtime_ns != source.stat().st_mtime_ns
    assert invoke(*verb.split(), source, *extra, *to, "-o", out, "-f", "--preserve-modtime").code == 0
    assert out.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert invoke(*verb.split(), source, *extra, *to, "-o", os.devnull, "--preserve-modtime").code == 0


def test_encode_and_decode_keep_the_time_too(invoke: Run, tmp_path: Path, stereo: Any, write_wav: Run) -> None:
    paths = [write_wav(tmp_path / f"{i}.wav", stereo[0, : 4410 * i]) for i in (1, 2)]
    for i, path in enumerate(paths):
        os.utime(path, (981_173_106 + i, 981_173_106 + i))
    assert invoke("encode", *paths, "-j", 2, "--preserve-modtime").code == 0
    assert invoke("decode", tmp_path / "1.rvq", tmp_path / "2.rvq", "--to", "flac", "--preserve-modtime").code == 0
    for i, path in enumerate(paths):
        for ending in (".rvq", ".flac"):
            assert path.with_suffix(ending).stat().st_mtime == 981_173_106 + i
