"""Who gets a chunk's codes: against a rule that hands out one code at a time, and what follows from it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvqcodec.container import allocation, demands
from rvqcodec.container.allocation import MAX_DEMAND, SHARES, Allocation, Limits, constant


def slowly(limits: Limits, wanted: Allocation, frames: int) -> list[tuple[int, int, int]]:
    """The rule in the words of formats/rvq-1.md: (channel, code, frame), all that there could be, in order."""
    units = []
    for c, (first, most) in enumerate(limits):
        for t in range(frames):
            demand = 1 if wanted.demand is None else wanted.demand[c][t] if wanted.weights[c] else 0
            if wanted.weights[c] and demand:
                for k in range(most):
                    rank = wanted.weights[c] * SHARES[demand] * 65536 // (2 * k + 3)
                    units.append((0 if k < first else 1, 0 if k < first else -rank, k, c, t))
    return [(c, k, t) for _, _, k, c, t in sorted(units)]


@st.composite
def wanted_of(draw: st.DrawFn) -> tuple[Limits, Allocation, int]:
    channels, frames = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    most = draw(st.lists(st.integers(1, 10), min_size=channels, max_size=channels))
    limits = tuple((draw(st.integers(0, m)), m) for m in most)
    weights = tuple(draw(st.lists(st.sampled_from([0, 1, 1, 2, 255]), min_size=channels, max_size=channels)))
    rows = tuple(bytes(draw(st.lists(st.integers(0, 15), min_size=frames, max_size=frames))) for _ in weights)
    rows = tuple(row if w else b"" for row, w in zip(rows, weights, strict=True))
    full = Allocation(total=1 << 20, weights=weights, demand=rows)
    capacity = full.capacity(limits, frames)
    return limits, replace(full, total=draw(st.integers(0, capacity))), frames


@settings(max_examples=200, deadline=None)
@given(wanted_of())
def test_the_rule_hands_out_one_code_at_a_time(case: tuple[Limits, Allocation, int]) -> None:
    limits, wanted, frames = case
    order = slowly(limits, wanted, frames)
    assert len(order) == wanted.capacity(limits, frames)
    places = [tuple(place) for place in np.stack(allocation.places(limits, wanted, frames), 1).tolist()]
    assert places == order[: wanted.total]
    n_q = allocation.n_q(limits, wanted, frames)
    assert n_q.dtype == np.uint8
    for c, t in itertools.product(range(len(limits)), range(frames)):
        assert n_q[c, t] == sum(place[0] == c and place[2] == t for place in places)


@settings(max_examples=100, deadline=None)
@given(wanted_of(), st.data())
def test_some_of_the_frames_keep_their_codes(case: tuple[Limits, Allocation, int], data: st.DataObject) -> None:
    limits, wanted, frames = case
    first = data.draw(st.integers(0, frames - 1))
    last = data.draw(st.integers(first + 1, frames))
    n_q = allocation.n_q(limits, wanted, frames)[:, first:last]
    assert wanted.demand is not None
    part = replace(wanted, total=int(n_q.sum()), demand=tuple(row[first:last] for row in wanted.demand))
    assert np.array_equal(allocation.n_q(limits, part, last - first), n_q)


@given(st.lists(st.integers(0, 64), min_size=1, max_size=8), st.integers(1, 9))
def test_a_constant_allocation_gives_any_numbers(n_q: list[int], frames: int) -> None:
    limits = ((0, 64),) * len(n_q)
    assert allocation.n_q(limits, constant(n_q, frames), frames).tolist() == [[n] * frames for n in n_q]


def test_more_codes_than_units_can_take_are_an_error() -> None:
    wanted = Allocation(total=9, weights=(1, 0), demand=(b"\x01\x00", b""))
    with pytest.raises(ValueError, match="9 codes are more"):
        allocation.n_q(((1, 8), (1, 8)), wanted, 2)
    assert wanted.capacity(((1, 8), (1, 8)), 2) == 8


rows_of = st.integers(1, 60).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, MAX_DEMAND), min_size=n, max_size=n).map(bytes), min_size=1, max_size=3)
)


@settings(max_examples=200)
@given(rows_of)
def test_demands_to_bytes_and_back(rows: list[bytes]) -> None:
    data = demands.pack(rows)
    assert demands.unpack(data, len(rows), len(rows[0])) == tuple(rows)
    assert len(data) <= demands.most_bytes(len(rows), len(rows[0]))


@settings(max_examples=300)
@given(st.binary(max_size=12), st.integers(0, 3), st.integers(1, 20))
def test_bytes_are_demands_in_one_way_or_refused(data: bytes, channels: int, frames: int) -> None:
    try:
        rows = demands.unpack(data, channels, frames)
    except ValueError:
        pass
    else:
        assert demands.pack(rows) == data


def test_demands_that_stay_cost_little() -> None:
    assert len(demands.pack([bytes([9]) * 128])) == 4
    assert len(demands.pack([bytes([9, 9, 9, 10, 10, 10]) * 20])) == 26
