"""Audio in: `open_input` turns a path or stdin into blocks of float32 [C, n], in constant memory."""

import io
import os
import select
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio.chain import ChainSource
from rvqcodec.audio.compressed import mpeg_source, ogg_source
from rvqcodec.audio.ffmpeg import FfmpegSource, NoAudioError, installed, looks_known
from rvqcodec.audio.flac import head_of_frames
from rvqcodec.audio.flacsource import flac_source
from rvqcodec.audio.found import Found
from rvqcodec.audio.heads import CodingError
from rvqcodec.audio.id3 import HEADER, id3_size, read_id3
from rvqcodec.audio.layouts import Layout, named
from rvqcodec.audio.mpeg import find_frames
from rvqcodec.audio.ogg import find_page
from rvqcodec.audio.pcmheads import head_reader
from rvqcodec.audio.pieces import Pieces
from rvqcodec.audio.samples import RawFormat
from rvqcodec.audio.soundfiles import READABLE, UnreadCodecError
from rvqcodec.audio.sources import PcmSource, SoundfileSource, Source, raw_source
from rvqcodec.audio.tails import coded_losses
from rvqcodec.errors import AudioError

BLOCK = 65_536
LOUDEST = 2.0**32  # the scale of 32 bits: beyond it a value is no sample, and would overflow what follows
_KEPT = 1 << 16  # bytes of a WAV head from a pipe that are remembered in case libsndfile must take over

_SEARCHED = 1 << 20  # bytes in which MP3 frames are looked for where a file begins with something else

# How the compressed formats begin; from a pipe little else is worth a temporary file. MP3 without a tag begins with
# eleven 1 bits.
_SPOOLED = (b"fLaC", b"OggS", b"ID3", b"FORM", b"caff")


class AudioInput:
    """One recording being read. Make it with `open_input`; use it as a context manager.

    `name` is what messages call it ("stdin" or the path). `sample_rate` in Hz, `channels` 1..8. `n_samples`
    per channel is exact (`blocks` gives that many or raises AudioError), None when unknown (pipes, MP3);
    `expected` is the same or, where that is None, an unproven announcement, good for a progress bar, or None.
    `layout` is that of the channels; `blocks` gives them in the order of its mask. `tags` maps upper-case Vorbis
    comment keys (TITLE, ARTIST, ...) to text. They grow while reading:
    `samples_read` per channel, `repaired` (values that were NaN, infinite or absurd and were replaced), `peak`
    (the largest size of a value), and lines for the user, each with the name in it: `losses` say which sound was not
    read, `warnings` what is odd, `notes` what is left out by rule.
    """

    def __init__(
        self,
        source: Source,
        name: str,
        *,
        layout: Layout | None = None,
        pipe: IO[bytes] | None = None,
        file: IO[bytes] | None = None,
    ) -> None:
        """layout: of the channels as they stand in the file, in place of what it says. `pipe` is asked whether more is
        at hand; `file` is closed at the end."""
        self.name, self._pipe, self._file = name, pipe, file
        self.layout = layout or source.layout
        self.sample_rate, self.channels = source.sample_rate, source.channels
        self.n_samples, self.expected = source.n_samples, source.expected
        self.tags, self.notes, self.warnings, self.losses = source.tags, source.notes, source.warnings, source.losses
        if self.layout.note:
            self.warnings.append(f"{name}: {self.layout.note}")
        self.samples_read = self.repaired = 0
        self.peak = 0.0
        self._source = source

    def blocks(self, n: int = BLOCK) -> Iterator[NDArray[np.float32]]:
        """Yield float32 [channels, n], contiguous; the last block is shorter, none is empty. Once."""
        while True:
            with _read_errors(self.name):
                block = self._source.read(n)
            if not block.shape[1]:
                break
            self.samples_read += block.shape[1]
            yield self._repair(self.layout.sorted(block))
        if self.n_samples is not None and self.samples_read < self.n_samples:
            raise AudioError(
                f"{self.name}: ends after {self.samples_read} of {self.n_samples} samples per channel: "
                "damaged, or changed while it was read"
            )

    def ready(self, seconds: float) -> bool:
        """Whether more is at hand: of a file always, of a pipe or device if something comes within `seconds`."""
        if self._pipe is None:
            return True
        try:
            return bool(select.select([self._pipe], [], [], seconds)[0])
        except (OSError, ValueError):  # Windows selects sockets only
            return False

    def _repair(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        peak = float(np.abs(block).max())
        if not peak <= LOUDEST:  # True for NaN too
            self.repaired += int(np.count_nonzero(~(np.abs(block) <= LOUDEST)))
            block = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0).clip(-LOUDEST, LOUDEST)
            peak = float(np.abs(block).max())
        self.peak = max(self.peak, peak)
        return block

    def close(self) -> None:
        """Give back what is held open; may be called twice."""
        self._source.close()
        if self._file is not None:
            with suppress(OSError):  # a position that another program has moved
                self._file.close()

    def __enter__(self) -> "AudioInput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_input(
    source: str | Path,
    raw: RawFormat | None = None,
    layout: str | None = None,
    *,
    ignore_length: bool = False,
    name: str | None = None,
) -> AudioInput:
    """Open a file, or stdin for "-", for reading; with `raw` its bytes are headerless PCM.

    layout: of the channels as they stand in the input, in place of what it says (`speakers.parse`).

    PCM of all formats is streamed from pipes (and FIFOs); other codings from pipes go through a temporary file that
    has no name. `ignore_length`: take all that stands behind the head of a PCM file as samples, whatever length it
    announces. name: what messages call the input. Raises AudioError, in one line, for what cannot be read.
    """
    stdin = str(source) == "-"
    name = name or ("stdin" if stdin else str(source))
    with _read_errors(name):
        # A duplicate, so that closing the input leaves descriptor 0 alone.
        file: IO[bytes] = open(os.dup(0) if stdin else source, "rb")  # noqa: SIM115
    try:
        with _read_errors(name):
            chosen, held = _choose(file, name, raw, ignore_length)
            live = isinstance(chosen, PcmSource) and not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            said = None if layout is None else named(layout, chosen.channels, name)
            return AudioInput(chosen, name, layout=said, pipe=file if live else None, file=held)
    except BaseException:
        file.close()
        raise


