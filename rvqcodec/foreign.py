"""Keeps what foreign libraries print on stderr to ourselves: mpg123 writes lines there that name no file."""

import os
import threading
from types import TracebackType
from typing import IO

LOCK = threading.RLock()
"""Held while stderr is turned away; whoever prints from another thread takes it."""


def hold_descriptor() -> None:
    """Keep descriptor 2 taken where stderr is closed: a file of ours that got it would get foreign lines, too."""
    try:
        os.fstat(2)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        if nowhere != 2:
            os.dup2(nowhere, 2)
            os.close(nowhere)


class Unheard:
    """A context in which file descriptor 2 leads to a temporary file; enter it as often as you like."""

    def __init__(self) -> None:
        self._kept: IO[bytes] | None = None
        self._stderr: int | None = None

    def __enter__(self) -> "Unheard":
        LOCK.acquire()
        try:
            if self._kept is None:
                import tempfile  # here: every command starts with this file

                self._kept = tempfile.TemporaryFile(prefix="rvq-")
            try:
                self._stderr = os.dup(2)
            except OSError:  # there is no stderr
                self._stderr = None
            os.dup2(self._kept.fileno(), 2)
        except BaseException:
            LOCK.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._stderr is None:
                os.close(2)
            else:
                os.dup2(self._stderr, 2)
                os.close(self._stderr)
        finally:
            LOCK.release()

    def lines(self) -> list[str]:
        """What was printed so far."""
        if self._kept is None:
            return []
        self._kept.seek(0)
        lines = self._kept.read().decode("utf-8", "replace").splitlines()
        self._kept.seek(0, os.SEEK_END)
        return [line.strip() for line in lines if line.strip()]

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None
