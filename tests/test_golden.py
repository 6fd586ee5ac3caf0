"""The shipped model decodes the same codes to the same sound everywhere: pinned samples, engines, threads, cutting."""

import json
from pathlib import Path

import numpy as np
import pytest
from cores import use_threads
from numpy.typing import NDArray

from rvqcodec.models import cards, loading
from rvqcodec.models.rvq44.decoder import StreamDecoder
from rvqcodec.models.rvq44.engine import Engine
from rvqcodec.models.rvq44.family import Rvq44
from rvqcodec.models.rvq44.network.engine import TorchEngine, network_of

PINNED = Path(__file__).with_name("golden.json")  # written by `python tests/test_golden.py`, after a change of weights
FRAMES, N_Q, EVERY = 75, (48, 9), 997
Samples = NDArray[np.float32]


def sound(engine: Engine, piece: int = FRAMES) -> Samples:
    """What fixed codes of two coded channels sound like, pushed in pieces: float32 [2, n]."""
    codes = np.random.default_rng(1).integers(0, 1024, (2, max(N_Q), FRAMES)).astype(np.uint16)
    decoder = StreamDecoder(engine, 2)
    parts = [decoder.push(codes[..., i : i + piece], N_Q, more=True) for i in range(0, FRAMES, piece)]
    return np.concatenate([*parts, decoder.flush()], axis=1)


def shipped(device: str = "cpu") -> Engine:
    """The newest model that a checkout carries: in numpy, or ("torch") in torch on the CPU."""
    card = cards.find()
    model = loading.open_card(card)
    assert isinstance(model, Rvq44)
    if device == "torch":
        return TorchEngine(network_of(model.engine.config, loading.verified_tensors(card)))
    return model.engine


def snr(reference: Samples, other: Samples) -> float:
    return float(10 * np.log10((reference**2).sum() / ((other - reference) ** 2).sum().clip(1e-20)))


@pytest.fixture(scope="module", params=["cpu", "torch"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return shipped(request.param)


def test_the_sound_is_the_pinned_one(engine: Engine) -> None:
    pinned = json.loads(PINNED.read_text())
    assert cards.find().sha256 == pinned["weights"], "other weights: run python tests/test_golden.py"
    expected = np.array(pinned["samples"], np.float32)
    assert snr(expected, sound(engine)[:, ::EVERY]) > 80


@pytest.mark.parametrize("piece", [1, 7, 32])
def test_any_cutting_gives_the_same_bits(engine: Engine, piece: int) -> None:
    np.testing.assert_array_equal(sound(engine), sound(engine, piece))


def test_any_number_of_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = shipped()
    one = sound(engine)
    for count in (2, 4):
        with use_threads(count, monkeypatch):
            np.testing.assert_array_equal(one, sound(engine))


def renew() -> None:
    """Write what the shipped weights sound like now."""
    samples = [[float(f"{v:.7g}") for v in row[::EVERY]] for row in sound(shipped())]
    PINNED.write_text(json.dumps({"weights": cards.find().sha256, "samples": samples}) + "\n")


if __name__ == "__main__":
    renew()
