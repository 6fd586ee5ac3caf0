"""`rvq tokens`: files and pipes there and back byte for byte, metadata checked, faults in one line, no torch."""

import dataclasses
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rvqfiles
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from rvqcodec.cli import main
from rvqcodec.codes.grid import Codes
from rvqcodec.codes.tokens import PATTERNS
from rvqcodec.models import cards

Run = Callable[..., Result]
CODINGS = ("mono", "mid-side", "discrete")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`rvq tokens ARGS` in this process, in a folder of its own; the output is checked to be free of tracebacks."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["tokens", *args])
        assert result.exit_code == code, result.output
        assert isinstance(result.exception, (SystemExit, type(None)))
        if code == 1:
            assert all(line.startswith("rvq: ") for line in result.stderr.splitlines()), result.stderr
        return result

    return call


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("kind", ["npz", "jsonl"])
def test_rvq_there_and_back(run: Run, tmp_path: Path, coding: str, pattern: str, kind: str) -> None:
    data = rvqfiles.make_file(coding, 20, total_n_q=6)
    (tmp_path / "a.rvq").write_bytes(data)
    run("encode", "a.rvq", "-o", f"b.{kind}", "--pattern", pattern, "--boundaries")
    run("decode", f"b.{kind}")
    assert (tmp_path / "b.rvq").read_bytes() == data


def test_layout_and_place_of_a_part_are_kept(run: Run, tmp_path: Path) -> None:
    data = rvqfiles.make_file("discrete", 20, total_n_q=6, speakers=0xB, first_frame=700)
    (tmp_path / "a.rvq").write_bytes(data)
    run("encode", "a.rvq", "-o", "b.npz")
    run("decode", "b.npz")
    assert (tmp_path / "b.rvq").read_bytes() == data


def test_what_is_printed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.rvq").write_bytes(rvqfiles.make_file("mono", 20, constant=True))
    result = run("encode", "a.rvq", "--pattern", "delay")
    grid = "4 codebooks of 1,024 codes x 20 frames, 37.5/s, 0:00.520"
    assert f"a.rvq -> a.npz: {grid}; delay: 23 steps x 4 tokens = 92 of a vocabulary of 1,028" in result.stderr
    assert result.stdout == ""
    assert run("encode", "a.rvq", "-f", "--quiet").stderr == ""


def test_nothing_is_overwritten(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.rvq").write_bytes(rvqfiles.make_file("mono", 20))
    run("encode", "a.rvq")
    assert "a.npz exists; use -f" in run("encode", "a.rvq", code=1).stderr
    assert "a.rvq exists; use -f" in run("decode", "a.npz", code=1).stderr
    run("encode", "a.rvq", "-f")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "a.rvq"]


