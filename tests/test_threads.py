"""Shared work: the order of results, errors, pipelines, one pool, and the threads of BLAS."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ENVIRONMENT, ROOT
from cores import use_threads

from rvqcodec.models import threads


@pytest.fixture(params=[1, 2, 3])
def count(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    with use_threads(request.param, monkeypatch):
        assert threads.count() == request.param
        yield request.param


@pytest.mark.parametrize("n", [0, 1, 7])
def test_shared_work_keeps_the_order(count: int, n: int) -> None:
    def late_if_early(item: int) -> int:
        time.sleep(0.002 * (n - item))
        return -item

    assert threads.each(late_if_early, range(n)) == [-i for i in range(n)]


def test_an_error_comes_out(count: int) -> None:
    def fails(item: int) -> int:
        if item == 2:
            raise KeyError(item)
        return item

    with pytest.raises(KeyError):
        threads.each(fails, range(5))
    assert threads.each(abs, range(5)) == [0, 1, 2, 3, 4]  # and work goes on afterwards


def test_stages_take_items_in_their_order(count: int) -> None:
    """Each stage one at a time, none before the stage before it; the lines are independent."""
    seen: dict[tuple[int, int], list[int]] = {}
    busy: set[tuple[int, int]] = set()

    def stage(line: int, k: int, item: list[int]) -> list[int]:
        assert (line, k) not in busy
        busy.add((line, k))
        seen.setdefault((line, k), []).append(item[0])
        time.sleep(0.001 * (item[0] % 3))
        busy.remove((line, k))
        return [*item, k]

    lines = [[lambda x, i=i, k=k: stage(i, k, x) for k in range(3)] for i in range(2)]
    found = threads.pipeline(lines, [[[n] for n in range(5)], [[n] for n in range(2)]])
    assert found == [[[n, 0, 1, 2] for n in range(5)], [[n, 0, 1, 2] for n in range(2)]]
    assert all(order == sorted(order) for order in seen.values())


def test_an_error_in_a_stage_comes_out(count: int) -> None:
    def fails(item: int) -> int:
        raise KeyError(item)

    with pytest.raises(KeyError):
        threads.pipeline([[abs, fails, abs]], [[1, 2, 3]])
    assert threads.pipeline([[abs]], [[-1, -2]]) == [[1, 2]]


def test_a_thread_can_be_held_to_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    with use_threads(3, monkeypatch):
        used: set[str] = set()

        def work() -> None:
            threads.limit(1)
            threads.each(lambda _: used.add(threading.current_thread().name) or time.sleep(0.001), range(9))

        one = threading.Thread(target=work, name="one")
        one.start()
        one.join()
        assert used == {"one"}
        assert threads.count() == 3, "other threads are not held"


def test_who_asks_goes_on_alone_where_all_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    with use_threads(2, monkeypatch):
        wait = threading.Event()
        blocked = threading.Thread(target=lambda: threads.together(wait.wait, 2))
        blocked.start()
        assert threads.each(abs, range(4)) == [0, 1, 2, 3]
        wait.set()
        blocked.join()


def blas_threads(code: str) -> list[int]:
    """What a fresh Python prints after some code, which knows `blas()`, the threads of numpy's BLAS."""
    script = (
        "import threadpoolctl\n"
        "def blas(): print(*{p['num_threads'] for p in threadpoolctl.threadpool_info() if p['user_api'] == 'blas'})\n"
    )
    home = Path(pytest.importorskip("threadpoolctl").__file__).parent
    env = {name: value for name, value in ENVIRONMENT.items() if not name.endswith("_NUM_THREADS")}
    env["PYTHONPATH"] = f"{ROOT}{os.pathsep}{home}"
    done = subprocess.run(
        [sys.executable, "-c", script + code], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    return [int(word) for word in done.stdout.split()]


def test_blas_is_held_to_one_thread_in_a_library_and_let_go_again() -> None:
    if blas_threads("import numpy; blas()")[:1] in ([], [1]):
        pytest.skip("no BLAS of several threads")
    before, within, inner, still, after = blas_threads(
        "import numpy; from rvqcodec.models.threads import one_blas_thread\n"
        "blas(); a, b = one_blas_thread(), one_blas_thread()\n"
        "a.__enter__(); blas(); b.__enter__(); blas(); a.__exit__(None, None, None); blas()\n"
        "b.__exit__(None, None, None); blas()"
    )
    assert before == after > 1
    assert within == inner == still == 1


def test_a_command_begins_with_one_blas_thread() -> None:
    code = (
        "import contextlib, io\nfrom rvqcodec.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main(['info', '--help'])\n"
        "import numpy; blas()"
    )
    assert blas_threads(code) in ([], [1])
