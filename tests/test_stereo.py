"""A pair's parameters and their codes, and the channel that is unlike the main one."""

import numpy as np
import pytest
import tinypair
import torch
from numpy.typing import NDArray
from tinypair import RATE, noise, shaped

from rvqcodec.models.rvq44 import stereo
from rvqcodec.models.rvq44.cpu.head import Overlap
from rvqcodec.models.rvq44.cpu.pair import Unlike
from rvqcodec.models.rvq44.network.layers import MDCT
from rvqcodec.models.rvq44.stereo import AHEAD, Analysis, StereoDecoder, StereoEncoder, cheapest
from rvqcodec.models.rvq44.tables import band_matrix
from rvqcodec.models.rvq44.timing import MEMORY

SIZE, HOP, BANDS = 588, 1176, 24
TRANSFORM = MDCT(SIZE)
BAND_WEIGHTS = band_matrix(size=SIZE, bands=BANDS, sample_rate=RATE, top=20000)
Samples = NDArray[np.float32]


def coefficients(samples: Samples) -> Samples:
    """[C, n] -> [C, S, F], S even."""
    frames = -(-(samples.shape[1] + SIZE) // HOP)
    padded = np.zeros((len(samples), (2 * frames + 1) * SIZE), np.float32)
    padded[:, SIZE : SIZE + samples.shape[1]] = samples
    found: Samples = TRANSFORM(torch.from_numpy(padded).unfold(-1, 2 * SIZE, SIZE)).numpy()
    return found


def unlike(main: Samples) -> Samples:
    """[S, F] -> [S, F], silence before and after it."""
    return Unlike(SIZE)(Overlap(SIZE)(np.pad(main, ((0, 1), (0, 0)))))


def middle(samples: Samples) -> Samples:
    """Left and right -> main and second at the middle angle."""
    return np.stack([samples[0] + samples[1], samples[1] - samples[0]]) / 2


def covariances(pair: Samples) -> stereo.Floats:
    """Of main and second."""
    return stereo.covariances(*coefficients(pair), BAND_WEIGHTS, HOP // SIZE)


@pytest.fixture(scope="module")
def table() -> stereo.Floats:
    return tinypair.table().numpy()


# ---- parameters


def test_parameters_say_what_was_mixed() -> None:
    main, other = noise(4 * RATE, 3)
    powers = covariances(np.stack([main, 0.3 * main + 0.5 * other]))
    values, weights = Analysis().push(powers)
    assert values.shape == weights.shape == (powers.shape[1] - 2, 2 * BANDS)
    alpha, rho = np.split(np.median(values[10:-10], 0), 2)
    assert np.abs(np.tan(alpha) - 0.3).mean() < 0.06
    assert np.abs(np.tan(rho) - 0.5).mean() < 0.06
    assert np.isfinite(weights).all()


def test_parameters_have_limits() -> None:
    """Whatever the channels are: numbers, and no steeper than can be coded."""
    loud, silent, quiet = noise(RATE), np.zeros((1, RATE), np.float32), 1e-7 * noise(RATE, 4, 1)
    for pair in ([silent, silent], [silent, loud[:1]], [loud[:1], silent], [quiet, loud[:1]], [loud[:1], quiet]):
        values, weights = Analysis().push(covariances(np.concatenate(pair)))
        assert np.abs(values).max() <= np.float32(stereo.STEEPEST)
        assert np.isfinite(weights).all()
        assert (weights >= 0).all()
        if pair[1] is silent:
            assert not values.any()


def test_analysis_does_not_depend_on_blocks() -> None:
    powers = covariances(middle(shaped(3)))
    whole, analysis = Analysis().push(powers), Analysis()
    parts = [analysis.push(powers[:, i : i + 9]) for i in range(0, powers.shape[1], 9)]
    for expected, found in zip(whole, zip(*parts, strict=True), strict=True):
        assert np.array_equal(np.concatenate(found), expected)


# ---- codes


@pytest.mark.parametrize("step", [3, 7, 32])
def test_codes_are_one_a_frame_and_do_not_depend_on_blocks(table: stereo.Floats, step: int) -> None:
    powers = covariances(middle(shaped(40)))
    codes = StereoEncoder(table).push(powers)
    assert codes.shape == powers.shape[1:2]
    encoder = StereoEncoder(table)
    out = [encoder.push(powers[:, at : at + step]) for at in range(0, len(codes), step)]
    assert [len(part) for part in out] == [min(step, len(codes) - at) for at in range(0, len(codes), step)]
    assert np.array_equal(np.concatenate(out), codes)


def test_the_least_are_the_least() -> None:
    cost = np.random.default_rng(0).normal(size=(16, 1024)).astype(np.float32)
    for costs in (cost, cost[:1], cost[:, :100], np.round(cost, 1)):
        found = cheapest(costs, 16)
        assert len(set(found.tolist())) == 16
        assert np.array_equal(costs.ravel()[found], np.sort(costs.ravel())[:16])


def test_decoding_does_not_depend_on_blocks(table: stereo.Floats) -> None:
    codes = np.random.default_rng(0).integers(0, len(table), 150).astype(np.uint16)
    decoder = StereoDecoder(table)
    pieces = [decoder.push(codes[i : i + 11]) for i in range(0, 150, 11)]
    assert np.array_equal(np.concatenate(pieces), StereoDecoder(table).push(codes))


def test_decoding_synchronises_itself(table: stereo.Floats) -> None:
    """Whatever came before, and wherever a stream was cut: the same after MEMORY frames."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, len(table), 200).astype(np.uint16)
    whole = StereoDecoder(table).push(codes)
    for cut in (1, 13, 64):
        part = StereoDecoder(table).push(codes[cut:])
        assert np.abs(part[MEMORY:] - whole[cut + MEMORY :]).max() < 1e-5
    other = np.concatenate([rng.integers(0, len(table), 77).astype(np.uint16), codes[50:]])
    assert np.array_equal(StereoDecoder(table).push(other)[77 + MEMORY :], whole[50 + MEMORY :])


def test_a_cut_piece_starts_near_its_parameters(table: stereo.Floats) -> None:
    codes = StereoEncoder(table).push(covariances(middle(shaped(41))))
    whole, part = StereoDecoder(table).push(codes), StereoDecoder(table).push(codes[50:])
    assert np.abs(part[AHEAD] - whole[50 + AHEAD]).mean() < 0.5 * np.abs(whole[50 + AHEAD]).mean()


def test_a_second_channel_that_is_silent_stays_so(table: stereo.Floats) -> None:
    main = noise(RATE, channels=1)
    codes = StereoEncoder(table).push(covariances(np.concatenate([main, 0 * main])))
    assert not codes.any()
    assert not StereoDecoder(table).push(codes).any()


def test_codes_follow_the_image(table: stereo.Floats) -> None:
    """Rebuilt from the main channel alone, second is as loud as it was, and as much like main."""
    pair = middle(shaped(42, 8 * RATE))
    wanted = covariances(pair)
    values = StereoDecoder(table).push(StereoEncoder(table).push(wanted))[AHEAD:]
    main = coefficients(pair)[0, : 2 * len(values)]
    alpha, rho = stereo.spread(stereo.by_sub_frame(values[0], values), BAND_WEIGHTS.T)
    second = alpha * main + rho * unlike(main)
    found = stereo.covariances(main, second, BAND_WEIGHTS, 2)

    def image(powers: stereo.Floats) -> tuple[stereo.Floats, stereo.Floats]:
        """Level of second to main in dB and coherence, of a dozen frames at a time."""
        count = len(values) // 12 * 12
        main, across, second = powers[:, :count].reshape(3, -1, 12, BANDS).mean(2)
        return 10 * np.log10(second / main), across / np.sqrt(main * second)

    (level, coherence), (made_level, made_coherence) = image(wanted), image(found)
    assert np.abs(level - made_level).mean() < 0.9
    assert np.abs(level - made_level).mean() < 0.7 * np.abs(level - level.mean()).mean()
    assert np.abs(coherence - made_coherence).mean() < 0.5 * np.abs(coherence).mean()


def test_by_sub_frame_goes_halfway_first() -> None:
    values = stereo.by_sub_frame(np.zeros(1, np.float32), np.array([[2.0], [4.0]], np.float32))
    assert values.ravel().tolist() == [1, 2, 3, 4]


# ---- unlike


def test_unlike_is_as_loud_and_has_nothing_in_common() -> None:
    x = noise(RATE, channels=1)
    main = coefficients(x)[0]
    other = unlike(main)
    assert abs(10 * np.log10(np.square(other).sum() / np.square(main).sum())) < 0.2
    assert abs((other * main).sum() / np.square(main).sum()) < 0.02


def test_unlike_of_a_tone_does_not_waver() -> None:
    tone = np.sin(2 * np.pi * 1100 / RATE * np.arange(RATE))[None].astype(np.float32)
    made = Overlap(SIZE)(unlike(coefficients(tone)[0]))[1:].ravel()[10 * SIZE : 60 * SIZE]
    levels = np.sqrt(np.square(made.reshape(-1, 294)).mean(1))
    assert 20 * np.log10(levels.max() / levels.min()) < 1  # shaped noise wavers by 5 dB
    same = tone[0, 10 * SIZE : 60 * SIZE]
    assert abs(float(made @ same)) < 0.02 * float(same @ same)
