"""libsndfile as we use it: imported only when needed, going only forwards, its errors in one line of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rvqcodec.errors import AudioError

if TYPE_CHECKING:
    import soundfile

READABLE = "WAV, W64, FLAC, OGG (Vorbis, Opus, FLAC), MP3, AIFF, AU and CAF"
_UNRECOGNISED, _SYSTEM = 1, 2  # SF_ERR_UNRECOGNISED_FORMAT, SF_ERR_SYSTEM


class UnreadCodecError(AudioError):
    """A coding that libsndfile does not read."""


def forward_file() -> "type[soundfile.SoundFile]":
    """The class to open files with."""
    import soundfile  # here, so that WAV and raw never need it

    class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]
        """Only goes forwards: soundfile else seeks to where it stands after every block, which FLAC of
        unknown length refuses and which is inexact in MP3."""

        def seekable(self) -> bool:
            return False

    return ForwardFile


@contextmanager
def sound_errors(name: str, *, writing: bool = False) -> Iterator[None]:
    """Turn libsndfile's errors into AudioError about `name`."""
    import soundfile

    try:
        yield
    except soundfile.LibsndfileError as error:
        # libsndfile knows the system's reason but soundfile does not hand it on; the usual one is named.
        if writing and error.code == _SYSTEM:
            raise AudioError(f"cannot write {name}: the system refused; is the disk full?") from error
        text = error.error_string.strip().rstrip(".").removeprefix("System error : ").removeprefix("Error : ")
        if writing:
            raise AudioError(f"cannot write {name}: {text}") from error
        if error.code == _UNRECOGNISED:
            raise AudioError(f"{name}: not audio that rvq reads ({READABLE})") from error
        # The first is said of files that we have opened: the codec found no audio in it.
        if "possibly a pipe" in text or "file is malformed" in text:
            text = "damaged, or no audio in it"
        raise AudioError(f"{name}: cannot be read: {text}") from error
