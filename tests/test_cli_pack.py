"""`rvq pack`, and what the other commands do with coded files: without the network, to the byte."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rvqfiles
from click.testing import Result
from numpy.typing import NDArray
from test_imports import imported

from rvqcodec.codes.grid import Codes
from rvqcodec.container import Header, Reader

Invoke = Callable[..., Result]
WriteWav = Callable[..., Path]


def header_of(path: Path) -> Header:
    with path.open("rb") as file:
        return Reader(file).header


def codes_of(path: Path) -> NDArray[np.uint16]:
    with path.open("rb") as file:
        return Codes.read(file).codes


@pytest.fixture
def song(tmp_path: Path, stereo: NDArray[np.float32], write_wav: WriteWav) -> Path:
    return write_wav(tmp_path / "song.wav", stereo)


def test_there_and_back(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    coded, plain, again, straight = (tmp_path / f"{name}.rvq" for name in ("coded", "plain", "again", "straight"))
    assert invoke("encode", song, "-q", 16, "-o", coded).code == 0
    assert invoke("encode", song, "-q", 16, "--plain", "-o", straight).code == 0
    assert invoke("pack", "--plain", coded, "-o", plain).code == 0
    assert plain.read_bytes() == straight.read_bytes()
    result = invoke("pack", plain, "-o", again)
    assert result.code == 0
    assert again.read_bytes() == coded.read_bytes()
    assert len(coded.read_bytes()) < 0.95 * len(plain.read_bytes())
    assert np.array_equal(codes_of(coded), codes_of(plain))
    assert invoke("pack", coded, "-f", "-o", again).code == 0
    assert again.read_bytes() == coded.read_bytes(), "what is coded stays as it is"


def test_a_bitrate_is_filled_and_trimmed(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    sizes = {}
    for rate in ("6k", "3k", "1.5k"):
        for plain in (False, True):
            path = tmp_path / f"{rate}{plain}.rvq"
            assert invoke("encode", song, "-b", rate, *["--plain"] * plain, "-o", path).code == 0
            sizes[rate, plain] = len(path.read_bytes())
        assert sizes[rate, False] <= sizes[rate, True] + 13, "the record of the tables, and rounding"
        assert codes_of(tmp_path / f"{rate}False.rvq").size > codes_of(tmp_path / f"{rate}True.rvq").size
    for rate in ("3k", "1.5k"):
        trimmed = tmp_path / "trimmed.rvq"
        assert invoke("trim", tmp_path / "6kFalse.rvq", "-b", rate, "-f", "-o", trimmed).code == 0
        assert trimmed.read_bytes() == (tmp_path / f"{rate}False.rvq").read_bytes()
    assert "has only 3 kbps" in invoke("trim", tmp_path / "3kFalse.rvq", "-b", "6k", "-f", "-o", trimmed).err
    assert trimmed.read_bytes() == (tmp_path / "3kFalse.rvq").read_bytes()


@pytest.mark.parametrize("chunk", [0.5, 3])
def test_short_chunks_are_coded_too(song: Path, tmp_path: Path, invoke: Invoke, chunk: float) -> None:
    low, trimmed = tmp_path / "low.rvq", tmp_path / "trimmed.rvq"
    assert invoke("encode", song, "--mono", "--chunk", chunk, "-o", tmp_path / "high.rvq").code == 0
    assert invoke("encode", song, "--mono", "--chunk", chunk, "-b", "2k", "-o", low).code == 0
    assert invoke("trim", tmp_path / "high.rvq", "-b", "2k", "-o", trimmed).code == 0
    assert trimmed.read_bytes() == low.read_bytes()


def test_info_says_how_codes_are_written(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    path = tmp_path / "a.rvq"
    assert invoke("encode", song, "-b", "3k", "-o", path).code == 0
    text = invoke("info", path).out
    assert f"codes coded by the model's tables {header_of(path).tables.hex()}, chunks filled up to 3 kbps" in text
    assert '"budget": 3000' in invoke("info", "--json", path).out
    assert invoke("pack", "--plain", path, "-f", "-o", tmp_path / "b.rvq").code == 0
    assert "codes packed as they are" in invoke("info", tmp_path / "b.rvq").out
    assert invoke("verify", path).code == 0


def test_no_tables_no_coding(tmp_path: Path, invoke: Invoke) -> None:
    path = tmp_path / "a.rvq"
    path.write_bytes(rvqfiles.make_file())
    result = invoke("pack", path, "-o", tmp_path / "b.rvq")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "test-1" in result.err
    assert not (tmp_path / "b.rvq").exists()


@pytest.mark.parametrize(
    "args",
    [
        ["pack", "--plain", "A", "-o", "B"],
        ["trim", "A", "-b", "1.5k", "-o", "B"],
        ["cut", "A", "--start", "1", "-o", "B"],
        ["cat", "A", "A", "-o", "B"],
    ],
    ids=lambda args: args[0],
)
def test_coded_files_are_changed_without_the_network(
    song: Path, tmp_path: Path, invoke: Invoke, args: list[str]
) -> None:
    coded = tmp_path / "A"
    assert invoke("encode", song, "-b", "3k", "-o", coded).code == 0
    words = [str(tmp_path / word) if word in "AB" else word for word in args]
    code = f"from rvqcodec.cli import main\ntry: main({words!r})\nexcept SystemExit as end: assert not end.code"
    assert not imported(code) & {"torch", "soundfile", "soxr", "scipy"}
    assert invoke("verify", tmp_path / "B").code == 0
