"""A result appears under its name whole or not at all: temporary name beside the target, then a rename."""

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # no file locks on this system: stale files are then left for a person to remove
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".rvq-part"


class Replacement:
    """A temporary file that becomes `target` on `commit` and vanishes on `discard`.

    `path` is where to write: a hidden name beside the target, so that the rename stays in one file system.
    A target that exists and is no regular file (/dev/null, a named pipe) is written in place: `path` is it.
    A link is followed: what it points to is replaced. Leftovers of killed runs for this target are removed first.

    force: replace a target that exists. Without it, FileExistsError, now or at the commit.
    Errors: OSError as the system gives it.
    """

    def __init__(self, target: str | os.PathLike[str], *, force: bool = False) -> None:
        self.target = Path(os.path.realpath(target))
        self.force = force
        self._lock: int | None = None
        self._done = False
        self.in_place = self.target.exists() and not self.target.is_file()
        if self.in_place:
            if self.target.is_dir():
                raise IsADirectoryError(f"{target} is a folder")
            self.path = self.target
            return
        if not force and self.target.exists():
            raise FileExistsError(f"{target} exists; use -f to overwrite it")
        _remove_stale(self.target)
        self.path = self._create()

    def _create(self) -> Path:
        while True:
            path = self.target.parent / f"{_stem(self.target)}{secrets.token_hex(4)}{SUFFIX}"
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
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
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextlib.contextmanager
def replacing(target: str | os.PathLike[str], *, force: bool = False) -> Iterator[BinaryIO]:
    """A binary file for the result; it gets its name when the block ends well, else it is removed."""
    replacement = Replacement(target, force=force)
    try:
        with open(replacement.path, "wb") as file:
            yield file
        replacement.commit()
    finally:
        replacement.discard()


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
