"""`rvq info`, `verify`, `trim`, `cut` and `cat` as a stranger at a shell meets them."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ENVIRONMENT, RVQ, names_in
from rvqfiles import HEADER, make_file

from rvqcodec.codes.edit import trim
from rvqcodec.container import Reader

Run = Callable[..., Any]


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.rvq"
    path.write_bytes(make_file("mid-side", frames=100, total_n_q=16, tags=(("TITLE", "a \x1b[31mred\x07 \u202eline"),)))
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.rvq"
    data = bytearray(make_file(frames=40))
    data[100] ^= 1
    path.write_bytes(bytes(data))
    return path


def trimmed(data: bytes, total: int) -> bytes:
    out = io.BytesIO()
    trim(Reader(io.BytesIO(data)), out, total)
    return out.getvalue()


def test_info_tells_what_is_in_a_file(invoke: Run, song: Path) -> None:
    result = invoke("info", song)
    assert result.code == 0
    assert result.err == ""
    for text in ("test-1", "0123456789abcdef", "stereo", "44,100 Hz", "16 of 10", "13 of up to 8 frames", "0:02.653"):
        assert text in result.out
    assert r"TITLE=a \x1b[31mred\x07 \u202eline" in result.out
    assert "\x1b" not in result.out
    assert "chunk  " not in result.out
    assert invoke("info", song, "--verbose").out.count("chunk  ") == 13


def test_info_as_json_measures_the_file(invoke: Run, song: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.rvq"
    other.write_bytes(make_file(frames=0))
    lines = invoke("info", "--json", song, other).out.splitlines()
    first, second = (json.loads(line) for line in lines)
    assert first["file"] == str(song)
    assert first["total_bytes"] == song.stat().st_size
    assert first["payload_bytes"] == 16 * 10 * 100 // 8
    assert first["total_bitrate"] == pytest.approx(song.stat().st_size * 8 / first["duration"])
    assert first["nominal_bitrate"] == 6000
    assert first["n_samples"] == HEADER.samples_in(100)
    assert first["tags"] == [{"key": "TITLE", "value": "a \x1b[31mred\x07 \u202eline"}]
    assert first["damage"] == []
    assert sum(c["mean"] for c in first["codebooks_per_channel"]) == pytest.approx(16)
    assert "chunk_list" not in first
    assert (second["duration"], second["total_bitrate"], second["chunks"]) == (0, 0, 0)
    verbose = json.loads(invoke("info", "--json", "--verbose", song).out)
    assert sum(chunk["frames"] for chunk in verbose["chunk_list"]) == 100


def test_info_describes_what_damage_left_and_exits_1(invoke: Run, broken: Path, song: Path) -> None:
    result = invoke("info", broken, song)
    assert result.code == 1
    assert "damage     at byte " in result.out
    assert "0.21 s lost from" in result.out
    assert "TITLE" in result.out
    assert f"{broken}: damaged in 1 place" in result.err


@pytest.mark.parametrize("verb", ["info", "verify", "cut", "cat"])
def test_what_is_no_rvq_file_is_told_in_one_line(invoke: Run, tmp_path: Path, verb: str) -> None:
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"RIFF" + bytes(100))
    empty = tmp_path / "empty.rvq"
    empty.write_bytes(b"")
    for path, text in (
        (noise, "no .rvq file"), (empty, "empty file"), (tmp_path / "missing.rvq", "No such file"),
        (tmp_path, "directory"),
    ):  # fmt: skip
        result = invoke(verb, path, *([] if verb in ("info", "verify") else ["-o", tmp_path / "out.rvq"]))
        assert result.code == 1
        shown = result.out + result.err
        assert text in shown
        assert shown.count("\n") == 1
        assert str(path) in shown
    assert names_in(tmp_path) == ["empty.rvq", "noise.wav"]


def test_verify_says_ok_or_where_and_what(invoke: Run, song: Path, broken: Path) -> None:
    good = invoke("verify", song)
    assert (good.code, good.err) == (0, "")
    assert good.out.startswith(f"{song}: ok, 0:02.653 in 13 chunks")
    assert invoke("verify", "--quiet", song).out == ""
    bad = invoke("verify", broken, song)
    assert bad.code == 1
    assert f"{broken}: at byte 87: chunk from frame 8 is damaged" not in bad.err
    assert "frames 0 to 7 lost" in bad.out
    assert f"{broken}: DAMAGED in 1 place, 0.21 s of 0:01.053 lost" in bad.out
    assert f"{song}: ok" in bad.out
    assert invoke("verify", broken, "missing.rvq").err.count("\n") == 1


def test_verify_as_json(invoke: Run, song: Path, broken: Path) -> None:
    result = invoke("verify", "--json", song, broken)
    good, bad = (json.loads(line) for line in result.out.splitlines())
    assert result.code == 1
    assert (good["ok"], good["faults"], good["total_bytes"]) == (True, [], song.stat().st_size)
    assert not bad["ok"]
    assert (bad["faults"][0]["start_frame"], bad["faults"][0]["frames"]) == (0, 8)
    assert bad["faults"][0]["position"] <= 100


@pytest.mark.parametrize("verb", ["info", "verify"])
def test_info_and_verify_read_stdin_without_torch_or_numpy(verb: str, song: Path) -> None:
    code = (
        "import sys\nfrom rvqcodec.cli import main\n"
        f"try: main([{verb!r}, '-'])\nexcept SystemExit as e: assert not e.code, e.code\n"
        "found = {'torch', 'soundfile', 'soxr', 'numpy'} & set(sys.modules)\n"
        "assert not found, found"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=song.read_bytes(),
        capture_output=True,
        env=ENVIRONMENT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"stdin")


@pytest.mark.parametrize("args", [("-b", "3kbps"), ("-b", "3"), ("-q", "8"), ("-b", "3374bps")])
def test_trim_to_a_file(invoke: Run, song: Path, tmp_path: Path, args: tuple[str, str]) -> None:
    out = tmp_path / "small.rvq"
    result = invoke("trim", song, *args, "-o", out)
    assert result.code == 0
    assert out.read_bytes() == trimmed(song.read_bytes(), 8)
    assert "small.rvq" in result.err
    assert result.out == ""


@pytest.mark.parametrize(("asked", "codebooks"), [("6kbps", 8), ("0.75", 1), ("24kbps", 32)])
def test_trim_counts_in_the_bitrate_of_the_file(invoke: Run, tmp_path: Path, asked: str, codebooks: int) -> None:
    """75 frames a second, so 0.75 kbps a codebook; once a codebook was 0.375 kbps in every file."""
    fast = make_file(frames=150, total_n_q=32, model_rate=24000, sample_rate=24000, hop=320, pre_skip=0)
    (tmp_path / "fast.rvq").write_bytes(fast)
    out = tmp_path / "small.rvq"
    assert invoke("trim", tmp_path / "fast.rvq", "-b", asked, "-o", out).code == 0
    assert out.read_bytes() == trimmed(fast, codebooks)
    refused = invoke("trim", tmp_path / "fast.rvq", "-b", "24.1kbps", "-o", out, "-f")
    assert (refused.code, "0.75 to 24 kbps" in refused.err) == (1, True)


def test_trim_is_careful_with_files(invoke: Run, song: Path, broken: Path, tmp_path: Path) -> None:
    before = song.read_bytes()
    out = tmp_path / "out.rvq"
    out.write_bytes(b"mine")
    assert invoke("trim", song, "-q", "1", "-o", out).code == 1
    assert out.read_bytes() == b"mine"
    assert invoke("trim", song, "-q", "1", "-o", song, "-f").code == 1
    assert song.read_bytes() == before
    assert invoke("trim", broken, "-q", "1", "-o", out, "-f").code == 1
    assert out.read_bytes() == b"mine"
    assert invoke("trim", song, "-q", "1", "-o", out, "-f", "--quiet").err == ""
    assert out.read_bytes() == trimmed(before, 1)
    assert names_in(tmp_path) == ["broken.rvq", "out.rvq", "song.rvq"]


def test_trim_takes_many_and_goes_on_after_a_bad_one(invoke: Run, song: Path, broken: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    result = invoke("trim", broken, song, "-q", "2", "-o", folder)
    assert result.code == 1
    assert names_in(folder) == ["song.rvq"]
    assert "broken.rvq" in result.err


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("trim", "SONG"), 2, "give the new bitrate"),
        (("trim", "SONG", "-b", "3k", "-q", "2"), 2, "give the new bitrate"),
        (("trim", "SONG", "-b", "6000kbps"), 1, "did you mean 6kbps"),
        (("trim", "SONG", "SONG", "-q", "2"), 2, "FOLDER"),
        (("cut", "SONG", "--frames", "x"), 2, "not A:B"),
        (("cut", "SONG", "--frames", "1:2", "--start", "1"), 2, "--frames goes without"),
        (("cut", "SONG", "--start", "100", "-o", "OUT"), 1, "the file ends at 2.653 s"),
        (("cut", "SONG", "--duration", "0", "-o", "OUT"), 1, "less than a sample"),
        (("cat", "-", "-"), 2, "only once"),
        (("cat", "SONG", "OTHER", "-o", "OUT"), 1, "has channels 1"),
        (("cat", "SONG", "OTHER", "-o", "SONG", "-f"), 1, "one of the inputs"),
    ],
)
def test_what_makes_no_sense_is_told(
    invoke: Run, song: Path, tmp_path: Path, args: tuple[str, ...], code: int, text: str
) -> None:
    other = tmp_path / "other.rvq"
    other.write_bytes(make_file())
    names = {"SONG": song, "OTHER": other, "OUT": tmp_path / "out.rvq"}
    before = song.read_bytes()
    result = invoke(*(names.get(arg, arg) for arg in args))
    assert result.code == code
    assert text in result.err
    assert song.read_bytes() == before
    assert names_in(tmp_path) == ["other.rvq", "song.rvq"]


@pytest.mark.parametrize(
    "line",
    ["trim SONG -q 2", "cut SONG", "cat SONG", "pack SONG", "tokens encode SONG", "tokens decode SONG", "encode SONG",
     "decode SONG", "report SONG", "compare SONG SONG --plot", "roundtrip SONG --out"],
)  # fmt: skip
def test_an_empty_name_of_a_result_is_not_stdout(invoke: Run, song: Path, line: str) -> None:
    """As of a shell's variable that is not set."""
    option = () if "--" in line else ("-o",)
    result = invoke(*line.replace("SONG", str(song)).split(), *option, "")
    assert (result.code, result.out, "name of the result is empty" in result.err) == (2, "", True)


