"""`rvq compare` and `rvq roundtrip` as a user meets them: figures, notes, one-line refusals."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from rvqcodec.audio import open_output
from rvqcodec.cli import main
from rvqcodec.models import cards
from rvqcodec.report.metrics import missing

RATE = 44100
needs_weights = pytest.mark.skipif(not cards.available(), reason="needs the weights of this repository")


def rvq(*arguments: str | Path, data: bytes | None = None) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], input=data)


def refused(*arguments: str | Path) -> str:
    """The one line on stderr of a command that fails."""
    result = rvq(*arguments)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("rvq: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def noise(seconds: float, channels: int = 1, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((round(seconds * RATE), channels)) * 0.1


def figures_of(text: str) -> dict[str, str]:
    return {line[:26].strip(): line[26:].strip() for line in text.splitlines() if len(line) > 26}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    sf.write(path, noise(1.0), RATE, subtype="FLOAT")
    return path


def test_compare_prints_known_figures(tmp_path: Path, recording: Path) -> None:
    other = tmp_path / "b.wav"
    late = np.concatenate([np.zeros((441, 1)), noise(1.0) * 0.5])
    sf.write(other, late, RATE, subtype="FLOAT")
    result = rvq("compare", recording, other, "--fast")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    found = figures_of(result.stdout)
    assert found["compared"] == "1.000 s, other later by 10.00 ms"
    assert found["SI-SDR"] == "100.0 dB"
    assert found["loudness difference"] == "-6.02 LU"
    assert found["frequencies kept"] == "up to 22.1 of 22.1 kHz"
    assert found["level change by band"] == "-6.0 -6.0 -6.0 -6.0 -6.0 dB in 0.2-1.5, 1.5-3, 3-6, 6-10, 10-16 kHz"
    assert re.fullmatch(r"(1\.\d) (1\.\d) (1\.\d) \(was \1 \2 \3\) dB in 5-10, 10-15, 15-19.5 kHz", found["ripple"])
    assert "stereo image" not in found
    assert "STOI" not in found
    assert "lengths differ: 1.000 s and 1.010 s" in result.stdout


def test_compare_tells_the_image_of_two_channels(tmp_path: Path) -> None:
    left, right = tmp_path / "left.wav", tmp_path / "right.wav"
    sf.write(left, noise(1.0) * [1.0, 0.5], RATE, subtype="FLOAT")
    sf.write(right, noise(1.0) * [0.5, 1.0], RATE, subtype="FLOAT")
    assert figures_of(rvq("compare", left, right, "--fast").stdout)["stereo image"] == (
        "level off by 12.04 dB, coherence by 0.000"
    )
    figures = json.loads(rvq("compare", left, right, "--fast", "--json").stdout)["figures"]
    assert figures["image_level"] == pytest.approx(12.04, abs=0.01)


def test_compare_as_json(tmp_path: Path, recording: Path) -> None:
    result = rvq("compare", recording, recording, "--fast", "--json")
    document = json.loads(result.stdout)
    assert document["figures"]["mel"] == 0
    assert document["figures"]["visqol"] is None
    assert document["figures"]["level_10000_16000"] == document["figures"]["ripple_change_5000_10000"] == 0
    assert document["figures"]["image_level"] is None
    assert document["reference"]["sample_rate"] == RATE
    assert document["other"]["coded"] is False
    assert document["notes"] == []


def test_compare_reads_stdin(recording: Path) -> None:
    result = rvq("compare", "-", recording, "--fast", "--json", data=recording.read_bytes())
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["reference"]["name"] == "stdin"
    assert rvq("compare", "-", "-").exit_code == 2


@pytest.mark.skipif(missing("stoi") or missing("pesq"), reason="needs the extra [metrics]")
def test_compare_judges_speech_where_it_can(monkeypatch: pytest.MonkeyPatch, recording: Path) -> None:
    monkeypatch.setattr("rvqcodec.report.metrics.missing", lambda name: name == "visqol")
    found = figures_of(rvq("compare", recording, recording).stdout)
    assert found["STOI"] == "1.000 (0 to 1)"
    assert found["PESQ wide band"] == "4.64 (1 to 4.6)"
    assert found["ViSQOL"] == "not installed: pip install 'rvqcodec[metrics]'"


def test_long_recordings_are_not_judged(monkeypatch: pytest.MonkeyPatch, recording: Path) -> None:
    monkeypatch.setattr("rvqcodec.cli.compare.JUDGED_SECONDS", 0.5)
    monkeypatch.setattr("rvqcodec.report.metrics.missing", lambda name: False)
    assert figures_of(rvq("compare", recording, recording).stdout)["PESQ wide band"] == "only for clips up to 0 s"


def test_rates_and_channels_are_brought_together(tmp_path: Path, recording: Path) -> None:
    sf.write(tmp_path / "low.wav", noise(1.0)[::2], RATE // 2, subtype="FLOAT")
    sf.write(tmp_path / "two.wav", np.repeat(noise(1.0), 2, axis=1), RATE, subtype="FLOAT")
    sf.write(tmp_path / "three.wav", noise(1.0, 3), RATE, subtype="FLOAT")
    low = rvq("compare", recording, tmp_path / "low.wav", "--fast").stdout
    assert f"low.wav was taken from 22050 to {RATE} Hz, the other's rate" in low
    two = rvq("compare", recording, tmp_path / "two.wav", "--fast").stdout
    assert "two.wav was mixed down to mono, as the other is" in two
    assert figures_of(two)["SI-SDR"] == "100.0 dB"
    line = refused("compare", tmp_path / "two.wav", tmp_path / "three.wav", "--fast")
    assert "cannot compare 2 channels" in line


def test_layouts_are_mixed_as_encode_does_and_told_where_they_differ(tmp_path: Path, recording: Path) -> None:
    samples = noise(1.0, 3).T.astype(np.float32)
    for name, layout in (("sub.wav", 0xB), ("centre.wav", 0x7)):
        with open_output(tmp_path / name, RATE, 3, layout=layout, subtype="FLOAT") as output:
            output.write(samples)
    sf.write(tmp_path / "mono.wav", samples[:2].mean(0), RATE, subtype="FLOAT")
    mono = rvq("compare", tmp_path / "sub.wav", tmp_path / "mono.wav", "--fast").stdout
    assert figures_of(mono)["SI-SDR"] == "100.0 dB"  # without the LFE
    both = rvq("compare", tmp_path / "sub.wav", tmp_path / "centre.wav", "--fast").stdout
    assert "channels are compared in their order, though" in both
    assert "sub.wav is 2.1" in both
    assert "centre.wav is 3.0" in both


def test_bad_input_is_one_line(tmp_path: Path, recording: Path) -> None:
    short, text = tmp_path / "short.wav", tmp_path / "text.wav"
    sf.write(short, noise(0.03), RATE)
    text.write_text("no audio at all")
    assert "at least 50 ms" in refused("compare", short, short, "--fast")
    assert "no such file" in refused("compare", recording, tmp_path / "none.wav")
    assert "is a folder" in refused("compare", recording, tmp_path)
    assert "text.wav" in refused("compare", recording, text)


def test_the_picture(tmp_path: Path, recording: Path) -> None:
    pytest.importorskip("matplotlib")
    target = tmp_path / "plot.png"
    assert rvq("compare", recording, recording, "--fast", "--plot", target).exit_code == 0
    assert target.read_bytes()[:4] == b"\x89PNG"
    assert "use -f" in refused("compare", recording, recording, "--plot", target)
    assert "no such folder" in refused("compare", recording, recording, "--plot", tmp_path / "none" / "p.png")
    assert rvq("compare", recording, recording, "--fast", "--plot", target, "-f").exit_code == 0


def table_of(text: str) -> tuple[list[str], list[Sequence[str]]]:
    head, *rows = text.splitlines()
    return head.split(), [row.split() for row in rows]


@needs_weights
def test_roundtrip_and_its_page(tmp_path: Path) -> None:
    source, run = tmp_path / "speech-x.wav", tmp_path / "run.json"
    t = np.arange(2 * RATE) / RATE
    sf.write(source, 0.3 * np.sin(2 * np.pi * (200 * t + 200 * t * t)), RATE)
    result = rvq("roundtrip", source, "-b", "12,3kbps", "--fast", "--out", run)
    assert result.exit_code == 0, result.output
    head, rows = table_of(result.stdout)
    assert head[:4] == ["asked", "kbps", "ratio", "mel"]
    assert [row[0] for row in rows] == ["3", "12"]
    assert 3 < float(rows[0][1]) < 4.5
    assert head[5] == "SI-SDR"
    assert float(rows[0][5]) < float(rows[1][5]), "four times the bits, a closer waveform"
    clip = json.loads(run.read_text())["clips"][0]
    assert clip["kind"] == "speech"
    assert sorted(p.name for p in (tmp_path / "run.audio").iterdir()) == [
        "speech-x.reference.flac", "speech-x.rvq-12.flac", "speech-x.rvq-3.flac",
    ]  # fmt: skip
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.html"
    assert rvq("report", run, "-o", page).exit_code == 0
    assert page.read_text().count("<audio ") == 3
    assert "use -f" in refused("report", run, "-o", page)
    assert "use -f" in refused("roundtrip", source, "--out", run)


@needs_weights
def test_an_rvq_file_is_decoded_on_the_way(tmp_path: Path, recording: Path) -> None:
    coded = tmp_path / "coded-without-ending"
    assert rvq("encode", recording, "-o", coded, "--quiet").exit_code == 0
    document = json.loads(rvq("compare", recording, coded, "--fast", "--json").stdout)
    assert document["other"]["coded"] is True
    assert document["other"]["file_bytes"] == coded.stat().st_size
    assert document["figures"]["seconds"] == 1.0
    assert document["figures"]["delay"] == 0.0
    assert "is an .rvq file already" in refused("roundtrip", coded)


def test_roundtrip_refuses_what_it_cannot_do(tmp_path: Path, recording: Path) -> None:
    assert "did you mean 6kbps" in refused("roundtrip", recording, "-b", "3,6000kbps")
    assert "is not a number" in refused("roundtrip", recording, "-b", "3,,6")
    assert "save it to a file" in refused("roundtrip", "-")
    assert "no such file" in refused("roundtrip", tmp_path / "none.wav")
    assert "no such folder" in refused("roundtrip", recording, "--out", tmp_path / "none" / "run.json")


def test_report_refuses_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    assert "not a run" in refused("report", tmp_path / "run.json")
    assert "No such file" in refused("report", tmp_path / "none.json")
    assert not (tmp_path / "run.html").exists()
