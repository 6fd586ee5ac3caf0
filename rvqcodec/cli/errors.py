"""How commands end: every foreseeable failure in one line, exit codes."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rvqcodec.cli.signals import SIGPIPE, end_by
from rvqcodec.cli.streams import flush_stdout, say, silence_stdout
from rvqcodec.errors import RvqError

if TYPE_CHECKING:
    from rvqcodec.codec import Remarks

P = ParamSpec("P")
T = TypeVar("T")


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
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object}: {error.encoding} has no place for it; set a UTF-8 locale"
    return " ".join(str(error).split()) or type(error).__name__


# What may go wrong without a mistake of ours; of RuntimeErrors only torch's lack of memory (see `is_ours`).
FORESEEN = (RvqError, OSError, UnicodeEncodeError, MemoryError, RuntimeError)


def is_ours(error: Exception) -> bool:
    """Whether one of FORESEEN is a mistake of ours after all."""
    return isinstance(error, RuntimeError) and not gpu_is_full(error)


def gpu_is_full(error: BaseException) -> bool:
    """Whether torch found no memory on a GPU; told by the error's name, to import no torch."""
    return type(error).__name__ == "OutOfMemoryError"


def guarded(function: Callable[P, T]) -> Callable[P, T]:
    """Put under a verb's click decorators: every foreseeable failure ends in one line and exit code 1.

    A reader that left (broken pipe) ends the process by that very signal: a shell then sees 141, as of other tools.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            result = function(*args, **kwargs)
            flush_stdout()
            return result
        except BrokenPipeError:
            silence_stdout()
            end_by(SIGPIPE)
        except FORESEEN as error:
            if is_ours(error):
                raise
            silence_stdout()
            say(one_line(error))
            sys.exit(1)

    return wrapper


class Batch:
    """Many inputs: a failure is printed with its name, the others go on; `finish` exits 1 if any failed.

    quiet: notes, and lines about results, are not printed.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.failed = self.present = 0
        self.quiet = quiet

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

    def note(self, message: str) -> None:
        """Tell of what was passed over by a rule; that is no failure."""
        if not self.quiet:
            say(message)

    def tell(self, remarks: "Remarks") -> None:
        """Print what is to be said about an input that was read: sound that was lost counts as a failure."""
        for line in remarks.notes:
            self.note(line)
        for line in remarks.warnings:
            say(line)
        for line in remarks.losses:
            self.fail(line)

    def finish(self) -> None:
        """End the run; `present` counts the results that were there already and were to be skipped."""
        if self.present:
            self.note(f"{self.present:,} result{'s' * (self.present > 1)} there already: skipped")
        if self.failed:
            sys.exit(1)
