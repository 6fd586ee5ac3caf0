"""What several verbs share: errors in one line, pipes that end quietly, progress."""

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NoReturn, ParamSpec, TypeVar

from rvqcodec.errors import RvqError

P = ParamSpec("P")
T = TypeVar("T")

STREAM = "-"


class Stopped(BaseException):
    """A worker was told to stop: the user interrupted the run."""


def say(message: str, *, prefix: str = "rvq: ") -> None:
    """One line on stderr; control characters are shown escaped, and a closed stderr is no error."""
    if sys.stderr is None:
        return
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
    with contextlib.suppress(OSError, ValueError), _tqdm_paused():
        print(f"{prefix}{line}", file=sys.stderr, flush=True)


def describe(error: BaseException) -> str:
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
                _flush_stdout()
                return result
        except BrokenPipeError:
            _silence_stdout()
            _die_by("SIGPIPE", 141)
        except (KeyboardInterrupt, Stopped):
            _silence_stdout()
            _die_by("SIGINT", 130)
        except _Terminated:
            _silence_stdout()
            _die_by("SIGTERM", 143)
        except FORESEEN as error:
            if is_ours(error):
                raise
            _silence_stdout()
            say(describe(error))
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
            text = describe(error)
            self.fail(text if text.startswith(name) else f"{name}: {text}")

    def fail(self, message: str) -> None:
        self.failed += 1
        say(message)

    def finish(self) -> None:
        if self.failed:
            sys.exit(1)


def stdin() -> BinaryIO:
    """Standard input as bytes; a terminal is refused, because nobody types audio."""
    if sys.stdin is None:
        raise RvqError("stdin is closed")
    if sys.stdin.isatty():
        raise RvqError("stdin is a terminal; pipe data in (`... | rvq`) or name a file")
    return sys.stdin.buffer


def stdout() -> BinaryIO:
    """Standard output as bytes, each write complete; a terminal is refused."""
    if sys.stdout is None:
        raise RvqError("stdout is closed")
    if sys.stdout.isatty():
        raise RvqError("binary data is not written to a terminal; use -o FILE or a pipe")
    raw: Any = sys.stdout.buffer
    return _Whole(raw)  # type: ignore[return-value]


class _Whole:
    """A writer whose `write` returns only when all bytes are out; a raw FileIO may write fewer."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            done += self._file.write(view[done:]) or 0
        return done

    def flush(self) -> None:
        self._file.flush()


class Progress:
    """A progress bar on stderr while it is a terminal and not `quiet`; otherwise nothing."""

    def __init__(self, *, label: str, unit: str, quiet: bool) -> None:
        self._bar: Any = None
        self._shown = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._label, self._unit = label, unit

    def to(self, done: float, total: float | None) -> None:
        """Show that so much of `total` (None: unknown) is done."""
        if self._shown and self._bar is None:
            from tqdm import tqdm

            unit = self._unit
            left = f"{{percentage:3.0f}}%|{{bar}}| {{n:.0f}}/{{total:.0f}} {unit} [{{elapsed}}<{{remaining}}]"
            shape = f"{{desc}}: {left}" if total else f"{{desc}}: {{n:.0f}} {unit} [{{elapsed}}]"
            self._bar = tqdm(total=total, desc=self._label, bar_format=shape, leave=False)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar, self._shown = None, False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def clock(seconds: float) -> str:
    """Seconds as people read them: 9.5 s, 3:25.1, 1:02:03.5."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest // 10:02}.{rest % 10}"
    return f"{minutes}:{rest // 10:02}.{rest % 10}" if minutes else f"{rest / 10:g} s"


def _tqdm_paused() -> contextlib.AbstractContextManager[Any]:
    """Keeps a progress bar off the line that is being printed."""
    if "tqdm" not in sys.modules:
        return contextlib.nullcontext()
    from tqdm import tqdm

    return tqdm.external_write_mode(file=sys.stderr)


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


def _flush_stdout() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _silence_stdout() -> None:
    """Let what is still buffered go nowhere, so that the interpreter's last flush does not fail again."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _die_by(name: str, code: int) -> NoReturn:
    number = getattr(signal, name, None)
    if number is not None and os.name == "posix" and threading.current_thread() is threading.main_thread():
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(code)
