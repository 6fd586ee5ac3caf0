"""The search of codes in numpy: the least of many, prefixes, and what `network.search` finds."""

import numpy as np
import pytest
import tinycodec
import torch
from numpy.typing import NDArray

from rvqcodec.models.rvq44.cpu.search import Search, cheapest
from rvqcodec.models.rvq44.cpu.weights import Weights
from rvqcodec.models.rvq44.engine import ROWS


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize(
    ("size", "chains", "count"), [(1024, 4, 4), (1024, 1, 6), (256, 6, 6), (16, 4, 4), (16, 1, 6), (96, 2, 3)]
)
def test_the_cheapest_are_the_cheapest(size: int, chains: int, count: int) -> None:
    n = 10
    distance, cost = random(size, chains * n), random(chains, n, seed=1)
    total = (distance.reshape(size, chains, n) + cost).transpose(2, 1, 0).reshape(n, -1)
    found, column, entry = cheapest(distance.copy(), cost, count)
    np.testing.assert_array_equal(found, np.sort(total, 1)[:, :count].T)
    place = column // n * size + entry
    assert (column % n == np.tile(np.arange(n), count)).all()
    np.testing.assert_array_equal(total[column % n, place], found.ravel())


def test_chains_that_are_closed_are_not_extended() -> None:
    cost = np.zeros((3, 10), np.float32)
    cost[1] = np.inf
    _, column, _ = cheapest(random(64, 30), cost, 4)
    assert not (column // 10 == 1).any()


@pytest.fixture(scope="module")
def searches() -> list[Search]:
    """Of the waveform codebooks, and of the envelope's with weighted errors."""
    network = tinycodec.shared()
    weights = Weights(network.config, {name: x.numpy() for name, x in network.state_dict().items()})
    return [
        Search(weights, "waveform_quantizer", width=4, ahead=3),
        Search(weights, "envelope_quantizer", width=6, ahead=4, weigh=lambda x: 1 + np.abs(x)),
    ]


@pytest.mark.parametrize("which", [0, 1])
def test_fewer_codes_are_the_first_of_many(searches: list[Search], which: int) -> None:
    search = searches[which]
    latents = random(ROWS, search.stage(0).inward.shape[1], seed=2)
    every = search.encode(latents, len(search.dims))
    assert every.shape == (len(search.dims), ROWS)
    for n_q in range(len(search.dims) + 1):
        np.testing.assert_array_equal(search.encode(latents, n_q), every[:n_q])


@pytest.mark.parametrize("name", ["waveform_quantizer", "envelope_quantizer"])
def test_it_finds_what_torch_finds(searches: list[Search], name: str) -> None:
    network = tinycodec.shared()
    quantizer = getattr(network, name)
    ours = searches[name == "envelope_quantizer"]
    if quantizer.weigh is not None:
        ours = Search(ours._weights, name, width=6, ahead=4, weigh=lambda x: as_torch(quantizer.weigh, x))
    latents = random(2 * ROWS, ours.stage(0).inward.shape[1], seed=3)
    expected = quantizer.encode(torch.from_numpy(latents)[None], len(ours.dims))[0].numpy()
    found = np.concatenate([ours.encode(part, len(ours.dims)) for part in np.split(latents, 2)], 1)
    assert (found == expected).mean() > 0.9, "a near tie that tips changes what follows"


def as_torch(weigh: object, x: NDArray[np.float32]) -> NDArray[np.float32]:
    assert callable(weigh)
    found: NDArray[np.float32] = weigh(torch.from_numpy(np.ascontiguousarray(x))[None])[0].numpy()
    return found
