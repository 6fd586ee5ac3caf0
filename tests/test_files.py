"""files: a result appears whole or not at all, and leftovers of killed runs go."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import names_in

from rvqcodec import files


def test_the_name_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a.rvq"
    with files.replacing(target) as file:
        file.write(b"one")
        assert not target.exists()
        assert [n.startswith(".") for n in names_in(tmp_path)] == [True]
    assert target.read_bytes() == b"one"
    assert names_in(tmp_path) == ["a.rvq"]


def test_an_error_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.rvq"
    target.write_bytes(b"old")

    def interrupted() -> None:
        with files.replacing(target, force=True) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.rvq"]


def test_what_exists_is_replaced_only_by_force(tmp_path: Path) -> None:
    target = tmp_path / "a.rvq"
    target.write_bytes(b"old")
    with pytest.raises(FileExistsError, match="use -f"), files.replacing(target):
        pass
    assert target.read_bytes() == b"old"


def test_a_file_that_turns_up_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a.rvq"

    def overtaken() -> None:
        with files.replacing(target) as file:
            file.write(b"new")
            target.write_bytes(b"theirs")

    with pytest.raises(FileExistsError, match="use -f"):
        overtaken()
    assert target.read_bytes() == b"theirs"
    assert names_in(tmp_path) == ["a.rvq"]


def test_leftovers_of_a_killed_run_go_and_those_of_a_living_one_stay(tmp_path: Path) -> None:
    target = tmp_path / "a.rvq"
    killed = (
        "import os, signal, sys\n"
        "from rvqcodec import files\n"
        f"r = files.Replacement({str(target)!r})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", killed], check=False)
    assert len(names_in(tmp_path)) == 1
    living = files.Replacement(target)
    assert names_in(tmp_path) == [living.path.name], "the killed run's file is gone"
    other = files.Replacement(target)
    assert names_in(tmp_path) == sorted([living.path.name, other.path.name])
    living.discard()
    other.discard()
    assert names_in(tmp_path) == []


def test_a_link_stays_a_link_and_permissions_stay(tmp_path: Path) -> None:
    real = tmp_path / "real.rvq"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link = tmp_path / "link.rvq"
    link.symlink_to(real)
    with files.replacing(link, force=True) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_permissions_that_umask_says(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "a.rvq") as file:
        file.write(b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a.rvq").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_devices_are_written_in_place() -> None:
    with files.replacing(os.devnull) as file:
        file.write(b"x")
    assert not Path(os.devnull).is_file()


def test_long_names_work(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 251 + ".rvq")
    with files.replacing(target) as file:
        file.write(b"x")
    assert names_in(tmp_path) == [target.name]


def test_errors_name_the_target_and_not_the_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "a.rvq"
    with pytest.raises(FileNotFoundError) as info:
        files.Replacement(target)
    assert info.value.filename == str(target)