def test_many_inputs_and_a_bad_one(run: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.rvq").write_bytes(rvqfiles.make_file("mono", 20, seed=ord(name)))
    (tmp_path / "bad.rvq").write_bytes(rvqfiles.make_file("mono", 20)[:-9])
    result = run("encode", "a.rvq", "bad.rvq", "b.rvq", "-o", "out", "--quiet", code=1)
    assert result.stderr.count("\n") == 1
    assert "bad.rvq: " in result.stderr
    assert "cut short" in result.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.npz", "b.npz"]


def test_npy_needs_to_be_told(run: Run, tmp_path: Path) -> None:
    card = cards.find()
    data = rvqfiles.make_file("mono", 20, constant=True, model_id=card.model_id, weights_hash=card.weights_hash)
    (tmp_path / "a.rvq").write_bytes(data)
    for pattern, more in [("delay", []), ("flatten", ["-q", "4"])]:
        run("encode", "a.rvq", "-o", "a.npy", "--pattern", pattern, "-f")
        (tmp_path / "b.rvq").unlink(missing_ok=True)
        assert "say with --model" in run("decode", "a.npy", "-o", "b.rvq", code=1).stderr
        given = ["--model", card.model_id, "--pattern", pattern, *more]
        run("decode", "a.npy", "-o", "b.rvq", "-f", *given)
        with (tmp_path / "b.rvq").open("rb") as new:
            assert np.array_equal(Codes.read(new).codes, Codes.read(io.BytesIO(data)).codes)
    given = ["decode", "a.npy", "-f", "--model", card.model_id, "--pattern"]
    assert "-q how many" in run(*given, "flatten", code=1).stderr
    assert "pattern delay needs [4, steps]" in run(*given, "delay", "-q", "4", code=1).stderr
    assert "no such weights" in run("decode", "a.npy", "-f", "--model", "none", code=1).stderr


def test_options_for_npy_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.rvq").write_bytes(rvqfiles.make_file("mono", 20))
    run("encode", "a.rvq")
    assert "says itself" in run("decode", "a.npz", "-o", "b.rvq", "--rate", "8000", code=1).stderr
    assert "use rvq trim" in run("encode", "a.rvq", "-o", "b.npz", "-q", "2", code=1).stderr
    assert "must end in" in run("encode", "a.rvq", "-o", "b.txt", code=2).stderr
    assert "must end in" in run("decode", "a.npz", "-o", "b.mp3", code=2).stderr


def test_altered_weights_are_refused(run: Run, tmp_path: Path) -> None:
    model = cards.find().model_id
    (tmp_path / "a.rvq").write_bytes(rvqfiles.make_file("mono", 20, model_id=model))
    run("encode", "a.rvq", "-o", "a.jsonl")
    result = run("decode", "a.jsonl", "-o", "b.rvq", code=1)
    assert "0123456789abcdef" in result.stderr
    assert not (tmp_path / "b.rvq").exists()


def test_an_unknown_model_makes_rvq_but_no_sound(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.rvq").write_bytes(rvqfiles.make_file("mono", 20))
    run("encode", "a.rvq")
    run("decode", "a.npz", "-o", "b.rvq")
    assert "model test-1" in run("decode", "a.npz", "-o", "b.wav", code=1).stderr
    assert not (tmp_path / "b.wav").exists()


def test_lenient_looks_at_codes_alone(run: Run, tmp_path: Path) -> None:
    data = rvqfiles.make_file("mono", 20, constant=True)
    (tmp_path / "a.rvq").write_bytes(data)
    run("encode", "a.rvq", "-o", "a.jsonl", "--pattern", "delay")
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    first = json.loads(lines[1])
    lines[1] = json.dumps([first[0], 7, 8, 9])
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert "stream 1, step 0" in run("decode", "a.jsonl", "-o", "b.rvq", code=1).stderr
    run("decode", "a.jsonl", "-o", "b.rvq", "--lenient")
    assert (tmp_path / "b.rvq").read_bytes() == data


def test_what_is_no_token_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"RIFF")
    assert "a.npz: this is no token file" in run("decode", "a.npz", code=1).stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_pipes(rvq: Callable[..., "subprocess.CompletedProcess[bytes]"]) -> None:
    data = rvqfiles.make_file("mid-side", 20, constant=True)
    encoded = rvq("tokens", "encode", "-", "--pattern", "flatten", input=data)
    assert encoded.returncode == 0, encoded.stderr
    assert encoded.stdout.startswith(b'{"rvq_tokens": 1')
    assert b"flatten: 80 steps x 1 tokens = 80" in encoded.stderr
    back = rvq("tokens", "decode", "-", input=encoded.stdout)
    assert (back.returncode, back.stderr) == (0, b"")
    assert back.stdout == data
    for kind in ("npz", "npy"):
        packed = rvq("tokens", "encode", "-", "-o", "-", "--to", kind, "--quiet", input=data)
        assert packed.stderr == b""
        assert packed.stdout[:2] == {"npz": b"PK", "npy": b"\x93N"}[kind]
    assert rvq("tokens", "decode", "-", input=packed.stdout).returncode == 1


def test_audio_in_and_out(run: Run, stereo: NDArray[np.float32], tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", stereo[:, :30000].T, 44100)
    run("encode", "a.wav", "-q", "4", "--pattern", "delay")
    assert CliRunner().invoke(main, ["encode", "a.wav", "-q", "4", "--quiet"]).exit_code == 0
    run("decode", "a.npz", "-o", "b.rvq")
    assert (tmp_path / "b.rvq").read_bytes() == (tmp_path / "a.rvq").read_bytes()
    run("decode", "a.npz", "-o", "b.wav")
    assert CliRunner().invoke(main, ["decode", "a.rvq", "-o", "c.wav", "--quiet"]).exit_code == 0
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "c.wav").read_bytes()
    samples, rate = soundfile.read(tmp_path / "b.wav")
    assert (samples.shape, rate) == ((30000, 2), 44100)
    assert "b.wav exists" in run("decode", "a.npz", "-o", "b.wav", code=1).stderr


def test_audio_on_stdin(
    rvq: Callable[..., "subprocess.CompletedProcess[bytes]"], stereo: NDArray[np.float32], tmp_path: Path
) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.flac", stereo[:, :30000].T, 44100)
    tokens = rvq("tokens", "encode", "-", "-q", "4", input=(tmp_path / "a.flac").read_bytes())
    assert tokens.returncode == 0, tokens.stderr
    meta = json.loads(tokens.stdout.splitlines()[0])
    assert (meta["n_samples"], meta["sample_rate"], meta["channels"]) == (30000, 44100, 2)


def test_no_torch_without_audio(tmp_path: Path) -> None:
    (tmp_path / "a.rvq").write_bytes(rvqfiles.make_file("mono", 20))
    code = (
        "import sys\nfrom rvqcodec.cli import main\n"
        "main(['tokens', 'encode', 'a.rvq'], standalone_mode=False)\n"
        "main(['tokens', 'decode', 'a.npz', '-o', 'b.rvq'], standalone_mode=False)\n"
        "assert not {'torch', 'soundfile', 'soxr'} & set(sys.modules), 'heavy imports'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    header = dataclasses.asdict(rvqfiles.HEADER)
    with (tmp_path / "b.rvq").open("rb") as file:
        assert Codes.read(file).header.model_id == header["model_id"]
