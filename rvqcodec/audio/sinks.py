"""Where samples go: PCM bytes that we write ourselves (WAV, raw), or libsndfile (FLAC, OGG)."""

import contextlib
import hashlib
import os
import select
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio.flaccomment import add_comments
from rvqcodec.audio.formats import SOUNDFILE_TAGS
from rvqcodec.audio.samples import WIDTH, encode, quantize
from rvqcodec.audio.soundfiles import forward_file, sound_errors
from rvqcodec.audio.wavwrite import wav_head
from rvqcodec.errors import AudioError
from rvqcodec.files import Replacement, is_special
from rvqcodec.speakers import usual

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import soundfile


class Sink(Protocol):
    """What AudioOutput writes to. `clipped` counts limited values."""

    clipped: int

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append float32 [channels, n]."""

    def close(self) -> None:
        """Finish; without effect after `close` or `abort`."""

    def abort(self) -> None:
        """Remove what was written; without effect after `close` or `abort`."""


def write_all(fd: int, data: bytes) -> None:
    """Write every byte, however short the single writes are, also where the descriptor does not block."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])


@contextlib.contextmanager
def write_errors(name: str) -> Iterator[None]:
    """Turn the system's refusals into one line about `name`; a reader that left (BrokenPipeError) passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except FileExistsError as error:
        raise AudioError(str(error)) from error  # which says what to do
    except OSError as error:
        raise AudioError(f"cannot write {name}: {error.strerror or error}") from error


def can_go_back(fd: int) -> bool:
    """Whether what will be written first to `fd` can be written again at the end: a file, at its start."""
    if not stat.S_ISREG(os.fstat(fd).st_mode) or os.lseek(fd, 0, os.SEEK_CUR) != 0:
        return False
    return fcntl is None or not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND


class PcmSink:
    """WAV (`header`) or raw samples to a file, to stdout ("-"), or to a device or FIFO at the target."""

    def __init__(
        self,
        target: str | Path,
        sample_rate: int,
        channels: int,
        *,
        encoding: str,
        header: bool,
        layout: int,
        n_samples: int | None,
        tags: Mapping[str, str],
        force: bool,
    ) -> None:
        self.clipped = 0
        self._name = "stdout" if str(target) == "-" else str(target)
        self._rate, self._channels, self._encoding, self._tags = sample_rate, channels, encoding, tags
        self._layout, self._align = layout, WIDTH[encoding] * channels
        self._header, self._announced, self._written = header, n_samples, 0
        self._file: Replacement | None = None
        # Nothing is written before the first samples: what fails before leaves a pipe untouched.
        self._open, self._started = True, False
        self._fd = 1
        try:
            with write_errors(self._name):
                if self._name != "stdout":
                    self._file = Replacement(target, force=force)
                    self._fd = self._file.open()
                self._patchable = can_go_back(self._fd)
        except BaseException:
            self.abort()
            raise

    def write(self, samples: NDArray[np.float32]) -> None:
        values, outside = quantize(samples, self._encoding)
        self.clipped += outside
        self._put(encode(values, self._encoding))
        self._written += samples.shape[1]

    def close(self) -> None:
        if not self._open:
            return
        # RIFF chunks are padded to whole 16-bit words; where the size stays unknown that would be a sample.
        sized = self._header and (self._patchable or self._announced == self._written)
        self._put(b"\0" * (sized and self._written * self._align & 1))
        if self._header and self._announced != self._written:
            if self._patchable:
                with write_errors(self._name):
                    os.lseek(self._fd, 0, os.SEEK_SET)
                    write_all(self._fd, self._head(self._written))
                    os.lseek(self._fd, 0, os.SEEK_END)
            elif self._announced is not None:
                came = f"{self._written} of {self._announced} announced samples per channel came"
                raise AudioError(f"cannot write {self._name}: {came}")
        with write_errors(self._name):
            self._release()
            if self._file is not None:
                self._file.commit()

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self._release()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.discard()

    def _put(self, data: bytes) -> None:
        if not self._started:
            self._started = True
            data = self._head(self._announced) + data if self._header else data
        with write_errors(self._name):
            write_all(self._fd, data)

    def _head(self, n_samples: int | None) -> bytes:
        # RF64 is for files; a pipe that is too long for RIFF is headed like one of unknown length, which more
        # programs understand.
        may_be_long = self._announced is None or self._announced * self._align > 0xFFFF0000
        room = self._file is not None and not self._file.in_place and may_be_long
        return wav_head(
            self._rate,
            self._channels,
            self._encoding,
            n_samples,
            self._tags,
            room_for_ds64=room,
            layout=self._layout,
        )

    def _release(self) -> None:
        was_open, self._open = self._open, False
        if was_open and self._fd != 1:
            os.close(self._fd)


def empty_flac(sound: "soundfile.SoundFile") -> bytes:
    """A FLAC file without samples, for which libsndfile writes nothing at all (RFC 9639, section 8.2)."""
    bits = 24 if sound.subtype == "PCM_24" else 16
    what: int = sound.samplerate << 44 | (sound.channels - 1) << 41 | (bits - 1) << 36
    info = (4096).to_bytes(2, "big") * 2 + bytes(6) + what.to_bytes(8, "big")
    info += hashlib.md5(b"", usedforsecurity=False).digest()
    return b"fLaC" + bytes([0x80, 0, 0, len(info)]) + info


class SoundfileSink:
    """A FLAC or OGG file by libsndfile."""

    def __init__(
        self,
        target: str | Path,
        sample_rate: int,
        channels: int,
        *,
        format: str,
        subtype: str,
        layout: int,
        tags: Mapping[str, str],
        force: bool,
    ) -> None:
        if is_special(target):
            raise AudioError(f"{target}: {format} needs a regular file; wav and raw can go there")
        self.clipped = 0
        self._name, self._subtype, self._written, self._open = str(target), subtype, 0, True
        # What libsndfile has no place for; only in FLAC others than its own keys are asked for.
        self._comments = [f"{key}={text}" for key, text in tags.items() if key.lower() not in SOUNDFILE_TAGS]
        # Where it is not said, 5.1 has its surround at the side for some programs, for others behind.
        if format == "flac" and (channels > 2 or layout != usual(channels)):
            self._comments.append(f"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x{layout:04X}")
        with write_errors(self._name):
            self._file = Replacement(target, force=force)
        try:
            # By descriptor, which soundfile closes: it takes no names with bytes that are no UTF-8.
            with write_errors(self._name), sound_errors(self._name, writing=True):
                self._sound = forward_file()(
                    self._file.open(), "w", sample_rate, channels, subtype, format=format.upper()
                )
                for key in SOUNDFILE_TAGS:
                    if key.upper() in tags:
                        setattr(self._sound, key, tags[key.upper()])
        except BaseException:
            self._file.discard()
            raise

    def write(self, samples: NDArray[np.float32]) -> None:
        if self._subtype.startswith("PCM"):
            values, outside = quantize(samples, self._subtype)
            if self._subtype == "PCM_24":
                values = np.left_shift(values, 8, dtype=np.int32)  # libsndfile takes the upper bits
        else:
            outside = int(np.count_nonzero(~(np.abs(samples) <= 1)))
            values = np.nan_to_num(samples.clip(-1, 1), nan=0.0)
        self.clipped += outside
        with sound_errors(self._name, writing=True):
            self._sound.write(np.ascontiguousarray(values.T))
        self._written += samples.shape[1]

    def close(self) -> None:
        if not self._open:
            return
        with sound_errors(self._name, writing=True):
            self._sound.close()
        with write_errors(self._name):
            if self._written == 0 and self._sound.format == "FLAC":
                self._file.path.write_bytes(empty_flac(self._sound))
            else:
                self._check()
            if self._comments:
                add_comments(self._file.path, self._comments)
            self._file.commit()
        self._open = False

    def abort(self) -> None:
        self._open = False
        # What closing still wants to write does not matter any more, nor that it may fail.
        with contextlib.suppress(AudioError), sound_errors(self._name, writing=True):
            self._sound.close()
        with contextlib.suppress(OSError):
            self._file.discard()

    def _check(self) -> None:
        # libsndfile says nothing when the disk fills up while it closes: only reading back tells.
        opened = open(self._file.path, "rb")  # noqa: SIM115
        with opened as file, sound_errors(self._name), forward_file()(file.fileno(), closefd=False) as sound:
            held: int = sound.frames
        if held != self._written:
            came = f"{held} of {self._written} samples per channel arrived"
            raise AudioError(f"cannot write {self._name}: {came}; is the disk full?")
