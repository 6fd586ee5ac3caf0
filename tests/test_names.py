"""Names and texts that an encoding does not hold, at every door: libraries, streams, pictures, pages, JSON.

Bytes of a name that are no UTF-8 are shown as caf\\xe9; what an output's encoding has no place for as \\u2602.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ENVIRONMENT, RVQ, Result, Rvq, names_in, read_audio
from numpy.typing import NDArray
from rvqfiles import make_file

from rvqcodec.cli.errors import Batch
from rvqcodec.container import Reader

Invoke = Callable[..., Result]
WriteWav = Callable[..., Path]

LATIN = os.fsdecode(b"caf\xe9")
SHOWN = r"caf\xe9"
LINES = "two\nlines \x1b[31m"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose own name is no UTF-8."""
    folder = tmp_path_factory.mktemp("names") / LATIN
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    return folder


@pytest.fixture
def wav(folder: Path, stereo: NDArray[np.float32], write_wav: WriteWav) -> Path:
    path = folder / f"{LATIN}.wav"
    if not path.exists():
        write_wav(folder.parent / "a.wav", stereo[:, :24000], 48000).rename(path)
    return path


@pytest.fixture
def coded(wav: Path, invoke: Invoke) -> Path:
    path = wav.with_suffix(".rvq")
    if not path.exists():
        assert invoke("encode", wav).code == 0
    return path


@pytest.mark.parametrize("ending", [".wav", ".flac", ".ogg", ".opus", ".raw"])
def test_decode_writes_any_name(coded: Path, invoke: Invoke, ending: str) -> None:
    target = coded.with_name(f"{LATIN} out{ending}")
    result = invoke("decode", coded, "-o", target)
    assert (result.code, result.err.count("\n")) == (0, 1), result.err
    assert f"{SHOWN} out{ending}: 0:00.500" in result.err
    target.rename(target.with_name(f"a{ending}"))
    if ending != ".raw":
        with open(target.with_name(f"a{ending}"), "rb") as file:
            import soundfile

            assert soundfile.info(file).duration == 0.5


