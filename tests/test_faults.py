"""The world's faults, with real processes: killed, interrupted, no space, no permission, input that is not what it was.

Whatever happens, a result has its name only when it is whole, what was there before stays, and at most a hidden
temporary file of a killed run remains, which the next run over the same target removes.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import Rvq, names_in
from numpy.typing import NDArray

from rvqcodec.container import Reader
from rvqcodec.files import SUFFIX

Start = Callable[..., "subprocess.Popen[bytes]"]
WriteWav = Callable[..., Path]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and limits")
resource = pytest.importorskip("resource", reason="POSIX limits")
KILLS = int(os.environ.get("RVQ_TEST_KILLS", "4"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture
def long_wav(folder: Path, signals: ModuleType, write_wav: WriteWav) -> Path:
    """A minute: time enough to be killed in the middle."""
    path = folder / "long.wav"
    return path if path.exists() else write_wav(path, np.tile(signals.recording(6.0), 10))


@pytest.fixture
def long_rvq(long_wav: Path, rvq: Rvq) -> Path:
    path = long_wav.with_suffix(".rvq")
    if not path.exists():
        assert rvq("encode", "-b", "1.5", long_wav).returncode == 0
    return path


def hidden(folder: Path) -> list[str]:
    return [name for name in names_in(folder) if name.endswith(SUFFIX)]


def when_writing(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Comes back when the process has begun to write its temporary file (or is done)."""
    for _ in range(3000):
        if hidden(folder) or process.poll() is not None:
            return
        time.sleep(0.01)


def is_whole(path: Path) -> bool:
    with open(path, "rb") as file:
        reader = Reader(file)
        list(reader)
    return reader.end is not None


def test_killed_at_random_moments(long_wav: Path, tmp_path: Path, rvq: Rvq, start: Start) -> None:
    """RVQ_TEST_KILLS=100 does it a hundred times."""
    choose = random.Random(7)
    target = tmp_path / "a.rvq"
    for _ in range(KILLS):
        process = start("encode", "--quiet", "-f", long_wav, "-o", target)
        when_writing(process, tmp_path)
        time.sleep(choose.uniform(0, 0.5))
        process.kill()
        process.wait(30)
        assert len(hidden(tmp_path)) <= 1
        assert set(names_in(tmp_path)) - set(hidden(tmp_path)) <= {"a.rvq"}
        assert not target.exists() or is_whole(target)
    assert rvq("encode", "-f", long_wav, "-o", target).returncode == 0
    assert names_in(tmp_path) == ["a.rvq"], "what the killed runs left is gone"
    assert is_whole(target)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_encoding_leaves_nothing(long_wav: Path, tmp_path: Path, start: Start, number: int) -> None:
    (tmp_path / "a.rvq").write_bytes(b"an earlier result")
    process = start("encode", "-f", long_wav, "-o", tmp_path / "a.rvq", stderr=subprocess.PIPE)
    when_writing(process, tmp_path)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (-number, b"")
    assert names_in(tmp_path) == ["a.rvq"]
    assert (tmp_path / "a.rvq").read_bytes() == b"an earlier result"


def test_interrupted_decoding_leaves_nothing(long_rvq: Path, tmp_path: Path, start: Start) -> None:
    process = start("decode", long_rvq, "-o", tmp_path / "a.flac", stderr=subprocess.PIPE)
    when_writing(process, tmp_path)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors, names_in(tmp_path)) == (-signal.SIGINT, b"", [])


def test_interrupted_jobs_leave_nothing(long_wav: Path, tmp_path: Path, start: Start) -> None:
    paths = [tmp_path / f"{i}.wav" for i in range(4)]
    for path in paths:
        path.symlink_to(long_wav)
    (tmp_path / "out").mkdir()
    process = start("encode", "-j", 2, *paths, "-o", tmp_path / "out", stderr=subprocess.PIPE)
    when_writing(process, tmp_path / "out")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert b"Traceback" not in errors
    assert not hidden(tmp_path / "out")
    assert all(is_whole(path) for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_no_space_leaves_nothing(long_wav: Path, long_rvq: Path, tmp_path: Path, start: Start, verb: str) -> None:
    """A limit on the size of files stands for a disk that gets full: the write fails in the middle."""
    source = long_wav if verb == "encode" else long_rvq
    target = tmp_path / ("a.rvq" if verb == "encode" else "a.wav")
    target.write_bytes(b"an earlier result")

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))

    process = start(verb, "-f", source, "-o", target, stderr=subprocess.PIPE, preexec_fn=limit)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors.count(b"\n")) == (1, 1), errors
    assert b"too large" in errors
    assert names_in(tmp_path) == [target.name]
    assert target.read_bytes() == b"an earlier result"


@pytest.mark.parametrize("verb", [("trim", "-q", 15), ("cut", "--start", 1), ("cat",)])
def test_no_space_leaves_nothing_of_an_edit(
    long_rvq: Path, tmp_path: Path, start: Start, verb: tuple[str | int, ...]
) -> None:
    target = tmp_path / "a.rvq"

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))

    process = start(verb[0], long_rvq, *verb[1:], "-o", target, stderr=subprocess.PIPE, preexec_fn=limit)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert b"too large" in errors.splitlines()[-1]
    assert names_in(tmp_path) == []


