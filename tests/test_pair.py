"""Encoded pairs: any cutting gives the same, decoding may begin anywhere, and the image is kept."""

import numpy as np
import pytest
import recording
import tinypair
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tinypair import CONFIG, RATE, decibels, decode, encode, noise, shaped

from rvqcodec.codec.rotation import LEFT, MIDDLE, RIGHT
from rvqcodec.container import Chunk
from rvqcodec.models.rvq44.timing import MEMORY, context

HOP, TOTAL = CONFIG.hop, 12
FEW = settings(max_examples=6, deadline=None)
Samples = NDArray[np.float32]


def all_of(chunks: list[Chunk]) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Codes [2, K, T], zeros beyond their number, and n_q [2, T]."""
    n_q = np.concatenate([np.asarray(chunk.n_q) for chunk in chunks], 1).astype(np.int64)
    codes = np.zeros((2, int(n_q.max()), n_q.shape[1]), np.uint16)
    for chunk in chunks:
        for own, rows in zip(codes, chunk.codes, strict=True):
            own[: len(rows), chunk.start_frame : chunk.start_frame + chunk.frames] = rows
    return codes, n_q


def decoded(codes: NDArray[np.uint16], n_q: NDArray[np.int64], cuts: list[int] = [], start: int = 0) -> Samples:  # noqa: B006
    """All samples that the model makes of codes in pieces."""
    decoder = tinypair.model().decoder(2, paired=True, start_frame=start)
    at = sorted(c % (codes.shape[2] + 1) for c in cuts)
    pieces = zip(np.split(codes, at, 2), np.split(n_q, at, 1), strict=True)
    return np.concatenate([*(decoder.push(*piece) for piece in pieces), decoder.flush()], 1)


@pytest.fixture(scope="module")
def mix() -> Samples:
    """[2, n]: four seconds of a voice in the middle of music."""
    return recording.recording(4.0)


@pytest.fixture(scope="module")
def voice() -> Samples:
    """[n]: four seconds."""
    return recording.voice(4.0)


@pytest.fixture(scope="module")
def coded(mix: Samples) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    return all_of(encode(mix, TOTAL)[1])


def through(samples: Samples, total: int = TOTAL) -> tuple[Samples, NDArray[np.int64], set[int]]:
    """What a file keeps of samples [2, n], n_q [2, T] and angles."""
    header, chunks = encode(samples, total)
    return decode(header, chunks), all_of(chunks)[1], {chunk.angle for chunk in chunks}


# ---- streams


@FEW
@given(cuts=st.lists(st.integers(0, 4 * RATE), min_size=1, max_size=6))
def test_any_cutting_of_samples_gives_the_same_codes(
    mix: Samples, coded: tuple[NDArray[np.uint16], NDArray[np.int64]], cuts: list[int]
) -> None:
    encoder = tinypair.model().encoder(2, paired=True)
    pair = np.stack([mix.sum(0), mix[1] - mix[0]]) / 2
    for piece in np.split(pair, sorted(cuts), axis=1):
        encoder.push(piece)
    encoder.flush()
    codes = encoder.codes(coded[1])
    whole = tinypair.model().encoder(2, paired=True)
    whole.push(pair, more=True)
    whole.flush()
    assert np.array_equal(whole.codes(coded[1]), codes)


@pytest.mark.parametrize("cuts", [7, 40])
def test_any_cutting_of_a_recording_gives_the_same_file(
    mix: Samples, coded: tuple[NDArray[np.uint16], NDArray[np.int64]], cuts: int
) -> None:
    for found, expected in zip(all_of(encode(mix, TOTAL, cuts=cuts)[1]), coded, strict=True):
        assert np.array_equal(found, expected)


@FEW
@given(cuts=st.lists(st.integers(0, 150), min_size=1, max_size=8))
def test_any_cutting_of_codes_gives_the_same_samples(
    coded: tuple[NDArray[np.uint16], NDArray[np.int64]], cuts: list[int]
) -> None:
    assert np.array_equal(decoded(*coded, cuts), decoded(*coded))


@pytest.mark.parametrize("start", [3, 20])
def test_decoding_synchronises_itself(coded: tuple[NDArray[np.uint16], NDArray[np.int64]], start: int) -> None:
    """Whoever begins `context` frames early hears the same."""
    codes, n_q = coded
    whole, early = decoded(codes, n_q), context(CONFIG, paired=True)
    assert early >= MEMORY
    part = decoded(codes[:, :, start:], n_q[:, start:], start=start)
    expected = whole[:, start * HOP :]
    assert np.abs(part - expected)[:, early * HOP :].max() < 1e-5
    assert np.abs(part - expected)[:, HOP : 8 * HOP].max() > 1e-5


def test_a_file_at_fewer_codes_has_the_first_of_them(
    mix: Samples, coded: tuple[NDArray[np.uint16], NDArray[np.int64]]
) -> None:
    codes, n_q = coded
    fewer, least = all_of(encode(mix, 6)[1])
    assert (least <= n_q).all()
    kept = np.arange(fewer.shape[1])[:, None] < least[:, None]
    assert np.array_equal(fewer, np.where(kept, codes[:, : fewer.shape[1]], 0))


def test_waveform_codes_come_closer_than_parameters_alone(voice: Samples) -> None:
    """They stand where the parameters of their frame are known, and are of that frame."""
    rng = np.random.default_rng(3)
    tones = sum(np.sin(f * np.arange(len(voice)) + rng.uniform(0, 6)) for f in (0.03, 0.05, 0.08, 0.13))
    pair = np.stack([0.3 * voice, 0.02 * tones * (1 + np.sin(np.arange(len(voice)) / 9000))]).astype(np.float32)
    encoder = tinypair.model().encoder(2, paired=True)
    encoder.push(pair)
    encoder.flush()
    n_q = np.full((2, encoder.ready), 9)
    codes = encoder.codes(n_q)
    errors = []
    for count in (1, 3, 9):
        made = decoded(codes, np.minimum(n_q, [[9], [count]]))[:, CONFIG.pre_skip :][:, : len(voice)]
        errors.append(decibels(made[1] - pair[1]))
    assert errors[2] < errors[1] - 0.3 < errors[0] - 0.8


@pytest.mark.parametrize("n", [1, 588, 5000])
def test_short_recordings(n: int) -> None:
    x = noise(n)
    header, chunks = encode(x, TOTAL)
    made = decode(header, chunks)
    assert made.shape == x.shape
    assert np.isfinite(made).all()


def test_nothing_and_silence() -> None:
    assert encode(np.zeros((2, 0), np.float32), TOTAL)[1] == []
    made, n_q, angles = through(np.zeros((2, RATE), np.float32))
    assert not n_q[1].any()
    assert decibels(made) < -70
    assert np.array_equal(made[0], made[1])
    assert angles == {MIDDLE}


# ---- image


@pytest.mark.parametrize(("side", "angle"), [(0, LEFT), (1, RIGHT)])
def test_a_silent_channel_stays_silent_and_costs_nothing(voice: Samples, side: int, angle: int) -> None:
    x = np.zeros((2, len(voice)), np.float32)
    x[side] = voice
    made, n_q, angles = through(x)
    assert angles == {angle}
    assert not n_q[1].any()
    assert not made[1 - side].any()
    alone = decode(*encode(voice[None], TOTAL))[0]
    lost = [decibels(y - voice) for y in (made[side], alone)]
    assert lost[0] == pytest.approx(lost[1], abs=0.1)


def test_two_equal_channels_are_one(voice: Samples) -> None:
    made, n_q, angles = through(np.stack([voice, voice]))
    assert angles == {MIDDLE}
    assert not n_q[1].any()
    assert np.array_equal(made[0], made[1])
    alone = decode(*encode(voice[None], TOTAL))[0]
    assert decibels(made[0] - voice) == pytest.approx(decibels(alone - voice), abs=0.1)


def test_opposite_phase(voice: Samples) -> None:
    made, n_q, angles = through(np.stack([voice, -voice]))
    assert angles == {0}
    assert not n_q[1].any()
    assert np.abs(made[0] + made[1]).max() < 1e-6
    assert decibels(made[0]) == pytest.approx(decibels(decode(*encode(voice[None], TOTAL))[0]), abs=0.5)


@pytest.mark.parametrize("balance", [(0.9, 0.35), (0.5, 0.7), (0.9, -0.2)], ids=str)
def test_a_panned_voice_stays_where_it_is(voice: Samples, balance: tuple[float, float]) -> None:
    x = voice * np.array(balance, np.float32)[:, None]
    made, _, _ = through(x)
    wanted, found = (decibels(y[0]) - decibels(y[1]) for y in (x, made))
    assert found == pytest.approx(wanted, abs=1)
    assert np.corrcoef(made)[0, 1] * np.sign(balance[0] * balance[1]) > 0.8


def bands(samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """[2, n] -> level of right to left in dB, coherence, weights, of moments of 8 sub-frames and bands."""
    network = tinypair.network()
    left, right = torch.from_numpy(samples)
    n = len(left) // (8 * 588) * 8 * 588
    a, b = (network.transform(network.spans(torch.nn.functional.pad(x[:n], (588, 0))[None]))[0] for x in (left, right))
    products = torch.stack([a * a, b * b, a * b]) @ network.band_weights
    left, right, both = products.unflatten(1, (-1, 8)).sum(2).double() + 1e-9
    weight = (left + right) ** 0.35
    level = 10 * torch.log10(right / left)
    return level.clamp(-30, 30).numpy(), (both / (left * right).sqrt()).numpy(), (weight / weight.sum()).numpy()


def image_errors(reference: Samples, made: Samples) -> tuple[float, float]:
    """Of levels in dB, of coherence."""
    wanted, found = bands(reference), bands(made)
    level, coherence = (float((wanted[2] * np.abs(a - b)).sum()) for a, b in zip(wanted[:2], found[:2], strict=True))
    return level, coherence


@pytest.mark.parametrize("seed", [50, 51])
def test_ambience_stays_as_wide(seed: int) -> None:
    """A noise in the middle and others beside it, in some bands weak, in some loud, coherence that mono has not."""
    rng, n = np.random.default_rng(seed), 4 * RATE
    spectra = np.fft.rfft(rng.normal(0, 0.1, (3, n)))
    hertz = np.linspace(0, RATE / 2, spectra.shape[1])
    spectra *= np.stack(
        [np.ones_like(hertz), *2 * [np.interp(hertz, np.linspace(0, RATE / 2, 5), rng.uniform(0.2, 1.5, 5))]]
    )
    x = np.fft.irfft((spectra[:1] + spectra[1:]) / (1 + hertz / 500), n).astype(np.float32)
    made, _, angles = through(x)
    level, coherence = image_errors(x, made)
    assert angles == {MIDDLE}
    assert level < 1.5
    assert coherence < 0.13 < 0.35 * image_errors(x, np.repeat(x.mean(0, keepdims=True), 2, 0))[1]


def test_a_balance_that_moves_is_followed() -> None:
    x = shaped(50)
    made, _, angles = through(x)
    assert len(angles) > 1
    assert image_errors(x, made)[0] < 0.3 * image_errors(x, np.repeat(x.mean(0, keepdims=True), 2, 0))[0]


def test_width_does_not_jump_from_chunk_to_chunk() -> None:
    """A side about 7 dB below the middle that is now a little louder, now less: it must not come and go."""
    middle, side = noise(6 * RATE, 7)
    chunk = 32 * HOP
    moves = np.repeat([0, 1, 0, -1, 1, -1, 0, 1, 0], chunk)[: len(side)]
    side *= (10 ** ((moves - 7) / 20)).astype(np.float32)
    x = np.stack([middle - side, middle + side])
    made, n_q, _ = through(x, 6)
    assert n_q[1].all()
    for at in range(0, x.shape[1] - chunk, chunk):
        wanted, found = (decibels(y[1, at : at + chunk] - y[0, at : at + chunk]) for y in (x, made))
        whole = decibels(made[:, at : at + chunk]) - decibels(x[:, at : at + chunk])
        assert found - wanted == pytest.approx(whole, abs=3)
