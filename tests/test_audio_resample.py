"""The resampler: exact length, no delay, the same output for every cutting of the input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvqcodec.audio import Resampler, resampled_length

PAIRS = [(8000, 44100), (22050, 44100), (48000, 44100), (96000, 44100), (192000, 44100), (44101, 44100)]
PAIRS += [(44100, 8000), (44100, 48000), (44100, 192000)]


def resample(samples, rate_in, rate_out, cuts=()):
    resampler = Resampler(rate_in, rate_out, samples.shape[0])
    outputs = [resampler.push(block) for block in np.split(samples, sorted(cuts), axis=1)]
    outputs.append(resampler.flush())
    assert all(out.dtype == np.float32 and out.flags.c_contiguous for out in outputs)
    return np.concatenate(outputs, axis=1)


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_sine_keeps_its_phase_and_level(rate_in, rate_out):
    n = rate_in // 2
    sine = np.sin(2 * np.pi * 440 * np.arange(n) / rate_in).astype(np.float32)[None]
    out = resample(sine, rate_in, rate_out)
    expected = np.sin(2 * np.pi * 440 * np.arange(out.shape[1]) / rate_out)
    inner = slice(rate_out // 20, -rate_out // 20)  # away from the ends, where the sine begins and stops
    assert np.abs(out[0] - expected)[inner].max() < 1e-5


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_click_stays_where_it_is(rate_in, rate_out):
    at = rate_in // 4
    click = np.zeros((1, rate_in // 2), np.float32)
    click[0, at] = 1
    out = resample(click, rate_in, rate_out)
    # The centre of its energy, in seconds, to a tenth of a sample of the lower rate.
    energy = out[0].astype(np.float64) ** 2
    centre = (energy * np.arange(len(energy))).sum() / energy.sum() / rate_out
    assert abs(centre - at / rate_in) < 0.1 / min(rate_in, rate_out)


@given(data=st.data(), pair=st.sampled_from(PAIRS), n=st.integers(0, 9000), channels=st.sampled_from([1, 2, 8]))
@settings(max_examples=40, deadline=None)
def test_every_cutting_gives_the_same_bits(data, pair, n, channels):
    samples = np.random.default_rng(n).uniform(-1, 1, (channels, n)).astype(np.float32)
    cuts = data.draw(st.lists(st.integers(0, n), max_size=12))
    whole = resample(samples, *pair)
    assert whole.shape == (channels, resampled_length(n, *pair))
    assert np.array_equal(resample(samples, *pair, cuts), whole)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_shortest_inputs_have_the_exact_length(n, rate_in, rate_out):
    out = resample(np.ones((2, n), np.float32), rate_in, rate_out)
    assert out.shape == (2, -(-n * rate_out // rate_in))
    assert np.isfinite(out).all()


def test_channels_stay_apart():
    samples = np.random.default_rng(5).uniform(-1, 1, (8, 5000)).astype(np.float32)
    together = resample(samples, 48000, 44100)
    for channel in range(8):
        assert np.array_equal(together[channel], resample(samples[channel : channel + 1], 48000, 44100)[0])


def test_equal_rates_pass_every_bit():
    samples = np.random.default_rng(6).standard_normal((3, 1000)).astype(np.float32)
    resampler = Resampler(44100, 44100, 3)
    assert np.array_equal(resampler.push(samples[:, ::2]), samples[:, ::2])
    assert resampler.flush().shape == (3, 0)


def test_there_and_back_gives_the_first_signal_within_its_band():
    t = np.arange(16000) / 16000
    tones = sum(np.sin(2 * np.pi * f * t) for f in (50, 1000, 5000)).astype(np.float32)[None] / 3
    back = resample(resample(tones, 16000, 44100), 44100, 16000)[:, :16000]
    assert np.abs(back - tones)[:, 500:-500].max() < 1e-4