def test_a_small_full_disk(long_wav: Path, tmp_path: Path, rvq: Rvq) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16k", "rvqtest", str(disk)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("may not mount a small tmpfs here")
    try:
        done = rvq("encode", long_wav, "-o", disk / "a.rvq")
        assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
        assert b"No space left" in done.stderr
        assert names_in(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_may_not_be_written(long_wav: Path, tmp_path: Path, rvq: Rvq) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    read_only = ["mount", "-t", "tmpfs", "-o", "ro", "rvqtest", str(locked)]
    root = os.geteuid() == 0  # who may write into any folder, but not into a read-only file system
    if root and subprocess.run(read_only, capture_output=True, check=False).returncode:
        pytest.skip("root here, and may not mount a read-only tmpfs")
    try:
        done = rvq("encode", long_wav, "-o", locked / "a.rvq")
    finally:
        if root:
            subprocess.run(["umount", str(locked)], check=True)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"Permission denied" in done.stderr or b"Read-only file system" in done.stderr


def test_input_that_shrinks_while_it_is_read(long_wav: Path, tmp_path: Path, start: Start) -> None:
    source = tmp_path / "in.wav"
    source.write_bytes(long_wav.read_bytes())
    (tmp_path / "out").mkdir()
    process = start("encode", source, "-o", tmp_path / "out" / "a.rvq", stderr=subprocess.PIPE)
    when_writing(process, tmp_path / "out")
    os.truncate(source, 100_000)
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was read to the end before it shrank")
    assert (process.returncode, errors.count(b"\n")) == (1, 1), errors
    assert names_in(tmp_path / "out") == []


def test_input_that_is_removed_while_it_is_read_is_read_on(long_wav: Path, tmp_path: Path, start: Start) -> None:
    source = tmp_path / "in.wav"
    source.write_bytes(long_wav.read_bytes())
    (tmp_path / "out").mkdir()
    process = start("encode", "--quiet", source, "-o", tmp_path / "out" / "a.rvq")
    when_writing(process, tmp_path / "out")
    source.unlink()
    assert process.wait(60) == 0
    assert is_whole(tmp_path / "out" / "a.rvq")


EXTREMES: dict[str, Callable[[], NDArray[np.float32]]] = {
    "silence": lambda: np.zeros((2, 30000), np.float32),
    "dc": lambda: np.full((1, 30000), 0.5, np.float32),
    "full-scale square": lambda: np.where(np.arange(30000) % 100 < 50, 1, -1).astype(np.float32)[None],
    "one sample": lambda: np.ones((1, 1), np.float32),
    "one loud channel of eight": lambda: np.eye(8, 30000, dtype=np.float32) * 0 + np.eye(8)[3][:, None].astype("f4"),
    "left against right": lambda: np.stack([np.ones(30000), -np.ones(30000)]).astype(np.float32) * 0.25,
    "all NaN": lambda: np.full((1, 3000), np.nan, np.float32),
}


def test_extreme_signals(tmp_path: Path, rvq: Rvq, write_wav: WriteWav) -> None:
    """All in one process each way: they come back with their shape, and with nothing that was not there."""
    import soundfile

    for name, make in EXTREMES.items():
        write_wav(tmp_path / f"{name}.wav", make(), subtype="FLOAT")
    done = rvq("encode", "-r", tmp_path, "-o", tmp_path / "coded")
    assert done.returncode == 0, done.stderr
    done = rvq("decode", "-r", tmp_path / "coded", "-o", tmp_path / "back", "--subtype", "FLOAT")
    assert done.returncode == 0, done.stderr
    for name, make in EXTREMES.items():
        samples, _ = soundfile.read(tmp_path / "back" / f"{name}.wav", dtype="float32", always_2d=True)
        assert samples.T.shape == make().shape, name
        assert np.isfinite(samples).all(), name
        assert np.abs(samples).max() < 4, name
    silence, _ = soundfile.read(tmp_path / "back" / "silence.wav", dtype="float32")
    assert np.abs(silence).max() < 1e-3, "silence stays silent"


def test_no_weights_no_sound(long_rvq: Path, tmp_path: Path, rvq: Rvq, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is not installed is named with its hash, before anything is written."""
    from dataclasses import replace

    from rvqcodec.container import RawChunk, Writer

    with open(long_rvq, "rb") as source, open(tmp_path / "a.rvq", "wb") as target:
        reader = Reader(source)
        writer = Writer(target, replace(reader.header, model_id="someone-elses", weights_hash=b"\xab" * 8))
        for raw in reader.raw():
            assert isinstance(raw, RawChunk)
            writer.write_raw(raw)
        assert reader.end is not None
        writer.close(reader.end.n_samples)
    done = rvq("decode", tmp_path / "a.rvq")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"someone-elses" in done.stderr
    assert b"abababababababab" in done.stderr
    assert names_in(tmp_path) == ["a.rvq"]
