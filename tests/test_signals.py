"""Signals: whichever ends a process leaves nothing unfinished, also twice, in the middle of anything."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ENVIRONMENT, names_in
from rvqfiles import make_file

from rvqcodec.container import Reader
from rvqcodec.files import SUFFIX

Start = Callable[..., "subprocess.Popen[bytes]"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")

WHOLE = make_file(frames=4000, total_n_q=16)
# Those that do not end a process, cannot be caught, say that memory is broken, or are errors of writing to Python.
OTHERS = (
    "CHLD", "CONT", "TSTP", "TTIN", "TTOU", "URG", "WINCH", "INFO", "KILL", "STOP", "SEGV", "BUS", "FPE", "ILL",
    "PIPE", "XFSZ",
)  # fmt: skip
NAMED = {number for number in signal.valid_signals() if isinstance(number, signal.Signals)}
ENDING = sorted(NAMED - {getattr(signal, f"SIG{name}", None) for name in OTHERS})


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.01)


def ended_by(process: "subprocess.Popen[bytes]", number: int) -> int:
    """Send a signal until the process ends; gives how. One that comes just as Python begins to wait for a pipe is
    handled only when something else wakes it.
    """
    for _ in range(20):
        process.send_signal(number)
        try:
            return process.wait(5)
        except subprocess.TimeoutExpired:
            continue
    pytest.fail("it does not end")


def parts(folder: Path) -> list[str]:
    return [name for name in names_in(folder) if name.endswith(SUFFIX)]


@pytest.fixture
def stuck(start: Start, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has begun its result and waits for more of a pipe; `result` is an earlier one."""
    (tmp_path / "result").write_bytes(b"an earlier result")
    process = start(
        "trim", "-", "-q", 2, "-f", "-o", tmp_path / "result", stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(WHOLE[:30_000])
    process.stdin.flush()
    wait_for(lambda: bool(parts(tmp_path)))
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_every_signal_that_ends_a_process(stuck: "subprocess.Popen[bytes]", tmp_path: Path, number: int) -> None:
    assert ended_by(stuck, number) == -number
    assert stuck.stderr is not None
    assert stuck.stderr.read() == b""
    assert names_in(tmp_path) == ["result"]
    assert (tmp_path / "result").read_bytes() == b"an earlier result"


@pytest.mark.parametrize("second", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_twice(stuck: "subprocess.Popen[bytes]", tmp_path: Path, second: int) -> None:
    stuck.send_signal(signal.SIGHUP)
    assert ended_by(stuck, second) in (-signal.SIGHUP, -second)
    assert names_in(tmp_path) == ["result"]


def test_what_nohup_ignores_stays_ignored(start: Start, tmp_path: Path) -> None:
    args = ("trim", "-", "-q", 2, "-o", tmp_path / "result", "--quiet")
    process = start(*args, stdin=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert process.stdin is not None
    process.stdin.write(WHOLE[:30_000])
    process.stdin.flush()
    wait_for(lambda: bool(parts(tmp_path)))
    process.send_signal(signal.SIGHUP)
    process.stdin.write(WHOLE[30_000:])
    process.stdin.close()
    assert process.wait(60) == 0
    assert names_in(tmp_path) == ["result"]


def test_at_random_moments_of_a_batch(start: Start, tmp_path: Path) -> None:
    """Between two files, while one gets its name, while one is removed: what has a name is whole."""
    (tmp_path / "in").mkdir()
    for i in range(400):
        (tmp_path / "in" / f"{i}.rvq").write_bytes(WHOLE)
    choose, interrupted = random.Random(3), 0
    for attempt in range(8):
        out = tmp_path / f"out{attempt}"
        out.mkdir()
        process = start("trim", "-r", tmp_path / "in", "-q", 2, "--quiet", "-o", out, stderr=subprocess.PIPE)
        wait_for(lambda out=out: bool(names_in(out)))  # type: ignore[misc]
        time.sleep(choose.uniform(0, 0.2))
        number = choose.choice([signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
        for _ in range(2):
            process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        interrupted += process.returncode == -number
        assert (process.returncode in (0, -number), errors, parts(out)) == (True, b"", [])
        for path in out.iterdir():
            with path.open("rb") as file:
                reader = Reader(file)
                list(reader)
            assert reader.end is not None
    assert interrupted > 2


def test_in_the_middle_of_jobs(start: Start, tmp_path: Path) -> None:
    """Threads that wait for pipes, and would for ever."""
    pipes = [tmp_path / "in" / f"{i}.pcm" for i in range(2)]
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for pipe in pipes:
        os.mkfifo(pipe)
    args = ("encode", "--raw", "--rate", 44100, "--channels", 1, "-j", 2, *pipes, "-o", tmp_path / "out", "--quiet")
    process = start(*args, stderr=subprocess.PIPE)
    writers = [pipe.open("wb") for pipe in pipes]
    try:
        for writer in writers:
            writer.write(np.zeros(44100, "<i2").tobytes())
            writer.flush()
        wait_for(lambda: len(parts(tmp_path / "out")) == 2)
        process.send_signal(signal.SIGHUP)
        ended_by(process, signal.SIGHUP)
        _, errors = process.communicate(timeout=60)
    finally:
        for writer in writers:
            writer.close()
    assert (process.returncode, errors, names_in(tmp_path / "out")) == (-signal.SIGHUP, b"", [])


def test_temporary_folders_go_too(start: Start, tmp_path: Path) -> None:
    """`compare` keeps stdin in a file."""
    environment = {**ENVIRONMENT, "TMPDIR": str(tmp_path)}
    process = start("compare", "-", "x.wav", stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    wait_for(lambda: any(name.startswith("rvq-") for name in names_in(tmp_path)))  # Python tries the folder first
    assert ended_by(process, signal.SIGHUP) == -signal.SIGHUP
    process.communicate()
    assert names_in(tmp_path) == []


def test_the_bar_leaves_the_screen(tmp_path: Path, start: Start) -> None:
    termios = pytest.importorskip("termios")
    import fcntl
    import pty
    import select
    import struct

    pipe = tmp_path / "in.pcm"
    os.mkfifo(pipe)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    args = ("encode", "--raw", "--rate", 44100, "--channels", 1, pipe, "-o", tmp_path / "a.rvq")
    process = start(*args, stderr=theirs, env={**ENVIRONMENT, "PYTHONIOENCODING": "latin-1"})
    os.close(theirs)
    seen = b""
    with pipe.open("wb", buffering=0) as writer:
        while seen.count(b" s [") < 2:  # the bar is drawn again where some time has gone by
            writer.write(np.zeros(44100, "<i2").tobytes())
            while select.select([ours], [], [], 0.05)[0]:
                seen += os.read(ours, 4096)
        assert ended_by(process, signal.SIGINT) == -signal.SIGINT
    try:
        while more := os.read(ours, 4096):
            seen += more
    except OSError:  # the terminal is gone with the process
        pass
    os.close(ours)
    assert seen.startswith(b"\rencode: ")
    assert seen.rsplit(b"\r", 2)[1].isspace()
    assert seen.endswith(b"\r")
    assert names_in(tmp_path) == ["in.pcm"]


def test_after_a_run_signals_are_what_they_were() -> None:
    from click.testing import CliRunner

    from rvqcodec.cli import main

    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    assert CliRunner().invoke(main, ["--version"]).exit_code == 0
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
