"""A constant offset costs no codes: taken away where there is one, and everything else passes bit by bit."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import rvqcodec
from rvqcodec.codec.offset import Offset

RATE = 44_100
Samples = NDArray[np.float32]


def without(samples: Samples, cuts: list[int] | None = None, rate: int = RATE) -> tuple[Samples, float]:
    offset = Offset(rate, len(samples))
    edges = [0, *sorted(cuts or []), samples.shape[1]]
    parts = [offset.push(samples[:, a:b]) for a, b in pairwise(edges)]
    return np.concatenate([*parts, offset.flush()], axis=1), offset.removed


def tone(hertz: float, level: float = 0.1, seconds: float = 3.0) -> Samples:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)[None]


@pytest.mark.parametrize("hertz", [20, 23, 31.7, 50, 440])
def test_sound_passes_bit_by_bit(stereo: Samples, hertz: float) -> None:
    for samples in (tone(hertz), stereo, 0 * stereo, stereo[:, :5], stereo[:, :0], tone(hertz) + np.float32(0.002)):
        found, removed = without(samples)
        assert np.array_equal(found, samples)
        assert removed == 0


@pytest.mark.parametrize("offset", [0.03, 0.1, -0.3])
def test_an_offset_is_gone(offset: float) -> None:
    samples = np.concatenate([tone(440), tone(60)])
    samples[0] += np.float32(offset)
    found, removed = without(samples)
    assert found.shape == samples.shape
    assert removed == pytest.approx(abs(offset), rel=0.05)
    assert abs(found[0].mean()) < 0.02 * abs(offset)
    assert np.abs(found[0] - tone(440)[0]).max() < 0.05 * abs(offset)  # from the first sample on
    assert np.array_equal(found[1], samples[1])  # each channel by itself


def test_it_comes_and_goes_smoothly() -> None:
    """An offset that begins later is followed; no sample jumps, and after it all passes again."""
    plain = tone(440, seconds=12)
    samples = plain.copy()
    samples[:, 4 * RATE : 8 * RATE] += np.float32(0.1)
    found, _ = without(samples)
    taken = (samples - found)[0]
    assert not taken[: 4 * RATE].any()
    assert abs(taken[round(7.9 * RATE)] - 0.1) < 0.005
    assert np.abs(np.diff(taken)).max() < 1e-4
    assert not taken[round(11.5 * RATE) :].any()


def test_silence_with_an_offset_is_silence() -> None:
    found, removed = without(np.full((1, RATE), 0.1, np.float32))
    assert removed == pytest.approx(0.1)
    assert np.abs(found).max() < 1e-7
    faint = np.full((1, RATE), 2.0**-16, np.float32)  # half a step of 16 bits
    assert np.array_equal(without(faint)[0], faint)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 40_000), max_size=8), offset=st.sampled_from([0.0, 0.02, 0.3]))
def test_any_cutting_gives_the_same(cuts: list[int], offset: float) -> None:
    rng = np.random.default_rng(1)
    samples = (0.1 * rng.standard_normal((2, 40_000)) + [[offset], [0]]).astype(np.float32)
    samples[0, 25_000:] -= np.float32(offset)
    whole, cut = without(samples), without(samples, cuts)
    assert np.array_equal(whole[0], cut[0])
    assert whole[1] == cut[1]


def test_a_tone_with_an_offset_is_coded_as_well_as_one_without() -> None:
    codec = rvqcodec.load()
    plain = tone(440, 0.05)
    with_offset = codec.encode(plain + np.float32(0.1), RATE, bitrate="6kbps")
    error = [
        np.square(codec.decode(codes)[0, RATE : 2 * RATE] - plain[0, RATE : 2 * RATE]).mean()
        for codes in (codec.encode(plain, RATE, bitrate="6kbps"), with_offset)
    ]
    assert 10 * np.log10(error[1] / error[0]) < 3, "8 dB when offsets were coded"
    assert abs(codec.decode(with_offset).mean()) < 0.002


def test_an_offset_is_told(
    invoke: Callable[..., Result], write_wav: Callable[..., Path], stereo: Samples, tmp_path: Path
) -> None:
    path = write_wav(tmp_path / "a.wav", 0.5 * stereo + np.float32(0.2))
    done = invoke("encode", path, "-b", "1.5")
    assert f"rvq: {path}: a constant offset (DC) of 0.2" in done.err
    assert "constant offset" not in invoke("encode", write_wav(path, stereo), "-b", "1.5", "-f").err
