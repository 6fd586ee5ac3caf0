"""What the commands do with inputs of which a part cannot be read: a line, a result of the rest, exit code 1."""

import json
import struct
import subprocess

import numpy as np
import pytest
import soundfile as sf
from conftest import ENVIRONMENT, RVQ, Rvq

RATE, N = 44100, 30_000


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a.wav, short.wav (a wrong size), joined.mp3 (two recordings) and cut.mp3 (half of one)."""
    folder = tmp_path_factory.mktemp("inputs")
    samples = np.sin(np.arange(N) / 9) / 2
    sf.write(folder / "a.wav", samples, RATE)
    sf.write(folder / "a.mp3", samples, RATE, format="MP3")
    wav, mp3 = (folder / "a.wav").read_bytes(), (folder / "a.mp3").read_bytes()
    (folder / "short.wav").write_bytes(wav[:40] + struct.pack("<I", 20_000) + wav[44:])
    (folder / "joined.mp3").write_bytes(2 * mp3)
    (folder / "cut.mp3").write_bytes(mp3[: len(mp3) // 2])
    return folder


def lines(done):
    return [line for line in done.stderr.decode().splitlines() if not line.partition(" -> ")[1]]


LEFT_OUT = (
    "40,000 bytes behind the announced 10,000 samples per channel were left out; --ignore-length takes them as samples"
)


def test_encode_tells_writes_the_rest_and_fails(inputs, tmp_path, rvq: Rvq):
    names = ["a.wav", "short.wav", "joined.mp3", "cut.mp3"]
    done = rvq("encode", *(inputs / name for name in names), "-o", tmp_path, "-j", "2", "-q", "2")
    assert done.returncode == 1
    told = lines(done)
    assert len(told) == 2
    assert f"rvq: {inputs / 'short.wav'}: {LEFT_OUT}" in told
    assert any(line.startswith(f"rvq: {inputs / 'cut.mp3'}: cut off: announces") for line in told)
    described = rvq("info", "--json", *(tmp_path / f"{name[:-4]}.rvq" for name in names))
    counts = [json.loads(line)["n_samples"] for line in described.stdout.splitlines() if line.startswith(b"{")]
    assert counts[:2] == [N, 10_000]
    assert 2 * N - 3000 < counts[2] < 2 * N + 3000


def test_encode_is_quiet_and_succeeds_where_all_is_read(inputs, tmp_path, rvq: Rvq):
    for name, options in (("joined.mp3", ()), ("short.wav", ("--ignore-length",))):
        done = rvq("encode", inputs / name, "-o", tmp_path / "a.rvq", "-f", "--quiet", "-q", "2", *options)
        assert (done.returncode, done.stderr) == (0, b"")


def test_stdin_and_stdout(inputs, rvq: Rvq):
    done = rvq("encode", "-", "-q", "2", input=(inputs / "short.wav").read_bytes())
    assert (done.returncode, lines(done)) == (1, [f"rvq: stdin: {LEFT_OUT}"])
    assert done.stdout
    done = rvq("encode", "-", "-q", "2", "--ignore-length", input=(inputs / "short.wav").read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")


def test_closed_stderr_gets_no_file_of_ours(inputs, tmp_path):
    command = [
        "sh",
        "-c",
        '"$@" 2>&-',
        "sh",
        *RVQ,
        "encode",
        inputs / "joined.mp3",
        "-o",
        tmp_path / "a.rvq",
        "-q",
        "2",
    ]
    assert subprocess.run(command, env=ENVIRONMENT, timeout=120).returncode == 0
    assert (tmp_path / "a.rvq").stat().st_size > 100


def test_other_doors_tell_too(inputs, tmp_path, rvq: Rvq):
    told = f"rvq: {inputs / 'short.wav'}: {LEFT_OUT}"
    done = rvq("tokens", "encode", inputs / "short.wav", "-o", tmp_path / "a.npz", "-q", "2")
    assert (done.returncode, (tmp_path / "a.npz").exists()) == (1, True)
    assert told in lines(done)
    done = rvq("compare", "--json", "--fast", inputs / "a.wav", inputs / "short.wav")
    assert (done.returncode, lines(done)) == (1, [told])
    assert json.loads(done.stdout)["other"]["seconds"] == pytest.approx(10_000 / RATE)
    done = rvq("roundtrip", "--json", "--fast", "-b", "3", inputs / "short.wav")
    assert done.returncode == 1
    assert told in lines(done)
    assert len(json.loads(done.stdout)) == 1
