"""What only ffmpeg reads: decoded by it where it is installed, else refused with the remedy."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf
from conftest import ENVIRONMENT, Rvq

from rvqcodec.audio import open_input
from rvqcodec.errors import AudioError

N = 48_000


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    path = tmp_path_factory.mktemp("song") / "a.wav"
    sf.write(path, np.stack([np.sin(np.arange(N) / 9) / 2, np.sin(np.arange(N) / 20) / 3], axis=1), 48000)
    return path


def made(song, path, *flags):
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("ffmpeg is not installed")
    done = subprocess.run(["ffmpeg", "-v", "error", "-i", song, *flags, path], capture_output=True)
    if done.returncode:
        pytest.skip(f"ffmpeg makes no {path.suffix} here")
    return path


def read(path):
    with open_input(path) as audio:
        return np.concatenate(list(audio.blocks(7000)), axis=1), audio


@pytest.mark.parametrize(
    ("name", "coding", "close"),
    [
        ("a.m4a", "alac", 1e-4), ("a.wv", "wavpack", 1e-4), ("a.tta", "tta", 1e-4), ("a.m4a", "aac", None),
        ("a.aac", "aac", None), ("a.wma", "wmav2", None), ("a.mka", "flac", 1e-4), ("a.spx", "libspeex", None),
        ("a.caf", "alac", 1e-4), ("a.wav", "adpcm_swf", None),
    ],
)  # fmt: skip
def test_formats_that_only_ffmpeg_reads(tmp_path, song, name, coding, close):
    path = made(song, tmp_path / name, "-c:a", coding, "-metadata", "title=Größe")
    back, audio = read(path)
    assert audio.channels == 2 or coding == "libspeex"
    if coding != "libspeex":
        assert abs(back.shape[1] - N) < 5000
    if close is not None:
        assert np.abs(back - sf.read(song, dtype="float32")[0].T).max() < close
    assert (audio.losses, audio.warnings) == ([], [])
    assert f"{path}: {coding.removeprefix('lib')} was decoded by the ffmpeg program" in audio.notes or coding == "alac"
    if name[-3:] in ("m4a", "mka", "wma"):
        assert audio.tags == {"TITLE": "Größe"}


def test_stdin_and_names_that_ffmpeg_would_take_for_something_else(tmp_path, song):
    path = tmp_path / "concat:a.m4a"
    made(song, tmp_path / "plain.m4a", "-c:a", "alac").rename(path)
    os.symlink(path, tmp_path / "-i")
    for name in (path, tmp_path / "-i"):
        assert read(name)[0].shape == (2, N)
    child = (
        "from rvqcodec.audio import open_input\nwith open_input('-') as a: print(sum(b.shape[1] for b in a.blocks()))"
    )
    command = ["sh", "-c", 'cat "$1" | "$2" -c "$3"', "sh", path, sys.executable, child]
    done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, timeout=60)
    assert (done.stdout.strip(), done.stderr) == (str(N).encode(), b"")


def test_a_playlist_is_no_recording(tmp_path, song):
    made(song, tmp_path / "a.m4a", "-c:a", "alac")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\na.m4a\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile a.m4a\n")
    for name in ("list.m3u8", "list.ffconcat"):
        with pytest.raises(AudioError, match="not audio that rvq reads"):
            read(tmp_path / name)


def test_damage_that_ffmpeg_tells_and_cut_off_files(tmp_path, song):
    path = made(song, tmp_path / "a.wv", "-c:a", "wavpack")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path.write_bytes(data)
    assert any("damaged: ffmpeg said" in line for line in read(path)[1].losses)


def test_without_ffmpeg_the_remedy_is_named(tmp_path, song, rvq: Rvq):
    path = made(song, tmp_path / "a.m4a", "-c:a", "alac")
    speex = made(song, tmp_path / "b.spx", "-c:a", "libspeex", "-ar", "16000", "-ac", "1")
    (tmp_path / "bin").mkdir()
    done = rvq("encode", path, speex, "-o", tmp_path / "out", env={**ENVIRONMENT, "PATH": str(tmp_path / "bin")})
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert len(lines) == 2
    assert lines[0].startswith(f"rvq: {path}: not audio that rvq reads")
    assert lines[1].startswith(f"rvq: {speex}: Ogg with Speex")
    assert all("install ffmpeg, with which rvq reads more formats, or convert it to WAV" in line for line in lines)
    assert not list((tmp_path / "out").iterdir())


def test_quiet_says_nothing_of_what_is_left_out_by_rule(tmp_path, song, rvq: Rvq):
    path = made(song, tmp_path / "a.m4a", "-c:a", "alac")
    done = rvq("encode", path)
    assert done.returncode == 0
    assert b"alac was decoded by the ffmpeg program" in done.stderr
    done = rvq("encode", "-f", "--quiet", path)
    assert (done.returncode, done.stderr) == (0, b"")
