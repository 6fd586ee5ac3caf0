"""Threads for windows: the order of results, errors, and the threads of torch."""

import threading
import time
from collections.abc import Sequence

import pytest
import torch

from rvqcodec.models.rvq44.workers import Workers, one_core_each


@pytest.fixture(params=[1, 2, 3])
def workers(request: pytest.FixtureRequest) -> Workers:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    made = Workers(torch.device("cpu"))
    torch.set_num_threads(before)
    assert made.count == request.param
    return made


@pytest.mark.parametrize("count", [0, 1, 7])
def test_shared_work_keeps_the_order(workers: Workers, count: int) -> None:
    def late_if_early(items: Sequence[int]) -> list[int]:
        time.sleep(0.002 * (count - items[0]))
        return [-item for item in items]

    assert workers.shared(late_if_early, range(count)) == [-i for i in range(count)]


def test_an_error_comes_out(workers: Workers) -> None:
    def fails(items: Sequence[int]) -> list[int]:
        raise KeyError(items[0])

    with pytest.raises(KeyError):
        workers.shared(fails, range(5))
    assert workers.shared(list, range(5)) == [0, 1, 2, 3, 4]  # and work goes on afterwards


def test_operations_stay_on_their_thread(workers: Workers) -> None:
    before = torch.get_num_threads()
    with one_core_each():
        assert workers.shared(lambda row: [torch.get_num_threads()] * len(row), range(4)) == [1] * 4
    assert torch.get_num_threads() == before
    fresh: list[int] = []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert fresh == [before]  # what other threads of the program get is as before
