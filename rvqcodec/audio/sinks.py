"""Where samples go: PCM bytes that we write ourselves (WAV, raw), or libsndfile (FLAC, OGG)."""

import contextlib
import os
import select
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio.partfile import PartFile, is_special, write_errors
from rvqcodec.audio.samples import WIDTH, encode, quantize
from rvqcodec.audio.soundfiles import forward_file, sound_errors
from rvqcodec.audio.tags import SOUNDFILE_NAMES
from rvqcodec.audio.wavwrite import wav_head
from rvqcodec.errors import AudioError


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
        n_samples: int | None,
        tags: Mapping[str, str],
    ) -> None:
        self.clipped = 0
        self._name = "stdout" if str(target) == "-" else str(target)
        self._rate, self._channels, self._encoding, self._tags = sample_rate, channels, encoding, tags
        self._align = WIDTH[encoding] * channels
        self._header, self._announced, self._written = header, n_samples, 0
        self._open = True
        self._part: PartFile | None = None
        if self._name == "stdout":
            self._fd = 1
        elif is_special(target):
            with write_errors(self._name):
                self._fd = os.open(target, os.O_WRONLY)
        else:
            self._part = PartFile(target)
            self._fd = self._part.fd
        # A pipe gets its head with the first samples, so that what fails before leaves it untouched.
        self._started = False

    def write(self, samples: NDArray[np.float32]) -> None:
        values, outside = quantize(samples, self._encoding)
        self.clipped += outside
        self._put(encode(values, self._encoding))
        self._written += samples.shape[1]

    def close(self) -> None:
        if not self._open:
            return
        odd = self._header and self._written * self._align & 1
        self._put(b"\0" if odd else b"")  # RIFF chunks are padded to whole 16-bit words
        if self._part is None:
            self._release()
            if self._header and self._announced not in (None, self._written):
                raise AudioError(
                    f"{self._name}: its header announces {self._announced} samples per channel, "
                    f"{self._written} came"
                )
            return
        with write_errors(self._name):
            if self._header and self._announced != self._written:
                os.lseek(self._fd, 0, os.SEEK_SET)
                write_all(self._fd, self._head(self._written))
        self._part.commit()
        self._open = False

    def abort(self) -> None:
        if self._open and self._part is not None:
            self._part.discard()
            self._open = False
        elif self._open:
            self._release()

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
        room = self._part is not None and may_be_long
        return wav_head(self._rate, self._channels, self._encoding, n_samples, self._tags, room_for_ds64=room)

    def _release(self) -> None:
        self._open = False
        if self._fd != 1:
            with write_errors(self._name):
                os.close(self._fd)


class SoundfileSink:
    """A FLAC or OGG file by libsndfile."""

    def __init__(
        self,
        target: str | Path,
        sample_rate: int,
        channels: int,
        format: str,
        subtype: str,
        tags: Mapping[str, str],
    ) -> None:
        if is_special(target):
            raise AudioError(f"{target}: {format} needs a file that can be sought in; wav and raw do not")
        self.clipped = 0
        self._subtype, self._written = subtype, 0
        self._part = PartFile(target)
        try:
            with sound_errors(self._part.name, writing=True):
                self._sound = forward_file()(
                    self._part.fd, "w", sample_rate, channels, subtype, format=format.upper(), closefd=False
                )
                for key, text in tags.items():
                    if key.lower() in SOUNDFILE_NAMES:
                        setattr(self._sound, key.lower(), text)
        except BaseException:
            self._part.discard()
            raise
        self._open = True

    def write(self, samples: NDArray[np.float32]) -> None:
        if self._subtype.startswith("PCM"):
            values, outside = quantize(samples, self._subtype)
            if self._subtype == "PCM_24":
                values = np.left_shift(values, 8, dtype=np.int32)  # libsndfile takes the upper bits
        else:
            outside = int(np.count_nonzero(~(np.abs(samples) <= 1)))
            values = np.nan_to_num(samples.clip(-1, 1), nan=0.0)
        self.clipped += outside
        with sound_errors(self._part.name, writing=True):
            self._sound.write(np.ascontiguousarray(values.T))
        self._written += samples.shape[1]

    def close(self) -> None:
        if not self._open:
            return
        with sound_errors(self._part.name, writing=True):
            self._sound.close()
        self._check()
        self._part.commit()
        self._open = False

    def abort(self) -> None:
        if self._open:
            self._open = False
            # What closing still wants to write does not matter any more, nor that it may fail.
            with contextlib.suppress(AudioError), sound_errors(self._part.name, writing=True):
                self._sound.close()
            self._part.discard()

    def _check(self) -> None:
        # libsndfile says nothing when the disk fills up while it closes: only reading back tells.
        with sound_errors(self._part.name), forward_file()(str(self._part.path)) as sound:
            held: int = sound.frames
        if held != self._written:
            raise AudioError(
                f"cannot write {self._part.name}: {held} of {self._written} samples per channel arrived: "
                "is the disk full?"
            )
