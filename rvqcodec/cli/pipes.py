"""`.rvq` files in and out for verbs that only rearrange them: by name, or "-" for stdin and stdout."""

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

from rvqcodec import files
from rvqcodec.cli import streams
from rvqcodec.cli.names import Job, check_job
from rvqcodec.cli.streams import STREAM, called
from rvqcodec.errors import FormatError, RvqError


class NamedError(RvqError):
    """A fault of one of several inputs, with its name before it."""


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Adds the name of an input to errors about its format."""
    try:
        yield
    except FormatError as error:
        raise NamedError(f"{called(name)}: {error}") from None


@contextlib.contextmanager
def reading(name: str) -> Iterator[BinaryIO]:
    """An input as bytes, its faults with its name."""
    with naming(name):
        if name == STREAM:
            yield streams.stdin()
        else:
            with open(name, "rb") as file:
                yield file


@contextlib.contextmanager
def writing(job: Job, *, force: bool) -> Iterator[BinaryIO]:
    """The result of an input as bytes; a file gets its name only when all went well."""
    check_job(job, force=force)
    if job.target == STREAM:
        yield streams.stdout()
        return
    with files.replacing(job.target, force=force) as file:
        yield file
