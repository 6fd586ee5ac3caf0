"""The shipped model decodes the same codes to the same sound everywhere: pinned samples, threads, bf16, cutting."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rvqcodec.models import cards, loading
from rvqcodec.models.rvq44.decoder import StreamDecoder
from rvqcodec.models.rvq44.family import Rvq44
from rvqcodec.models.rvq44.network import Network

PINNED = Path(__file__).with_name("golden.json")  # written by `python tests/test_golden.py`, after a change of weights
FRAMES, N_Q, EVERY = 75, (48, 9), 997
Samples = NDArray[np.float32]


def sound(network: Network, piece: int = FRAMES, *, bf16: bool = False) -> Samples:
    """What fixed codes of two coded channels sound like, pushed in pieces: float32 [2, n]."""
    codes = np.random.default_rng(1).integers(0, 1024, (2, max(N_Q), FRAMES)).astype(np.uint16)
    decoder = StreamDecoder(network, 2, bf16=bf16)
    parts = [decoder.push(codes[..., i : i + piece], N_Q) for i in range(0, FRAMES, piece)]
    return np.concatenate([*parts, decoder.flush()], axis=1)


def shipped() -> Network:
    """The network of the newest model that a checkout carries."""
    model = loading.open_card(cards.find())
    assert isinstance(model, Rvq44)
    return model.network


def snr(reference: Samples, other: Samples) -> float:
    return float(10 * np.log10((reference**2).sum() / ((other - reference) ** 2).sum().clip(1e-20)))


@pytest.fixture(scope="module")
def network() -> Network:
    return shipped()


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_sound_is_the_pinned_one(network: Network) -> None:
    pinned = json.loads(PINNED.read_text())
    assert cards.find().sha256 == pinned["weights"], "other weights: run python tests/test_golden.py"
    expected = np.array(pinned["samples"], np.float32)
    assert snr(expected, sound(network)[:, ::EVERY]) > 80


def test_one_and_two_threads(network: Network, threads: None) -> None:
    torch.set_num_threads(1)
    one = sound(network)
    torch.set_num_threads(2)
    assert snr(one, sound(network)) > 80


@pytest.mark.parametrize("piece", [1, 7, 32])
def test_any_cutting_gives_the_same_bits(network: Network, piece: int) -> None:
    np.testing.assert_array_equal(sound(network), sound(network, piece))


def test_bf16_is_near(network: Network) -> None:
    """The blocks' products in bf16, as `--precision auto` has them on some processors; any cutting, the same bits."""
    near = sound(network, bf16=True)
    exact = sound(network)
    assert snr(exact, near) > 50, "73 dB when this was written"
    assert not np.array_equal(exact, near)
    np.testing.assert_array_equal(near, sound(network, 7, bf16=True))
    assert network.decoder_net[0].widen.weight.dtype == torch.float32, "the network itself stays as it is"


def renew() -> None:
    """Write what the shipped weights sound like now."""
    network = shipped()
    samples = [[float(f"{v:.7g}") for v in row[::EVERY]] for row in sound(network)]
    PINNED.write_text(json.dumps({"weights": cards.find().sha256, "samples": samples}) + "\n")


if __name__ == "__main__":
    renew()
