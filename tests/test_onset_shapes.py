"""The table of onsets' shapes: made attacks have onsets, and fitting brings the table nearer to what codes are for."""

import copy

import numpy as np
import pytest
import tinycodec
import torch
from torch import Tensor

from rvqcodec.models.rvq44.network.onset import Onsets
from rvqcodec.models.rvq44.onsets import LOUDNESS
from rvqcodec.training import synthetic
from rvqcodec.training.onset_shapes import fit, made_attacks, shapes_in


@pytest.fixture(scope="module")
def shapes() -> Tensor:
    network, n = tinycodec.shared(), 202 * tinycodec.CONFIG.sub_frame
    return torch.cat([shapes_in(network, made_attacks(network, n, 4, np.random.default_rng(i))) for i in range(20)])


def errors(onset: Onsets, shapes: Tensor) -> tuple[float, float]:
    """(what the choice of codes makes least, dB RMS of the level of the first 5 ms), means over shapes."""
    heard, chosen = onset.heard(shapes), onset.entries[onset.encode(shapes)]
    louder = heard.louder(chosen).square()
    whole = (heard.weight * (chosen - shapes).square()).sum(1) + LOUDNESS * louder
    return float(whole.mean()), 10 * float(louder.mean().sqrt())


def test_attacks_are_sounds_after_silence() -> None:
    made = synthetic.attacks(44_100, 44_100, np.random.default_rng(0))
    assert made.shape == (44_100,)
    assert np.abs(made).max() <= 1
    power = np.square(made[: 44_100 // 441 * 441].reshape(-1, 441)).mean(1)
    assert power[0] < power.max() / 1e3, "it begins with silence"


def test_attacks_have_onsets_of_many_shapes(shapes: Tensor) -> None:
    assert len(shapes) > 200
    assert len(shapes.argmax(1).unique()) > tinycodec.CONFIG.onset_slots / 2, "they fall anywhere in a frame"


def test_fitting_lowers_the_errors_on_other_shapes(shapes: Tensor) -> None:
    train, held = shapes[::2], shapes[1::2]
    onset = copy.deepcopy(tinycodec.shared().onset)
    torch.manual_seed(0)
    onset.entries.copy_(train[torch.randperm(len(train))[: len(onset.entries)]])
    before = errors(onset, held)
    fit(onset, train)
    after = errors(onset, held)
    assert after[0] < 0.9 * before[0]
    assert after[1] < before[1]
    assert torch.equal(onset.entries, onset.entries.half().float()), "float16 holds them"
