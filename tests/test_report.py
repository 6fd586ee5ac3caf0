"""Runs as JSON, their means, and the page made of them (checked in headless Chromium where there is one)."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rvqcodec.errors import RvqError
from rvqcodec.report.page import make_page
from rvqcodec.report.run import (
    BAND_COLUMNS,
    Clip,
    Row,
    Run,
    duel,
    groups_of,
    keep_audio,
    kind_of,
    load_run,
    markdown,
    save_run,
    summarize,
    summary_table,
)

RATE = 16000
CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
EVIL = "<script>alert(1)</script>\"'&"


def clip(name: str) -> Clip:
    return Clip(name, kind_of(name), 1.0, RATE, 1, "0" * 64)


def row(name: str, codec: str, kbps: float, **figures: float | None) -> Row:
    return Row(name, codec, codec.split()[0], float(codec.split()[1]) * 1000, 1, kbps * 1000, figures)


def small_run() -> Run:
    rows = (
        row("speech-a", "opus 6", 7.0, mel=2.0, pesq=2.0),
        row("speech-a", "rvq 12", 12.0, mel=0.5, pesq=3.0),
        row("speech-a", "rvq 6", 6.0, mel=1.0, pesq=None),
        row("music-b", "opus 6", 8.0, mel=3.0),
        row("music-b", "rvq 6", 6.1, mel=1.5),
    )
    return Run("a command", (clip("speech-a"), clip("music-b")), rows, "today", "a machine", ("a note",))


def run_with_audio(folder: Path, title: str = "speech-a") -> Run:
    t = np.arange(RATE) / RATE
    samples = (0.3 * np.sin(2 * np.pi * 700 * t)).astype(np.float32)[None]
    path = folder / "run.json"
    reference = replace(clip(title), audio=keep_audio(samples, RATE, path, "a.reference"))
    rows = []
    for codec in ("rvq 6", "opus 12"):
        made = row(title, codec, 6.0, mel=1.0, visqol=3.0, pesq=None)
        rows.append(replace(made, audio=keep_audio(samples, RATE, path, f"a.{codec}")))
    run = Run("command", (reference,), tuple(rows))
    save_run(run, path)
    return run


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    run = small_run()
    save_run(run, tmp_path / "run.json")
    assert load_run(tmp_path / "run.json") == run
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[]", "not a run"),
        ('{"schema": "else"}', "not a run"),
        ('{"schema": "rvq-run-1"}', "damaged run"),
        ('{"schema": "rvq-run-1", "command": "", "clips": [{"x": 1}], "rows": []}', "damaged run"),
    ],
)
def test_what_is_no_run_is_said_in_a_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(RvqError, match=message) as caught:
        load_run(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(RvqError, match="No such file"):
        load_run(tmp_path / "none.json")


def test_rows_of_unknown_clips_are_refused(tmp_path: Path) -> None:
    save_run(replace(small_run(), clips=(clip("speech-a"),)), tmp_path / "run.json")
    with pytest.raises(RvqError, match="unknown clips: music-b"):
        load_run(tmp_path / "run.json")


def test_kinds_and_groups() -> None:
    names = ("speech-x.wav", "Music-y", "sound-z", "birds")
    assert [kind_of(name) for name in names] == ["speech", "music", "sound", "other"]
    assert groups_of(small_run()) == {
        "speech": ["speech-a"],
        "other": ["music-b"],
        "all": ["speech-a", "music-b"],
    }
    assert list(groups_of(replace(small_run(), clips=(clip("speech-a"),)))) == ["speech"]


def test_means_leave_out_what_is_unknown() -> None:
    run = small_run()
    assert run.codecs == ["rvq 6", "rvq 12", "opus 6"], "ours first, then by bitrate"
    six, _, opus = summarize(run, ["speech-a", "music-b"])
    assert (six.clips, six.bits_per_second, six.figures) == (2, pytest.approx(6050), {"mel": 1.25, "pesq": None})
    assert (opus.bits_per_second, opus.figures) == (7500, {"mel": 2.5, "pesq": 2.0})
    assert [line.codec for line in summarize(run, ["music-b"])] == ["rvq 6", "opus 6"]


def test_the_table_in_text() -> None:
    assert summary_table(summarize(small_run(), ["speech-a"])).splitlines() == [
        "codec    kbps    mel  PESQ",
        "rvq 6    6.00  1.000     -",
        "rvq 12  12.00  0.500  3.00",
        "opus 6   7.00  2.000  2.00",
    ]


def test_the_table_in_markdown() -> None:
    assert summary_table(summarize(small_run(), ["music-b"]), markdown).splitlines() == [
        "| codec | kbps | mel |",
        "| --- | ---: | ---: |",
        "| rvq 6 | 6.10 | 1.500 |",
        "| opus 6 | 8.00 | 3.000 |",
    ]
    assert markdown(["a|b"], []) == "| a\\|b |\n| --- |"


def test_figures_of_bands_have_a_table_of_their_own() -> None:
    names = ("level_200_1500", "level_1500_3000", "ripple_change_15000_19500", "image_level", "image_coherence")
    figures = dict(zip(names, (-0.31, None, 0.27, 1.466, 0.1704), strict=True))
    lines = summarize(replace(small_run(), rows=(row("speech-a", "rvq 6", 6.0, mel=1.0, **figures),)), ["speech-a"])
    assert summary_table(lines).splitlines()[0].split() == ["codec", "kbps", "mel"]
    assert summary_table(lines, columns=BAND_COLUMNS).splitlines() == [
        "codec  kbps  level 0.2-1.5  15-19.5  image dB  coherence",
        "rvq 6  6.00           -0.3      0.3      1.47      0.170",
    ]


def test_several_models_of_ours_come_first() -> None:
    rows = (row("speech-a", "opus 6", 7.0), row("speech-a", "rvq44-5 6", 6.0), row("speech-a", "rvq44-4 3", 3.0))
    assert replace(small_run(), rows=rows).codecs == ["rvq44-5 6", "rvq44-4 3", "opus 6"]


def test_duels_count_clips_that_both_coded() -> None:
    assert duel(small_run(), "rvq 6", "opus 6") == {"mel": (2, 2)}
    assert duel(small_run(), "rvq 12", "opus 6") == {"mel": (1, 1), "PESQ": (1, 1)}
    assert duel(small_run(), "opus 6", "rvq 12") == {"mel": (0, 1), "PESQ": (0, 1)}
    assert duel(small_run(), "rvq 6", "flac") == {}


def test_page_holds_everything_and_asks_nobody(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = make_page(run_with_audio(tmp_path), tmp_path, title="a run")
    assert page.count("<audio ") == page.count('src="data:audio/flac;base64,') == 3
    assert page.count('src="data:image/png;base64,') == 4, "three spectrograms and the curves"
    without_data = re.sub(r"base64,[^\"]*", "", page)
    assert "//" not in without_data.replace("// ", ""), "no address"
    assert "default-src 'none'" in page


def test_page_shows_figures_of_bands_where_there_are_some(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = run_with_audio(tmp_path)
    assert "level 0.2-1.5" not in make_page(run, tmp_path, title="")
    rows = tuple(replace(r, figures=r.figures | {"level_200_1500": -1.2, "image_level": 0.9}) for r in run.rows)
    page = make_page(replace(run, rows=rows), tmp_path, title="")
    assert "<th>level 0.2-1.5</th><th>image dB</th>" in page
    assert "<td>-1.2</td><td>0.90</td>" in page


def test_page_escapes_every_string(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = run_with_audio(tmp_path, "speech-" + EVIL)
    evil_rows = tuple(replace(r, codec=EVIL + r.codec, family=EVIL + r.family) for r in run.rows)
    evil = replace(run, rows=evil_rows, command=EVIL, made=EVIL, machine=EVIL, notes=(EVIL,))
    page = make_page(evil, tmp_path, title=EVIL)
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert page.count("<script>") == 1


def test_page_takes_no_audio_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    inside = tmp_path / "inside"
    inside.mkdir()
    run = run_with_audio(inside)
    shutil.copy(inside / "run.audio" / "a.reference.flac", tmp_path / "secret.flac")
    for name in ("../secret.flac", str(tmp_path / "secret.flac"), "run.json"):
        stolen = replace(run, clips=(replace(run.clips[0], audio=name),))
        with pytest.raises(RvqError, match="own folder"):
            make_page(stolen, inside, title="")
    (inside / "run.audio" / "a.rvq-6.flac").unlink()
    with pytest.raises(RvqError, match=r"missing; keep the folder"):
        make_page(run, inside, title="")


def test_page_of_chosen_codecs(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = run_with_audio(tmp_path)
    page = make_page(run, tmp_path, title="", codecs=["rvq"])
    assert page.count("<audio ") == 2
    assert "opus 12" not in page
    with pytest.raises(RvqError, match="no codec flac in the run; it has rvq 6, opus 12"):
        make_page(run, tmp_path, title="", codecs=["flac"])


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
def test_page_works_in_a_browser(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = make_page(run_with_audio(tmp_path), tmp_path, title="a run")
    # The browser writes down what it loaded, by the page's own policy.
    probe = """<script>addEventListener('load', () => setTimeout(() => {
      const audio = [...document.querySelectorAll('audio')], image = [...document.images];
      document.title = JSON.stringify({seconds: audio.map(a => a.duration), widths: image.map(i => i.naturalWidth),
        overflow: document.documentElement.scrollWidth > innerWidth,
        asked: performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length});
    }, 1500));</script></body>"""
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", probe))
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --virtual-time-budget=8000 --dump-dom"
    )
    command = [str(CHROMIUM), *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title is not None, done.stderr[-500:]
    seen = json.loads(title.group(1))
    assert seen["seconds"] == pytest.approx([1.0] * 3, abs=0.01)
    assert len(seen["widths"]) == 4
    assert min(seen["widths"]) > 300
    assert not seen["overflow"]
    assert seen["asked"] == 0
