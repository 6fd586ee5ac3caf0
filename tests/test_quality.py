"""benchmarks/quality.py on two tiny clips: true bitrates, kinds, rows taken again from an earlier run."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from rvqcodec.models import cards
from rvqcodec.report.metrics import missing

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "quality.py"
RATE = 44100

needs_opus = pytest.mark.skipif(
    shutil.which("opusenc") is None, reason="needs opusenc (Debian: apt-get install opus-tools)"
)
pytestmark = pytest.mark.skipif(not cards.available(), reason="needs the weights of this repository")


def quality(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), *(str(a) for a in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    noise = np.random.default_rng(0).standard_normal((RATE, 2)) * 0.05
    sf.write(folder / "speech-a.flac", noise, RATE)
    sf.write(folder / "music-b.wav", noise[:20000], RATE // 2)
    return folder


@needs_opus
def test_a_run_over_two_clips(tmp_path: Path, clips: Path) -> None:
    out = tmp_path / "run.json"
    done = quality(clips, "--codecs", "rvq,opus 12", "--bitrates", "3,6", "--out", out, "--audio", "1")
    assert done.returncode == 0, done.stderr
    assert "speech (1 clips, mono)" in done.stdout
    run: dict[str, Any] = json.loads(out.read_text())
    assert [(c["name"], c["kind"], c["channels"]) for c in run["clips"]] == [
        ("music-b", "music", 1),
        ("speech-a", "speech", 1),
    ]
    assert [r["codec"] for r in run["rows"]] == ["rvq 3", "rvq 6", "opus 12"] * 2
    for row in run["rows"]:
        seconds = next(c["seconds"] for c in run["clips"] if c["name"] == row["clip"])
        assert row["bits_per_second"] == pytest.approx(row["encoded_bytes"] * 8 / seconds)
        assert (tmp_path / row["audio"]).is_file()
        assert row["figures"]["image_level"] is None
        assert row["figures"]["level_200_1500"] == pytest.approx(0, abs=6)
        assert ("pesq" in row["figures"]) == (row["clip"] == "speech-a" and not missing("pesq"))

    # The second run measures nothing of Opus again: what we change in the first shows up.
    for row in run["rows"]:
        row["figures"]["mel"] = 77.0
    out.write_text(json.dumps(run))
    again = tmp_path / "again.json"
    done = quality(clips, "--codecs", "opus 12", "--out", again, "--reuse", out)
    assert done.returncode == 0, done.stderr
    assert [row["figures"]["mel"] for row in json.loads(again.read_text())["rows"]] == [77.0, 77.0]


def test_two_models_side_by_side_and_their_stereo_image(tmp_path: Path, clips: Path) -> None:
    """A model that is not installed, the very one that is under another name: both give the same."""
    card = cards.find(None)
    other = tmp_path / "other.json"
    shutil.copy(card.path.with_suffix(".json"), other)
    shutil.copy(card.path, other.with_suffix(".safetensors"))
    sf.write(clips / "sound-mono.wav", np.zeros(RATE), RATE)
    out = tmp_path / "run.json"
    models = ("--model", card.model_id, "--model", other)
    done = quality(clips, "--codecs", "rvq", *models, "--bitrates", "3", "--stereo", "--out", out)
    assert done.returncode == 0, done.stderr
    run: dict[str, Any] = json.loads(out.read_text())
    assert [c["name"] for c in run["clips"]] == ["music-b", "speech-a"], "the mono clip is left out"
    names = [f"{card.model_id} 3", "rvq-other 3"]
    for first, second in zip(run["rows"][::2], run["rows"][1::2], strict=True):
        assert [first["codec"], second["codec"]] == names
        assert first["figures"] == second["figures"]
        assert first["figures"]["image_level"] > 0
    lines = [line.split() for line in done.stdout.splitlines()]
    heads = [line for line in lines if line[:2] == ["codec", "kbps"]]
    assert heads[1][-3:] == ["image", "dB", "coherence"]
    ripple = done.stdout[done.stdout.index("ripple dB of the mean spectrum") :].splitlines()
    assert [line[:20].strip() for line in ripple[1:4]] == ["original", *names]
    assert "rvq-other 3 is better than" in done.stdout
    done = quality(clips, "--model", other, "--model", other)
    assert done.returncode == 1
    assert "a second one of that name" in done.stderr


def test_models_of_others(tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RVQ_MODELS", str(tmp_path / "models"))
    done = quality(clips, "--codecs", "opus 12,encodec,mimi", "--quick", "--out", tmp_path / "none.json")
    assert done.returncode == 0, done.stderr
    assert "note: mimi: left out, no model of it at these bitrates is installed (rvq models add)" in done.stdout
    pytest.importorskip("transformers", reason="needs the extra [families]")
    import checkpoints

    from rvqcodec.models import adding

    checkpoints.make("encodec-24khz", tmp_path / "folder")
    adding.add(tmp_path / "folder")
    out = tmp_path / "run.json"
    done = quality(clips, "--codecs", "encodec,dac", "--bitrates", "3,7,99", "--quick", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "note: dac: left out" in done.stdout
    rows = json.loads(out.read_text())["rows"]
    assert {row["codec"] for row in rows} == {"encodec-24khz 3", "encodec-24khz 7"}
    low, high = (next(row for row in rows if row["codec"] == f"encodec-24khz {kbps}") for kbps in (3, 7))
    assert low["bits_per_second"] < high["bits_per_second"] < 7500, "6 kbps and the container"


def test_refusals_in_a_line(tmp_path: Path, clips: Path) -> None:
    for arguments, message in (
        ((tmp_path / "none",), "not a folder"),
        ((tmp_path,), "no audio in it"),
        ((clips, "--codecs", "vorbis"), "unknown codec vorbis; there are rvq 1.5"),
    ):
        done = quality(*arguments)
        assert done.returncode == 1
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
