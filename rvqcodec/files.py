"""A result appears under its name whole or not at all: temporary name beside the target, then a rename."""

import contextlib
import errno
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # no file locks on this system: stale files are then left for a person to remove
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".rvq-part"

_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self|proc/(?P<process>\d+))/fd/(?P<number>\d{1,9})")

_unfinished: set[Path] = set()  # temporary files and folders of this process
_making = threading.RLock()  # held while one is made; the thread that holds it may be interrupted by a signal
_ended = False


class Replacement:
    """A temporary file that becomes `target` on `commit` and vanishes on `discard`.

    `path` is where to write: a hidden name beside the target, so that the rename stays in one file system.
    A target that is special (see `is_special`) is written in place: `path` is it. `open` knows the difference.
    A link is followed: what it points to is replaced. Leftovers of killed runs for this target are removed first.

    force: replace a target that exists. Without it, FileExistsError, now or at the commit.
    Errors: OSError as the system gives it.
    """

    def __init__(self, target: str | os.PathLike[str], *, force: bool = False) -> None:
        self.force = force
        self._lock: int | None = None
        self._done = False
        self.in_place = is_special(target)
        if self.in_place:
            self.target = self.path = Path(target)
            if not force and self.target.is_block_device():
                raise FileExistsError(f"{target} is a disk; use -f to overwrite it")
            return
        self.target = Path(os.path.realpath(target))
        if self.target.is_dir():
            raise IsADirectoryError(f"{target} is a folder")
        if not force and self.target.exists():
            raise FileExistsError(f"{target} exists; use -f to overwrite it")
        _remove_stale(self.target)
        self.path = self._create()

    def open(self) -> int:
        """A descriptor to write to, for the caller to close."""
        number = descriptor_of(self.path) if self.in_place else None
        try:
            return os.open(self.path, os.O_WRONLY) if number is None else os.dup(number)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _create(self) -> Path:
        while True:
            path = self.target.parent / f"{_stem(self.target)}{os.urandom(4).hex()}{SUFFIX}"
            try:
                descriptor = self._make(path)
            except FileExistsError:
                continue
            except OSError as error:  # of the name that the user knows
                raise OSError(error.errno, error.strerror, str(self.target)) from None
            if fcntl is None:
                os.close(descriptor)
                return path
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Before the lock, another run may have taken the file for a leftover: then try again.
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    self._lock = descriptor
                    return path
            os.close(descriptor)
            _unfinished.discard(path)

    @staticmethod
    def _make(path: Path) -> int:
        with _begun(path):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)

    def commit(self) -> None:
        """Give the file its name. FileExistsError when a target turned up meanwhile and `force` is off."""
        if not self.in_place:
            with contextlib.suppress(OSError):
                os.chmod(self.path, stat.S_IMODE(self.target.stat().st_mode))
            if self.force:
                os.replace(self.path, self.target)
            else:
                _rename_to_new(self.path, self.target)
        self._end()

    def discard(self) -> None:
        """Remove what was written; does nothing after a commit, and never touches an earlier target."""
        if not self._done and not self.in_place:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        self._end()

    def _end(self) -> None:
        self._done = True
        _unfinished.discard(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextlib.contextmanager
def replacing(target: str | os.PathLike[str], *, force: bool = False) -> Iterator[BinaryIO]:
    """A binary file for the result; it gets its name when the block ends well, else it is removed."""
    replacement = Replacement(target, force=force)
    try:
        with open(replacement.path, "wb", opener=lambda path, flags: replacement.open()) as file:
            yield file
        replacement.commit()
    finally:
        replacement.discard()


def temporary_folder() -> contextlib.AbstractContextManager[Path]:
    """A folder somewhere for as long as the block lasts."""
    import tempfile

    return folder_for_now(Path(tempfile.gettempdir(), f"rvq-{os.urandom(8).hex()}"))


@contextlib.contextmanager
def folder_for_now(path: Path) -> Iterator[Path]:
    """A new folder at that place for as long as the block lasts; it goes with `remove_unfinished` too."""
    with _begun(path):
        path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        _remove(path)
        _unfinished.discard(path)


def remove_unfinished() -> None:
    """Remove all that this process has begun and not finished, and begin nothing more: it is about to end.

    For a handler of signals: in the middle of anything, while other threads go on.
    """
    global _ended
    with _making:
        _ended = True
        for path in list(_unfinished):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)


@contextlib.contextmanager
def _begun(path: Path) -> Iterator[None]:
    """Around the making of a temporary file or folder: it is noted first, and forgotten if that fails."""
    with _making:
        if _ended:
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR), str(path))
        _unfinished.add(path)
        try:
            yield
        except OSError:
            _unfinished.discard(path)
            raise


def is_special(target: str | os.PathLike[str]) -> bool:
    """Whether a name stands for what is written to and never replaced: a device, a FIFO, an open descriptor."""
    if descriptor_of(target) is not None:
        return True
    try:
        mode = os.stat(target).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def descriptor_of(target: str | os.PathLike[str]) -> int | None:
    """The descriptor of this process that a name stands for (/dev/stdout, /dev/fd/3), also through links; or None.

    To open such a name anew would write at the start of a file that the shell opened, whatever is there already.
    """
    path = os.path.abspath(target)
    for _ in range(40):  # as many links as Linux follows
        if path in _STANDARD:
            return _STANDARD[path]
        found = _DESCRIPTOR.fullmatch(path)
        if found and found["process"] in (None, str(os.getpid())):
            return int(found["number"])
        try:
            path = os.path.abspath(os.path.join(os.path.dirname(path), os.readlink(path)))
        except OSError:
            break
    return None


def copy_time(source: str | os.PathLike[str] | int, target: str | os.PathLike[str]) -> None:
    """Give a result the time of modification of its input, where both are regular files. Errors: OSError."""
    there, here = os.stat(source), os.stat(target)
    if stat.S_ISREG(there.st_mode) and stat.S_ISREG(here.st_mode):
        os.utime(target, ns=(here.st_atime_ns, there.st_mtime_ns))


def same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether both names lead to one existing file (through links too)."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _stem(target: Path) -> str:
    """Start of the temporary names of a target: hidden, and short enough for every file system."""
    name = target.name
    if len(os.fsencode(name)) > 200:
        import hashlib  # here and below: every command starts with this file

        name = name[:40] + hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return f".{name}."


def _remove_stale(target: Path) -> None:
    """Remove temporary files of this target whose writer is gone: its lock ended with it."""
    if fcntl is None:
        return
    start = _stem(target)
    try:
        names = [n for n in os.listdir(target.parent) if n.startswith(start) and n.endswith(SUFFIX)]
    except OSError:
        return
    for name in names:
        if len(name) != len(start) + 8 + len(SUFFIX):
            continue
        with contextlib.suppress(OSError):
            descriptor = os.open(target.parent / name, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(target.parent / name)
            finally:
                os.close(descriptor)


def _rename_to_new(path: Path, target: Path) -> None:
    """Rename without ever replacing: a hard link fails where the name is taken; else a plain check."""
    try:
        os.link(path, target)
    except FileExistsError:
        raise FileExistsError(f"{target} exists; use -f to overwrite it") from None
    except OSError:
        if target.exists():
            raise FileExistsError(f"{target} exists; use -f to overwrite it") from None
        os.replace(path, target)
    else:
        os.unlink(path)