def test_trim_says_when_there_is_nothing_to_drop(invoke: Run, song: Path, tmp_path: Path) -> None:
    result = invoke("trim", song, "-b", "12k", "-o", tmp_path / "same.rvq")
    assert result.code == 0
    assert "stays as it is" in result.err
    assert (tmp_path / "same.rvq").read_bytes() == song.read_bytes()


def test_cut_and_cat_by_frames_give_the_file_back(invoke: Run, song: Path, tmp_path: Path) -> None:
    for name, span in (("a", ":32"), ("b", "32:64"), ("c", "64:")):
        assert invoke("cut", song, "--frames", span, "-o", tmp_path / f"{name}.rvq").code == 0
    result = invoke("cat", *(tmp_path / f"{n}.rvq" for n in "abc"), "-o", tmp_path / "whole.rvq")
    assert result.code == 0
    assert "13 ms between the inputs" in result.err
    assert (tmp_path / "whole.rvq").read_bytes() == song.read_bytes()


def test_cut_by_time_is_exact_to_the_sample(invoke: Run, song: Path, tmp_path: Path) -> None:
    out = tmp_path / "part.rvq"
    result = invoke("cut", song, "--start", "1.01", "--duration", "0.5", "-o", out)
    assert result.code == 0
    assert "frame 37" in result.err
    found = json.loads(invoke("info", "--json", out).out)
    assert found["n_samples"] == round(1.01 * 44100) + 22050 - 37 * 1176


