"""A file that appears whole or not at all: written under a hidden name beside the target, then renamed."""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from rvqcodec.errors import AudioError

try:
    import fcntl
except ImportError:  # not on Windows; there, what a killed run left behind stays
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def write_errors(name: str) -> Iterator[None]:
    """Turn the system's refusals into one line about `name`; a reader that left (BrokenPipeError) passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise AudioError(f"cannot write {name}: {error.strerror or error}") from error


def is_special(target: str | Path) -> bool:
    """Whether the target exists and is no regular file (/dev/null, a FIFO): written to, never replaced."""
    try:
        mode = os.stat(target).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


class PartFile:
    """One output file under way: write to `fd` (read and write, binary), then `commit` or `discard`.

    The temporary name is `.NAME.xxxxxxxx.part` in the target's folder. What earlier runs that were killed
    left there for the same target is removed first; a lock tells it from what another run is writing now. A
    target that is a symbolic link keeps being one. Errors are AudioError.
    """

    def __init__(self, target: str | Path) -> None:
        self.name = str(target)
        self._target = Path(os.path.realpath(target))
        if self._target.is_dir():
            raise AudioError(f"cannot write {self.name}: it is a folder")
        self._prefix = f".{self._target.name[:60]}."
        self._open = False
        with write_errors(self.name):
            self._clean()
            self._create()

    def commit(self) -> None:
        """Give the file its name, replacing what had it."""
        with write_errors(self.name):
            os.replace(self.path, self._target)
            self._open = False
            os.close(self.fd)

    def discard(self) -> None:
        """Remove it; without effect after `commit` or a second time."""
        if self._open:
            self._open = False
            with contextlib.suppress(OSError):
                os.unlink(self.path)
            with contextlib.suppress(OSError):
                os.close(self.fd)

    def _create(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        while True:
            self.path = self._target.with_name(f"{self._prefix}{secrets.token_hex(4)}.part")
            try:
                self.fd = os.open(self.path, flags, 0o666)
            except FileExistsError:
                continue
            self._open = True
            # Another run may clean up between our creating and our locking; then we start again.
            if _lock(self.fd) is not False and self.path.exists():
                return
            self.discard()

    def _clean(self) -> None:
        for entry in os.scandir(self._target.parent):
            middle = entry.name[len(self._prefix) : -len(".part")]
            if not (entry.name == f"{self._prefix}{middle}.part" and len(middle) == 8):
                continue
            with contextlib.suppress(OSError):
                fd = os.open(entry.path, os.O_RDWR)
                try:
                    if _lock(fd):
                        os.unlink(entry.path)
                finally:
                    os.close(fd)


def _lock(fd: int) -> bool | None:
    """True: ours now. False: another process has it. None: this system or file system knows no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
