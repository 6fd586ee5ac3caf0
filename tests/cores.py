"""The number of cores that the codec takes to be there, for tests."""

import contextlib
from collections.abc import Iterator

import pytest

from rvqcodec.models import threads


@contextlib.contextmanager
def use_threads(count: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within it the codec takes so many cores for there."""
    with monkeypatch.context() as changed:
        changed.setattr(threads, "cores", lambda: count)
        changed.setattr(threads, "_pool", None)
        yield
        if threads._pool is not None:
            threads._pool.shutdown()
