"""How commands end: every foreseeable failure in one line, signals as themselves, exit codes."""

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn, ParamSpec, TypeVar

from rvqcodec.cli.streams import flush_stdout, say, silence_stdout
from rvqcodec.errors import RvqError

P = ParamSpec("P")
T = TypeVar("T")


class Stopped(BaseException):
    """A worker was told to stop: the user interrupted the run."""


def one_line(error: BaseException) -> str:
    """An error as one line: ours as it is; the system's as "file: what is wrong"."""
    if isinstance(error, MemoryError):
        return "not enough memory; close other programs, or give fewer --jobs"
    if gpu_is_full(error):
        return "not enough memory on the GPU; give --device cpu, or fewer --jobs"
    if isinstance(error, OSError) and error.strerror:
        name = error.filename
        text = os.fsdecode(name) if isinstance(name, (bytes, os.PathLike, str)) else ""
        return f"{text}: {error.strerror}" if text else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


# What may go wrong without a mistake of ours; of RuntimeErrors only torch's lack of memory (see `is_ours`).
FORESEEN = (RvqError, OSError, MemoryError, RuntimeError)


def is_ours(error: Exception) -> bool:
    """Whether one of FORESEEN is a mistake of ours after all."""
    return isinstance(error, RuntimeError) and not gpu_is_full(error)


def gpu_is_full(error: BaseException) -> bool:
    """Whether torch found no memory on a GPU; told by the error's name, to import no torch."""
    return type(error).__name__ == "OutOfMemoryError"


def guarded(function: Callable[P, T]) -> Callable[P, T]:
    """Put under a verb's click decorators: every foreseeable failure ends in one line and exit code 1.

    A reader that left (broken pipe), Ctrl-C and SIGTERM end the process by that very signal, after everything
    was cleaned up: a shell then sees 141, 130 or 143 and stops its loop, as with other tools.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with _sigterm_as_exception():
                result = function(*args, **kwargs)
                flush_stdout()
                return result
        except BrokenPipeError:
            silence_stdout()
            _die_by("SIGPIPE", 141)
        except (KeyboardInterrupt, Stopped):
            silence_stdout()
            _die_by("SIGINT", 130)
        except _Terminated:
            silence_stdout()
            _die_by("SIGTERM", 143)
        except FORESEEN as error:
            if is_ours(error):
                raise
            silence_stdout()
            say(one_line(error))
            sys.exit(1)

    return wrapper


class Batch:
    """Many inputs: a failure is printed with its name, the others go on; `finish` exits 1 if any failed."""

    def __init__(self) -> None:
        self.failed = 0

    @contextlib.contextmanager
    def item(self, name: str) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except FORESEEN as error:
            if is_ours(error):
                raise
            text = one_line(error)
            self.fail(text if text.startswith(name) else f"{name}: {text}")

    def fail(self, message: str) -> None:
        self.failed += 1
        say(message)

    def finish(self) -> None:
        if self.failed:
            sys.exit(1)


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that temporary files are removed on the way out."""


@contextlib.contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def raise_it(*_: object) -> NoReturn:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, raise_it)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _die_by(name: str, code: int) -> NoReturn:
    number = getattr(signal, name, None)
    if number is not None and os.name == "posix" and threading.current_thread() is threading.main_thread():
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(code)
