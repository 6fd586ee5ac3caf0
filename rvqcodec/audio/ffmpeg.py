"""Audio that only the ffmpeg program reads, where it is installed: decoded by it, through a pipe.

It reads the file that is open already, as its stdin, and no other: names, playlists and the network are closed to it.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio.formats import MAX_RATE
from rvqcodec.audio.found import PICTURE, Found
from rvqcodec.audio.heads import Head
from rvqcodec.audio.sources import PcmSource
from rvqcodec.audio.wavread import read_wav_head
from rvqcodec.errors import AudioError

PROGRAM, PROBE = "ffmpeg", "ffprobe"
# ffmpeg's names of formats that hold recordings, and point to no other file.
_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,iff,loas,matroska,webm,mov,mp4,m4a,3gp,"
    "3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,nut,ogg,oma,rm,rso,shn,smjpeg,sox,spdif,tak,truehd,tta,voc,w64,wav,wv,xwma"
)
# How files begin that ffmpeg reads and libsndfile does not: (position, bytes).
_STARTS = (
    (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (4, b"free"), (4, b"skip"), (0, b"\0\0\1\xba"),
    (0, b".RMF"), (0, b"\x1aE\xdf\xa3"), (0, b"wvpk"), (0, b"MAC "), (0, b"TTA"), (0, b"tBaK"), (0, b"MPCK"),
    (0, b"MP+"), (0, b"#!AMR"), (0, b"DSD "), (0, b"FLV\1"), (8, b"AVI "), (0, bytes.fromhex("3026b2758e66cf11")),
    (0, b"\x0b\x77"), (0, b"\xff\xf1"), (0, b"\xff\xf9"), (0, b"ajkg"),
)  # fmt: skip
_KEYS = {"YEAR": "DATE", "ALBUM_ARTIST": "ALBUMARTIST", "TRACK": "TRACKNUMBER", "DISC": "DISCNUMBER"}
# They describe the input's file and encoder, not the recording.
_OF_THE_FILE = (
    "ENCODER", "ENCODED_BY", "ENCODING", "SOFTWARE", "MAJOR_BRAND", "MINOR_VERSION", "COMPATIBLE_BRANDS",
    "CREATION_TIME", "HANDLER_NAME", "VENDOR_ID", "LANGUAGE", "DURATION", "ITUNNORM", "ITUNSMPB", "GAPLESS_PLAYBACK",
    "WMFSDK", "DEVICECONFORMANCETEMPLATE", "ISVBR", "WM/MEDIACLASS", "WM/WMADRC",
)  # fmt: skip


_WHERE = re.compile(r"file:/dev/fd/0|^\[[^]]* @ 0x[0-9a-f]+\] ")  # what is no use to the user in ffmpeg's lines


class NoAudioError(AudioError):
    """ffmpeg finds no audio in a file."""


def installed() -> bool:
    """Whether the program, and the one that comes with it to describe files, are on the PATH."""
    return shutil.which(PROGRAM) is not None and shutil.which(PROBE) is not None


def looks_known(start: bytes) -> bool:
    """Whether a file with these first bytes is of a kind that ffmpeg is asked for."""
    return any(start[at : at + len(magic)] == magic for at, magic in _STARTS)


class FfmpegSource:
    """The first audio stream of a regular file, decoded by ffmpeg."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        """Errors: AudioError; NoAudioError where ffmpeg finds no audio in the file."""
        self._name = name
        self._errors = tempfile.TemporaryFile(prefix="rvq-")  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None
        try:
            about = self._probe(file)
            streams = about.get("streams", [])
            sounds = [s for s in streams if s.get("codec_type") == "audio"]
            if not sounds:
                raise NoAudioError(f"{name}: holds no audio that ffmpeg reads")
            command = ["-map", "0:a:0", *_slower(sounds[0]), "-c:a", "pcm_f32le", "-f", "wav", "-"]
            self._process = self._start(PROGRAM, file, ["-nostdin", *_input(name)], command)
            assert self._process.stdout is not None
            self._pcm = PcmSource(self._process.stdout, name, self._head())
        except BaseException:
            self.close()
            raise
        self.sample_rate, self.channels = self._pcm.sample_rate, self._pcm.channels
        self.layout = self._pcm.layout
        self.n_samples: int | None = None
        self.expected = _length(about, self.sample_rate)
        found = _found(about, sounds[0], streams)
        self.tags = found.tags
        what, slower = sounds[0].get("codec_name", "its audio"), _slower(sounds[0])
        converted = f", and brought to {self.sample_rate} Hz" if slower else ""
        self.notes = [f"{name}: {what} was decoded by the ffmpeg program{converted}"]
        self.notes += [f"{name}: {text}" for text in found.notes()]
        self.warnings = self._pcm.warnings
        self.losses = self._pcm.losses
        if len(sounds) > 1:
            self.losses.append(f"{name}: {len(sounds)} audio streams side by side; all but the first were left out")
        self._done = False

    def _head(self) -> Head:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            return read_wav_head(self._process.stdout, self._name)
        except AudioError:
            raise AudioError(f"{self._name}: cannot be read by ffmpeg: {self._said() or 'it gave no sound'}") from None

    def _start(self, program: str, file: IO[bytes], before: list[str], after: list[str]) -> "subprocess.Popen[bytes]":
        file.seek(0)
        return subprocess.Popen(
            [program, "-v", "error", "-protocol_whitelist", "file", "-format_whitelist", _DEMUXERS, *before, *after],
            stdin=file.fileno(),
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def _probe(self, file: IO[bytes]) -> dict[str, Any]:
        what = "format=duration:format_tags:stream=codec_type,codec_name,sample_rate:stream_tags"
        what += ":stream_disposition=attached_pic"
        with self._start(PROBE, file, ["-show_entries", what, "-of", "json"], _input(self._name)) as process:
            text = process.communicate()[0]
        self._errors.seek(0)
        self._errors.truncate()
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:
            return {}
        return found

    def _said(self) -> str:
        """What ffmpeg printed, in one line."""
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").splitlines()
        lines = [_WHERE.sub("", line).strip(" :") for line in lines if line.strip()]
        return f"{lines[-1]!r}{f' and {len(lines) - 1} more' if len(lines) > 1 else ''}" if lines else ""

    def read(self, n: int) -> NDArray[np.float32]:
        samples = self._pcm.read(n)
        if samples.shape[1] < n and not self._done:
            self._done = True
            assert self._process is not None
            code, said = self._process.wait(), self._said()
            if not self._pcm.samples_read:
                raise AudioError(f"{self._name}: ffmpeg finds no sound in it: damaged or cut off. {said}".rstrip(". "))
            missing = (self.expected or 0) - self._pcm.samples_read
            if missing > max(0.05 * (self.expected or 0), 0.1 * self.sample_rate):  # announced lengths are not exact
                came = f"some {self.expected} samples per channel expected, {self._pcm.samples_read} came"
                self.losses.append(f"{self._name}: maybe cut off: {came}")
            if code or said:
                self.losses.append(f"{self._name}: damaged: ffmpeg said {said or f'nothing and failed ({code})'}")
        return samples

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            if process.stdout is not None:
                process.stdout.close()
            process.wait()
        self._errors.close()


def _input(name: str) -> list[str]:
    return ["-i", "file:/dev/fd/0" if os.path.exists("/dev/fd/0") else f"file:{name}"]


def _slower(sound: dict[str, Any]) -> list[str]:
    """What brings DSD, and other rates that rvq does not take, down to one that it does."""
    rate = int(sound.get("sample_rate", 0) or 0)
    return ["-ar", str(MAX_RATE if rate % 48_000 == 0 else 176_400)] if rate > MAX_RATE else []


def _length(about: dict[str, Any], rate: int) -> int | None:
    try:
        return round(float(about["format"]["duration"]) * rate)
    except (KeyError, ValueError, OverflowError):
        return None


def _found(about: dict[str, Any], sound: dict[str, Any], streams: list[dict[str, Any]]) -> Found:
    found = Found()
    for tags in (about.get("format", {}).get("tags", {}), sound.get("tags", {})):
        more = Found()
        for key, text in tags.items():
            key = key.upper()
            if not key.startswith(_OF_THE_FILE):
                more.add(_KEYS.get(key, key), str(text))
        found.merge(more)
    for stream in streams:
        if stream.get("disposition", {}).get("attached_pic"):
            found.left_out[PICTURE] += 1
        elif stream.get("codec_type") != "audio":
            found.left_out[f"{stream.get('codec_type', 'other')} stream"] += 1
    return found