def test_encode_reads_any_name(coded: Path, invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("decode", coded, "-o", coded.with_name(f"{LATIN}.flac"), "-f").code == 0
    assert invoke("encode", coded.with_name(f"{LATIN}.flac"), "-o", tmp_path / "a.rvq").code == 0
    with open(tmp_path / "a.rvq", "rb") as file:
        assert Reader(file).header.n_samples == 24000


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_name_ends_a_batch(coded: Path, invoke: Invoke, tmp_path: Path, jobs: int) -> None:
    for name in (LATIN, LINES, "fine", "☂"):
        (tmp_path / f"{name}.rvq").write_bytes(coded.read_bytes())
    (tmp_path / f"{LATIN} broken.rvq").write_bytes(coded.read_bytes()[:-9])
    result = invoke("decode", "-r", tmp_path, "-j", jobs, "--to", "flac", "-o", tmp_path / f"{LATIN}.d")
    assert (result.code, result.err.count("\n")) == (1, 5)
    assert f"rvq: {tmp_path}/{SHOWN} broken.rvq: " in result.err
    assert sorted(names_in(tmp_path / f"{LATIN}.d")) == sorted(f"{n}.flac" for n in (LATIN, LINES, "fine", "☂"))


def test_what_no_door_foresaw_does_not_end_a_batch_either(capsys: pytest.CaptureFixture[str]) -> None:
    batch = Batch()
    with batch.item(LATIN):
        LATIN.encode()
    assert batch.failed == 1
    assert capsys.readouterr().err == f"rvq: {SHOWN}: utf-8 has no place for it; set a UTF-8 locale\n"


def test_descriptions(coded: Path, invoke: Invoke) -> None:
    path = coded.with_name(f"{LINES}.rvq")
    path.write_bytes(coded.read_bytes())
    for name, shown in ((coded, f"{SHOWN}.rvq"), (path, r"two\nlines \x1b[31m.rvq")):
        assert invoke("info", name).out.splitlines()[0].endswith(f"/{SHOWN}/{shown}")
        assert invoke("verify", name).out.startswith(str(name.parent.parent))
        assert invoke("verify", name).out.count("\n") == 1


@pytest.mark.parametrize("verb", ["info", "verify"])
def test_json_is_valid_text(coded: Path, invoke: Invoke, verb: str) -> None:
    file = json.loads(invoke(verb, "--json", coded).out)["file"]
    assert file.endswith(f"/{SHOWN}/{SHOWN}.rvq")
    file.encode()


def test_figures_pictures_and_pages(coded: Path, wav: Path, invoke: Invoke, recwarn: pytest.WarningsRecorder) -> None:
    pytest.importorskip("matplotlib")
    other = coded.with_name("日本.rvq")  # characters that matplotlib's font lacks
    other.write_bytes(coded.read_bytes())
    picture = wav.with_name(f"{LATIN}.png")
    result = invoke("compare", wav, other, "--fast", "--plot", picture)
    assert (result.code, result.err) == (0, "")
    assert f"/{SHOWN}.wav: 48000 Hz" in result.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not recwarn.list
    about = json.loads(invoke("compare", wav, coded, "--fast", "--json").out)
    assert about["reference"]["name"].endswith(f"/{SHOWN}.wav")
    run = wav.with_name(f"{LATIN}.json")
    assert invoke("roundtrip", wav, "-b", "3", "--fast", "--out", run).code == 0
    json.loads(run.read_text())["command"].encode()
    result = invoke("report", run)
    assert (result.code, result.err.count("\n")) == (0, 1)
    page = run.with_suffix(".html").read_text("utf-8")
    assert f"<h1>rvq: {SHOWN}</h1>" in page


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
@pytest.mark.parametrize("verb", ["info", "verify"])
def test_an_output_without_the_characters(tmp_path: Path, rvq: Rvq, encoding: str, verb: str) -> None:
    path = tmp_path / "☂.rvq"
    path.write_bytes(make_file(tags=(("TITLE", "Gr☂n é"),)))
    done = rvq(verb, path, env={**ENVIRONMENT, "PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u2602.rvq" in done.stdout
    if verb == "info":
        assert rb"TITLE=Gr\u2602n " + "é".encode(encoding, "backslashreplace") in done.stdout


PLAIN = {**ENVIRONMENT, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_a_locale_without_characters(wav: Path, tmp_path: Path) -> None:
    """Python then reads every argument as ASCII; names and tags are what the shell gave, all the same."""
    target = os.fsencode(tmp_path) + "/☂.rvq".encode()
    args = ["encode", wav, "-o", target, "--tag", "TITLE=Gr☂n".encode()]
    done = subprocess.run([*RVQ, *args], env=PLAIN, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (0, 1), done.stderr
    with open(target, "rb") as file:
        assert Reader(file).header.tags == (("TITLE", "Gr☂n"),)
    done = subprocess.run([*RVQ, "verify", target], env=PLAIN, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.count(rb"\u2602.rvq: ok")) == (0, 1)
    args = ["decode", target, "-o", target[:-4] + b".flac"]
    done = subprocess.run([*RVQ, *args], env=PLAIN, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (0, 1), done.stderr
    assert read_audio(tmp_path / "☂.flac")[0].shape == (2, 24000)


def test_errors_show_names_on_one_line(invoke: Invoke, tmp_path: Path) -> None:
    for name, shown in ((LATIN, SHOWN), (LINES, r"two\nlines \x1b[31m")):
        for verb in (("info",), ("trim", "-q", 1), ("encode",), ("decode",), ("tokens", "encode")):
            result = invoke(*verb, tmp_path / name)
            assert (result.code, result.err.count("\n")) == (1, 1)
            assert f"{tmp_path}/{shown}" in result.err
        (tmp_path / name).write_bytes(b"")
        result = invoke("trim", "-q", "1", "a", "b", "-o", tmp_path / name)
        assert (result.code, f"-o {tmp_path}/{shown} must be a folder" in result.err) == (2, True)