def _choose(file: IO[bytes], name: str, raw: RawFormat | None, ignore_length: bool) -> tuple[Source, IO[bytes]]:
    """The source, and the file that it reads."""
    status = os.fstat(file.fileno())
    if os.isatty(file.fileno()):
        raise AudioError(f"{name}: is a terminal; send audio through a pipe or name a file")
    size = status.st_size if stat.S_ISREG(status.st_mode) and file.tell() == 0 else None
    if raw is not None:
        return raw_source(file, name, raw, size), file
    if size is None:
        return _from_pipe(file, name, ignore_length)
    if size == 0:
        raise AudioError(f"{name}: is empty")
    return _from_file(file, name, size, ignore_length), file


def _from_file(file: IO[bytes], name: str, size: int, ignore_length: bool) -> Source:
    found, begin = Found(), 0
    while n := id3_size(_at(file, begin, HEADER)):
        found.merge(read_id3(_at(file, begin, n)))
        begin += n
    start = _at(file, begin, 12)
    if head_reader(start) is not None:
        try:
            return _pcm_source(file, name, begin, size, found, ignore_length)
        except CodingError:
            source = _other_source(file, name, size, None)
            source.losses += [f"{name}: {text}" for text in coded_losses(file, begin, size)]
            return source
    elif start[:4] == b"fLaC":
        with suppress(UnreadCodecError):
            return flac_source(file, name, begin, size, found)
    elif start[:4] == b"OggS":
        return _ogg_source(file, name, begin, size, found)
    elif not looks_known(start) and find_frames(file, 0, size, size if begin else _SEARCHED) is not None:
        return mpeg_source(file, name, size)
    elif not looks_known(start) and head_of_frames(file, begin) is not None:
        with suppress(UnreadCodecError):
            return flac_source(file, name, begin, size, found)
    elif (page := find_page(file, begin, min(size, begin + _SEARCHED))) is not None:
        source = _ogg_source(file, name, page, size, found)
        source.notes.append(f"{name}: {page - begin:,} bytes before the first Ogg page were passed over")
        return source
    return _other_source(file, name, size, None)


