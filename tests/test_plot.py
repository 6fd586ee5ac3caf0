"""Pictures: what is drawn has the right levels, and the files are PNGs of a readable size."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from rvqcodec.errors import RvqError
from rvqcodec.report import plot
from rvqcodec.report.run import Clip, Row, Run

RATE = 44100


def size_of(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_levels_of_a_sine() -> None:
    bin_hertz = RATE / plot.WINDOW
    x = (0.1 * np.sin(2 * np.pi * 100 * bin_hertz * np.arange(RATE) / RATE)).astype(np.float32)
    decibel = plot.levels(np.stack([x, x]))
    assert decibel.shape[0] == plot.WINDOW // 2 + 1
    middle = decibel[:, decibel.shape[1] // 2]
    assert np.argmax(middle) == 100
    assert middle[100] == pytest.approx(-20.0, abs=0.1)
    assert middle[300] < -100


def test_levels_are_bounded_in_size() -> None:
    assert plot.levels(np.zeros(RATE * 60, np.float32)).shape == (1025, plot.COLUMNS)
    assert plot.levels(np.zeros(100, np.float32)).shape == (1025, 1)


def test_comparison_sheet(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32) * 0.1
    target = tmp_path / "sheet.png"
    plot.comparison_plot(x, x * 0, RATE, target, names=("$one$", "two"))
    width, height = size_of(target.read_bytes())
    assert width > 1000
    assert height > 800


def test_a_missing_matplotlib_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RvqError, match=r"pip install 'rvqcodec\[plot\]'"):
        plot.new_figure(1, 1)


def test_quality_curves() -> None:
    rows = [
        Row("speech-a", f"{family} {kbps}", family, kbps * 1000, 1, kbps * 1000, {"mel": 3 / kbps, "stoi": 0.9})
        for family in ("rvq", "opus", "unheard-of")
        for kbps in (6, 12)
    ]
    clips = (Clip("speech-a", "speech", 1.0, RATE, 1, ""),)
    out = io.BytesIO()
    plot.quality_plot(Run("", clips, tuple(rows)), out)
    assert size_of(out.getvalue())[0] > 1000
    with pytest.raises(RvqError, match="no figures"):
        plot.quality_plot(Run("", clips, ()), io.BytesIO())
