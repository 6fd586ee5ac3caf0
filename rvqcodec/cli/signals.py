"""Signals end a command at once and as themselves, and nothing unfinished is left behind."""

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from rvqcodec import files
from rvqcodec.cli import progress

SIGPIPE = 13  # its number on every POSIX system; Windows lacks the name

# Those that do not end a process; that cannot be caught; after which our own memory cannot be trusted; and those that
# Python turns into errors of writing.
_LEFT_ALONE = (
    *("SIGCHLD", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH", "SIGINFO"),
    *("SIGKILL", "SIGSTOP"),
    *("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL"),
    *("SIGPIPE", "SIGXFSZ"),
)


@contextlib.contextmanager
def signals_end_us() -> Iterator[None]:
    """While inside, any signal that ends a process first removes what is unfinished, in the middle of anything.

    No exception runs through the code, so a second signal finds nothing half done, and no thread is waited for.
    What the caller of the process ignores (nohup) stays ignored. On Windows, where open files cannot be removed, all
    stays as it is: Ctrl-C is an exception.
    """
    if not _may_handle():
        yield
        return
    left_alone = {getattr(signal, name) for name in _LEFT_ALONE if hasattr(signal, name)}
    before = {number: signal.getsignal(number) for number in signal.valid_signals() - left_alone}
    ending = [n for n, handler in before.items() if handler in (signal.SIG_DFL, signal.default_int_handler)]
    for number in ending:
        signal.signal(number, _handle)
    try:
        yield
    finally:
        for number in ending:
            signal.signal(number, before[number])
        atexit.unregister(_end_plainly)
        atexit.register(_end_plainly)


def end_by(number: int) -> NoReturn:
    """End this process by a signal, so that a shell sees which it was (130, 143, ...) and stops its loop."""
    if _may_handle():
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(128 + number)


def _may_handle() -> bool:
    return os.name == "posix" and threading.current_thread() is threading.main_thread()


def _end_plainly() -> None:
    """Let Ctrl-C end the process while Python tidies up, when nothing is left to be told by an exception."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _handle(number: int, frame: FrameType | None) -> None:
    files.remove_unfinished()
    progress.wipe()
    end_by(number)