def _ogg_source(file: IO[bytes], name: str, begin: int, size: int, found: Found) -> Source:
    try:
        return ogg_source(file, name, begin, size, found)
    except UnreadCodecError as error:
        return _other_source(file, name, size, error)


def _pcm_source(file: IO[bytes], name: str, begin: int, size: int, found: Found, ignore_length: bool) -> Source:
    """A PCM file, and the recordings that follow in it; `found`: tags that stood before it."""

    def parts() -> Iterator[Source]:
        at: int | None = begin
        while at is not None:
            file.seek(at)
            reader = head_reader(file.read(12))
            if reader is None:
                raise AudioError(f"{name}: a recording in another format begins at byte {at:,}")
            file.seek(at)
            head = reader(file, name, size - at)
            if at == begin:
                head.found.merge(found)
            file.seek(at + head.data_start)
            part = PcmSource(file, name, head, begin=at, file_size=size, ignore_length=ignore_length)
            yield part
            at = part.following

    every = parts()
    first = next(every)
    assert isinstance(first, PcmSource)
    return first if first.following is None else ChainSource(name, chain([first], every))


def _other_source(file: IO[bytes], name: str, size: int, known: UnreadCodecError | None) -> Source:
    """What libsndfile reads (unless it is `known` not to), else what ffmpeg reads where it is installed."""
    if known is None:
        try:
            return SoundfileSource(Pieces(file, [(0, size)]), name)
        except AudioError as error:
            refused: AudioError = error
    else:
        refused = known
    if installed():
        try:
            return FfmpegSource(file, name)
        except NoAudioError:
            raise refused from None
    raise AudioError(f"{refused}; install ffmpeg, with which rvq reads more formats, or convert it to WAV")


def _at(file: IO[bytes], position: int, n: int) -> bytes:
    file.seek(position)
    return file.read(n)


class _Remembering:
    """Reads a pipe and keeps what it read, so that another reader can begin at the start again."""

    def __init__(self, pipe: IO[bytes], start: bytes) -> None:
        self._pipe, self._start, self.kept = pipe, start, b""

    def read(self, n: int, /) -> bytes:
        data = self._start[:n]
        self._start = self._start[n:]
        if len(data) < n:
            data += self._pipe.read(n - len(data))
        if len(self.kept) <= _KEPT:
            self.kept += data
        return data


def _from_pipe(pipe: IO[bytes], name: str, ignore_length: bool) -> tuple[Source, IO[bytes]]:
    start = pipe.read(12)
    if not start:
        raise AudioError(f"{name}: is empty")
    reader = head_reader(start)
    if reader is not None:
        begun = _Remembering(pipe, start)
        try:
            return PcmSource(pipe, name, reader(begun, name, None), ignore_length=ignore_length), pipe
        except CodingError:
            if len(begun.kept) > _KEPT:
                raise
            start = begun.kept
    elif not start.startswith(_SPOOLED) and not looks_known(start):
        start += pipe.read(_SEARCHED)
        if find_frames(io.BytesIO(start), 0, len(start), len(start)) is None:
            raise AudioError(f"{name}: not audio that rvq reads ({READABLE}); headerless PCM needs --raw")
    spooled = _spool(start, pipe, name)
    try:
        return _from_file(spooled, name, os.fstat(spooled.fileno()).st_size, ignore_length), spooled
    except BaseException:
        spooled.close()
        raise


def _spool(start: bytes, pipe: IO[bytes], name: str) -> IO[bytes]:
    # On POSIX the file has no name from the start, so that not even a killed process leaves it behind.
    file = tempfile.TemporaryFile(prefix="rvq-")  # noqa: SIM115
    try:
        file.write(start)
        shutil.copyfileobj(pipe, file, 1 << 16)
        file.flush()
    except BaseException as error:
        with suppress(OSError):  # what could not be written is tried again by close
            file.close()
        if isinstance(error, OSError):
            folder = f"{tempfile.gettempdir()}, the folder that TMPDIR names"
            raise AudioError(f"{name}: cannot be kept in {folder}: {error.strerror}") from error
        raise
    pipe.close()
    return file


@contextmanager
def _read_errors(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AudioError(f"{name}: cannot be read: {error.strerror or error}") from error
