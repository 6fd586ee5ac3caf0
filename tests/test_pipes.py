"""Real processes and real pipes: what CliRunner cannot show."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ENVIRONMENT, RVQ, Rvq, names_in, needs, read_audio
from numpy.typing import NDArray

Start = Callable[..., "subprocess.Popen[bytes]"]
WriteWav = Callable[..., Path]

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and terminals")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipes")


@pytest.fixture
def wav(folder: Path, stereo: NDArray[np.float32], write_wav: WriteWav) -> Path:
    path = folder / "song.wav"
    return path if path.exists() else write_wav(path, stereo)


@pytest.fixture
def encoded(wav: Path, rvq: Rvq) -> Path:
    path = wav.with_suffix(".rvq")
    if not path.exists():
        assert rvq("encode", wav).returncode == 0
    return path


def test_encode_and_decode_in_a_pipe(wav: Path, encoded: Path, rvq: Rvq, start: Start, tmp_path: Path) -> None:
    """The pipe's sound is the files' sound, though the length is unknown while it flows."""
    with open(wav, "rb") as source:
        first = start("encode", "-", stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        second = start("decode", "-", stdin=first.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert first.stdout is not None
        first.stdout.close()
        sound, errors = second.communicate(timeout=120)
        assert first.stderr is not None
        assert (first.wait(60), second.returncode, first.stderr.read() + errors) == (0, 0, b"")
        first.stderr.close()
    (tmp_path / "piped.wav").write_bytes(sound)
    assert rvq("decode", encoded, "-o", tmp_path / "file.wav").returncode == 0
    piped, rate = read_audio(tmp_path / "piped.wav")
    assert rate == 44100
    assert np.array_equal(piped, read_audio(tmp_path / "file.wav")[0])


def feed(process: "subprocess.Popen[bytes]", data: bytes) -> threading.Thread:
    """Writes to a process from a thread of its own, and leaves its stdin open."""

    def write() -> None:
        assert process.stdin is not None
        process.stdin.write(data)
        process.stdin.flush()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_sound_starts_before_the_input_has_ended(start: Start, stereo: NDArray[np.float32]) -> None:
    raw = np.tile(stereo[0], 4)  # 12 s of the recording that goes on and on
    options = ("--raw", "--rate", "44100", "--channels", "1", "--chunk", "0.5")
    first = start("encode", *options, "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    second = start("decode", "--raw", "-", stdin=first.stdout, stdout=subprocess.PIPE)
    assert first.stdin is not None
    assert first.stdout is not None
    assert second.stdout is not None
    first.stdout.close()
    writer = feed(first, (raw * 32767).astype("<i2").tobytes())
    heard = second.stdout.read(2 * 44100 * 6)
    assert len(heard) == 2 * 44100 * 6, "six seconds came out while the input was still open"
    writer.join()
    first.stdin.close()
    rest = second.stdout.read()
    assert len(heard) + len(rest) == 2 * len(raw)
    second.stdout.close()
    assert (first.wait(60), second.wait(60)) == (0, 0)


FOREIGN = [
    pytest.param(("ffmpeg", "-v", "error", "-i", "{}", "-f", "wav", "-"), 44100, marks=needs("ffmpeg")),
    pytest.param(
        ("ffmpeg", "-v", "error", "-i", "{}", "-ar", "48000", "-c:a", "pcm_f32le", "-f", "wav", "-"), 48000,
        marks=needs("ffmpeg"),
    ),
    pytest.param(("sox", "{}", "-t", "wav", "-b", "24", "-r", "22050", "-"), 22050, marks=needs("sox")),
    pytest.param(("flac", "--silent", "--stdout", "{}"), 44100, marks=needs("flac")),
    pytest.param(("lame", "--quiet", "-b", "128", "{}", "-"), 44100, marks=needs("lame")),
]  # fmt: skip


@pytest.mark.parametrize(("command", "rate"), FOREIGN, ids=lambda v: v[0] if isinstance(v, tuple) else str(v))
def test_what_other_programs_put_into_pipes(wav: Path, tmp_path: Path, command: tuple[str, ...], rate: int) -> None:
    source = subprocess.Popen([word.format(wav) for word in command], stdout=subprocess.PIPE)
    target = tmp_path / "a.rvq"
    done = subprocess.run(
        [*RVQ, "encode", "-", "-o", str(target)],
        stdin=source.stdout,
        env=ENVIRONMENT,
        capture_output=True,
        timeout=120,
    )
    assert source.stdout is not None
    source.stdout.close()
    assert (source.wait(30), done.returncode) == (0, 0), done.stderr
    from rvqcodec.container import Reader

    with open(target, "rb") as file:
        reader = Reader(file)
        list(reader)
    assert (reader.header.sample_rate, reader.header.channels) == (rate, 2)
    assert reader.end is not None
    assert abs(reader.end.n_samples - 3 * rate) < (1 if command[0] != "lame" else 3000)


@needs("ffmpeg")
def test_other_programs_read_what_we_put_into_pipes(encoded: Path, start: Start) -> None:
    ours = start("decode", encoded, "-o", "-", stdout=subprocess.PIPE)
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", "-", "-f", "s16le", "-"],
        stdin=ours.stdout,
        capture_output=True,
        timeout=60,
    )
    assert ours.stdout is not None
    ours.stdout.close()
    assert (ours.wait(60), done.stderr, len(done.stdout)) == (0, b"", 3 * 44100 * 2 * 2)


@posix
def test_a_reader_that_leaves_early_ends_us_quietly(encoded: Path, start: Start) -> None:
    ours = start("decode", encoded, "--raw", "-o", "-", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert ours.stdout is not None
    assert ours.stderr is not None
    assert len(ours.stdout.read(100)) == 100
    ours.stdout.close()
    assert ours.stderr.read() == b""
    ours.stderr.close()
    assert ours.wait(60) == -13, "ended by SIGPIPE, as other tools are; 141 to a shell"


@posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_told(encoded: Path, rvq: Rvq, unbuffered: str) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    environment = {**ENVIRONMENT, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "wb") as full:
        done = rvq("decode", encoded, "-o", "-", stdout=full, env=environment)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"No space left" in done.stderr


@posix
def test_a_closed_stdout_is_told(wav: Path, encoded: Path) -> None:
    for args in (("encode", wav, "-o", "-"), ("decode", encoded, "-o", "-")):
        words = " ".join(f"'{w}'" for w in (*RVQ[:2], *args))
        script = words.replace("'-c'", f'-c "{RVQ[2]}"') + " >&-"
        done = subprocess.run(["sh", "-c", script], env=ENVIRONMENT, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr.count(b"\n")) == (1, 1), done.stderr
        assert b"stdout is closed" in done.stderr


@posix
def test_terminals_get_no_binary_and_give_no_audio(wav: Path, encoded: Path, rvq: Rvq) -> None:
    import pty

    ours, theirs = pty.openpty()
    try:
        for args in (("encode", wav, "-o", "-"), ("decode", encoded, "-o", "-")):
            done = rvq(*args, stdout=theirs)
            assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
            assert b"not written to a terminal" in done.stderr
        for verb in ("encode", "decode"):
            done = rvq(verb, "-", stdin=theirs)
            assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
            assert b"stdin is a terminal" in done.stderr
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_part_of_what_comes_through_a_pipe(encoded: Path, rvq: Rvq, tmp_path: Path) -> None:
    data = encoded.read_bytes()
    done = rvq("decode", "-", "--raw", "--start", "1.5", "--duration", "0.5", input=data)
    assert (done.returncode, done.stderr) == (0, b"")
    part = np.frombuffer(done.stdout, "<i2").reshape(-1, 2).T.astype(np.float32) / 32768
    assert rvq("decode", encoded, "-o", tmp_path / "a.wav").returncode == 0
    whole = read_audio(tmp_path / "a.wav")[0][:, 66150:88200]
    assert part.shape == whole.shape
    assert np.abs(part - whole).max() <= 1.01 / 32768


def test_a_stream_cut_off_is_no_success(encoded: Path, rvq: Rvq) -> None:
    data = encoded.read_bytes()
    done = rvq("decode", "-", "--raw", input=data[:-5])
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"cut short" in done.stderr


def test_empty_stdin_is_told(rvq: Rvq) -> None:
    for verb in ("encode", "decode"):
        done = rvq(verb, "-", input=b"")
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1), verb


def test_stdin_can_go_to_a_file_and_a_file_to_stdout(wav: Path, encoded: Path, rvq: Rvq, tmp_path: Path) -> None:
    done: Any = rvq("encode", "-", "-o", tmp_path / "a.rvq", input=wav.read_bytes())
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.startswith(b"stdin -> ")
    done = rvq("encode", wav, "-o", "-")
    assert (done.returncode, done.stdout, done.stderr) == (0, encoded.read_bytes(), b"")
    assert names_in(tmp_path) == ["a.rvq"]


def test_python_m_and_the_installed_script_are_the_same(rvq: Rvq) -> None:
    done = rvq("--version")
    module = subprocess.run(
        [sys.executable, "-m", "rvqcodec", "--version"], env=ENVIRONMENT, capture_output=True, timeout=60
    )
    assert (module.returncode, module.stdout) == (0, done.stdout)