def shell(line: str, folder: Path) -> "subprocess.CompletedProcess[bytes]":
    """A line of shell in which `rvq` is ours."""
    ours = f'rvq() {{ "{sys.executable}" -c "{RVQ[2]}" "$@"; }}; set -o pipefail; '
    return subprocess.run(
        ["bash", "-c", ours + line], cwd=folder, capture_output=True, env=ENVIRONMENT, timeout=120, check=False
    )


def test_pipes(song: Path, tmp_path: Path) -> None:
    line = "cat song.rvq | rvq trim - -b 3kbps > small.rvq && rvq cut small.rvq --frames :40 | rvq cat - > part.rvq"
    done = shell(line, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "small.rvq").read_bytes() == trimmed(song.read_bytes(), 8)
    assert shell("rvq verify part.rvq", tmp_path).returncode == 0


VERBS = {
    "trim": "trim song.rvq -q 3",
    "cut": "cut song.rvq --frames 8:40",
    "cat": "cat song.rvq song.rvq",
    "tokens encode": "tokens encode song.rvq --quiet",
    "tokens decode": "tokens decode song.npz",
}


@pytest.mark.parametrize("verb", VERBS)
def test_results_that_are_no_files(invoke: Run, song: Path, tmp_path: Path, verb: str) -> None:
    """Stdout, other descriptors, pipes, FIFOs under any name; a file behind one is written where the shell stands."""
    assert invoke("tokens", "encode", song).code == 0
    assert shell(f"rvq {VERBS[verb]} -o - > want", tmp_path).returncode == 0
    want = (tmp_path / "want").read_bytes()
    assert len(want) > 100
    for way in (
        "rvq {} -o /dev/stdout > got",
        "rvq {} -o /dev/stdout | cat > got",
        "rvq {} -o /dev/fd/1 >> got",
        "ln -s /dev/stdout link; rvq {} -o link > got",
        "rvq {} -o /dev/fd/9 9> got",
        "rvq {} -o /proc/self/fd/9 9>> got",
        "rvq {} -o >(cat > got; touch done); while [ ! -e done ]; do sleep 0.02; done",
        "mkfifo fifo; cat fifo > got & rvq {} -o fifo && wait",
    ):
        done = shell("printf '' > got; " + way.format(VERBS[verb]), tmp_path)
        assert (done.returncode, b"rror" in done.stderr) == (0, False), (way, done.stderr)
        assert (tmp_path / "got").read_bytes() == want, way
    done = shell(f"echo before > got; rvq {VERBS[verb]} -o /dev/stdout >> got; echo after >> got", tmp_path)
    assert (tmp_path / "got").read_bytes() == b"before\n" + want + b"after\n"
    assert {*names_in(tmp_path)} == {"song.rvq", "song.npz", "want", "got", "link", "fifo", "done"}


