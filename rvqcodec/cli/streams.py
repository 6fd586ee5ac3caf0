"""Standard streams: bytes in and out, text on stdout, lines for people on stderr."""

import contextlib
import io
import os
import sys
from typing import Any, BinaryIO

from rvqcodec.errors import RvqError
from rvqcodec.foreign import LOCK
from rvqcodec.texts import printable, valid

STREAM = "-"  # the name of stdin among inputs, of stdout among results


def called(name: str) -> str:
    """What messages call an input."""
    return "stdin" if name == STREAM else name


def say(message: str, *, prefix: str = "rvq: ") -> None:
    """One line on stderr; control characters are shown escaped, and a closed stderr is no error."""
    if sys.stderr is None:
        return
    with LOCK, contextlib.suppress(OSError, ValueError), _tqdm_paused():
        print(f"{prefix}{printable(message)}", file=sys.stderr, flush=True)


def show(*lines: str) -> None:
    """Lines on stdout, control characters escaped."""
    _print(*map(printable, lines))


def show_json(value: Any, *, indent: int | None = None) -> None:
    """A value as JSON on stdout; a name with bytes that are no UTF-8 becomes valid text."""
    import json

    _print(json.dumps(_valid(value), indent=indent))


def _print(*lines: str) -> None:
    if sys.stdout is None:
        raise RvqError("stdout is closed")
    for line in lines:  # not by click.echo, which takes ASCII for a mistake and writes UTF-8
        print(line, flush=True)


def _valid(value: Any) -> Any:
    if isinstance(value, str):
        return valid(value)
    if isinstance(value, dict):
        return {_valid(key): _valid(item) for key, item in value.items()}
    return [_valid(item) for item in value] if isinstance(value, (list, tuple)) else value


def take_all_text() -> None:
    """Let stdout show what its encoding does not hold as \\u2602, as stderr does, instead of an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


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


def flush_stdout() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def silence_stdout() -> None:
    """Let what is still buffered go nowhere, so that the interpreter's last flush does not fail again."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _tqdm_paused() -> contextlib.AbstractContextManager[Any]:
    """Keeps a progress bar off the line that is being printed."""
    if "tqdm" not in sys.modules:
        return contextlib.nullcontext()
    from tqdm import tqdm

    paused: contextlib.AbstractContextManager[Any] = tqdm.external_write_mode(file=sys.stderr)
    return paused