def test_a_descriptor_that_is_not_open_is_named(song: Path, tmp_path: Path) -> None:
    done = shell("rvq trim song.rvq -q 3 -o /dev/fd/77", tmp_path)
    assert (done.returncode, done.stderr) == (1, b"rvq: song.rvq: /dev/fd/77: Bad file descriptor\n")


def test_a_reader_of_a_result_that_leaves_ends_us_quietly(tmp_path: Path) -> None:
    (tmp_path / "long.rvq").write_bytes(make_file(frames=40000, total_n_q=32, frames_per_chunk=128))
    done = shell("rvq trim long.rvq -q 31 -o >(head -c 100 > /dev/null)", tmp_path)
    assert (done.returncode, done.stderr) == (141, b"")


def test_tokens_take_pipes_by_name(song: Path, tmp_path: Path) -> None:
    line = (
        "rvq tokens encode song.rvq -o want.jsonl && rvq tokens encode --quiet <(cat song.rvq) -o - | cmp - want.jsonl"
    )
    done = shell(f"{line} && rvq tokens decode <(cat want.jsonl) -o - | cmp - song.rvq", tmp_path)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr


def test_cat_takes_pipes_by_name(song: Path, tmp_path: Path) -> None:
    done = shell("rvq cat <(rvq cut song.rvq --frames :40) <(rvq cut song.rvq --frames 40:) > both.rvq", tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "both.rvq").read_bytes() == song.read_bytes()


def test_a_reader_that_leaves_ends_us_quietly(tmp_path: Path) -> None:
    (tmp_path / "long.rvq").write_bytes(make_file(frames=40000, total_n_q=32, frames_per_chunk=128))
    done = shell("rvq trim long.rvq -q 31 | head -c 100 | wc -c", tmp_path)
    assert done.stdout.strip() == b"100"
    assert done.stderr == b""
    assert done.returncode == 141


@pytest.mark.parametrize("line", ["info song.rvq", "info --json song.rvq", "verify song.rvq", "models"])
def test_text_that_cannot_be_printed_is_no_success(song: Path, tmp_path: Path, line: str) -> None:
    for stdout, why in ((">&-", b"stdout is closed"), ("> /dev/full", b"No space left on device")):
        if "full" in stdout and not os.path.exists("/dev/full"):
            continue
        done = shell(f"rvq {line} {stdout}", tmp_path)
        assert (done.returncode, done.stderr.count(b"\n"), why in done.stderr) == (1, 1, True), done.stderr


def test_a_pipe_that_breaks_off_leaves_nothing(song: Path, tmp_path: Path) -> None:
    done = shell("head -c 1000 song.rvq | rvq trim - -q 3 -o out.rvq", tmp_path)
    assert done.returncode == 1
    assert b"stdin: file is cut short" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert names_in(tmp_path) == ["song.rvq"]


@pytest.mark.parametrize("verb", ["info", "verify", "trim", "cut", "cat"])
def test_help_explains_every_verb(invoke: Run, verb: str) -> None:
    result = invoke(verb, "--help")
    assert result.code == 0
    assert "INPUT" in result.out
