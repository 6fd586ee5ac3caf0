"""Onsets: which frames have them, that nothing but codes decides it, and what an attack sounds like."""

from collections.abc import Sequence

import numpy as np
import pytest
import tinycodec
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import rvqcodec
from rvqcodec.models import cards, loading
from rvqcodec.models.rvq44.config import NEW
from rvqcodec.models.rvq44.decoder import StreamDecoder
from rvqcodec.models.rvq44.encoder import WINDOW, StreamEncoder
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.network.engine import network_of

RATE, HOP, FRAMES = 44100, 1176, 2 * WINDOW + 9
N_Q = tinycodec.CONFIG.max_n_q
SPLIT = tinycodec.CONFIG.envelope_codebooks

Samples = NDArray[np.float32]
Codes = NDArray[np.uint16]


def encode(samples: Samples, cuts: Sequence[int] = (), n_q: NDArray[np.integer] | None = None) -> Codes:
    """All codes of a recording pushed in the pieces between `cuts`; n_q [C, T] (None: all)."""
    encoder = StreamEncoder(tinycodec.engine(), len(samples))
    for piece in np.split(samples, sorted(cuts), 1):
        encoder.push(piece)
    encoder.flush()
    return encoder.codes(np.full((len(samples), encoder.ready), N_Q) if n_q is None else n_q)


def decode(codes: Codes, n_q: NDArray[np.integer] | int = N_Q, cuts: Sequence[int] = ()) -> Samples:
    """All raw samples of codes [C, K, T] pushed in the pieces between `cuts`; n_q a number or [C, T]."""
    decoder = StreamDecoder(tinycodec.engine(), len(codes))
    counts = np.broadcast_to(n_q, (len(codes), codes.shape[2]))
    pieces = zip(np.split(codes, sorted(cuts), 2), np.split(counts, sorted(cuts), 1), strict=True)
    return np.concatenate([*(decoder.push(*piece) for piece in pieces), decoder.flush()], 1)


def onsets(codes: Codes, n_q: NDArray[np.integer] | int = N_Q) -> NDArray[np.int64]:
    """What a decoder takes for onsets [C, T]: their codes and 1, or 0."""
    counts = np.broadcast_to(n_q, (len(codes), codes.shape[2])).astype(np.int64)
    found: NDArray[np.int64] = (
        tinycodec.shared().dequantize(torch.from_numpy(codes.astype(np.int64)), torch.from_numpy(counts)).onset.numpy()
    )
    return found


@pytest.fixture(scope="module")
def attacks() -> Samples:
    """Two channels of sounds that jump; onsets fall on many places of frames, also on edges of windows."""
    samples = tinycodec.sound(FRAMES * HOP - 588, channels=2, seed=4)
    edge = WINDOW * HOP - 588  # of the first window: quiet before it, loud after it
    samples[:, edge - 2000 : edge] *= 1e-3
    samples[:, edge : edge + 3000] = 0.3 * np.sign(samples[:, edge : edge + 3000])
    return samples


@pytest.fixture(scope="module")
def codes(attacks: Samples) -> Codes:
    return encode(attacks)


@pytest.fixture(scope="module")
def decoded(codes: Codes) -> Samples:
    return decode(codes)


def test_levels_that_jump_are_onsets() -> None:
    onset, config = tinycodec.shared().onset, tinycodec.CONFIG
    bands = config.bands - config.onset_band
    decibel = config.envelope_scale / 8.686

    def flags(decibels: Sequence[float], before: Sequence[float] | None = None) -> list[bool]:
        coarse = torch.zeros(1, len(decibels), config.bands)
        coarse[0, :, config.onset_band :] = torch.tensor(decibels)[:, None] * decibel
        earlier = None if before is None else torch.tensor([before]).double() * decibel / config.envelope_step * bands
        found: list[bool] = onset.flags(onset.level(coarse), earlier)[0].tolist()
        return found

    assert flags([0, 0, 13, 13, 13, 0]) == [False, True, False]
    assert flags([0, 0, 11, 11, 11, 11]) == [False] * 3
    assert flags([0, 0, 0, 13, 13, 13]) == [False, True, True], "the next one is above what is two sub-frames before"
    assert flags([0, 0, 7, 14]) == [False, True], "a jump may take two sub-frames"
    assert flags([30, 30, 0, 0, 0, 0]) == [False] * 3, "falls are none"
    assert flags([0, 0, 0, 0]) == flags([13, 13, 0, 0], [13, 13]) == [False, False]
    assert flags([13, 13, 0, 0], [0, 13]) == [True, False]
    assert flags([13, 13, 0, 0], [13, 0]) == [True, False]
    assert flags([0, 13], None) == [True], "a stream may begin with one"
    unknown = float("inf")
    assert flags([13, 13, 0, 13], [unknown, unknown]) == [False, True]
    assert flags([13, 13], [0, unknown]) == [True]


def test_the_low_bands_make_no_onset() -> None:
    onset, config = tinycodec.shared().onset, tinycodec.CONFIG
    coarse = torch.zeros(1, 4, config.bands)
    coarse[:, 2:, : config.onset_band] = 9.0
    assert not onset.flags(onset.level(coarse)).any()


def test_the_sound_has_onsets(codes: Codes) -> None:
    """Or the tests below would test nothing: some on the first frames of windows, some not, with several shapes."""
    found = onsets(codes)
    assert 10 < (found > 0).sum() < found.size / 2
    assert (found[:, WINDOW] > 0).all(), "the first frame of the second window"
    assert len(np.unique(found)) > 4


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, FRAMES * HOP - 588), max_size=6))
def test_any_cutting_of_samples_gives_the_same_codes(cuts: list[int], attacks: Samples, codes: Codes) -> None:
    np.testing.assert_array_equal(encode(attacks, cuts), codes)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, FRAMES), max_size=6))
def test_any_cutting_of_codes_gives_the_same_samples(cuts: list[int], codes: Codes, decoded: Samples) -> None:
    np.testing.assert_array_equal(decode(codes, cuts=cuts), decoded)


def test_every_single_onset_may_be_cut_off(codes: Codes, decoded: Samples) -> None:
    """A push ends right before each onset's frame, one ends right after it."""
    frames = np.flatnonzero((onsets(codes) > 0).any(0))
    np.testing.assert_array_equal(decode(codes, cuts=sorted({*frames.tolist(), *(frames + 1).tolist()})), decoded)


@pytest.mark.parametrize("n_q", range(N_Q + 1))
def test_trimmed_codes_have_the_same_onsets(n_q: int, attacks: Samples, codes: Codes) -> None:
    """As soon as a frame has more than its envelope's codes; below that it has none."""
    expected = onsets(codes) if n_q > SPLIT else np.zeros_like(onsets(codes))
    np.testing.assert_array_equal(onsets(codes[:, :n_q], n_q), expected)
    few = encode(attacks, n_q=np.full((2, codes.shape[2]), n_q))
    np.testing.assert_array_equal(few, codes[:, :n_q])


def test_frames_may_have_any_number_of_codes(attacks: Samples, codes: Codes) -> None:
    """Numbers that differ from frame to frame and still give each the first of its codes, and its onset."""
    n_q = np.random.default_rng(0).integers(2, N_Q + 1, (2, codes.shape[2]))
    few = encode(attacks, n_q=n_q)
    kept = np.arange(N_Q)[:, None] < n_q[:, None]
    np.testing.assert_array_equal(few, codes * kept)
    np.testing.assert_array_equal(onsets(few, n_q), onsets(codes) * (n_q > SPLIT))


def test_what_has_no_codes_is_no_silence_before_an_onset(attacks: Samples, codes: Codes) -> None:
    """A channel that had no codes for a while: encoder and decoder agree that nothing is known of its level then."""
    n_q = np.full((2, codes.shape[2]), N_Q)
    flagged = np.flatnonzero(onsets(codes)[1])
    for frame in flagged[flagged > 0]:
        n_q[1, frame - 1] = 0
    some = encode(attacks, n_q=n_q)
    taken = onsets(some, n_q)
    np.testing.assert_array_equal(some[0], codes[0])
    assert (taken[1] > 0).sum() < len(flagged), "a jump from what has no codes is no onset"
    missed = np.setdiff1d(flagged, np.flatnonzero(taken[1]))
    # Where there is no onset now, its code is not there either: the waveform's codes stand in its place.
    for frame in missed[n_q[1, missed] > 0]:
        np.testing.assert_array_equal(some[1, SPLIT : N_Q - 1, frame], codes[1, SPLIT + 1 :, frame])


def test_a_part_that_begins_with_an_onset_is_no_louder(codes: Codes, decoded: Samples) -> None:
    """Nothing says that its first frame has one: once its code was read as one of the waveform's."""
    for frame in np.flatnonzero((onsets(codes) > 0).all(0)):
        decoder = StreamDecoder(tinycodec.engine(), 2, start_frame=int(frame))
        part = np.concatenate([decoder.push(codes[..., frame:], N_Q), decoder.flush()], 1)
        zeros = np.zeros_like(codes[..., :1])
        first = np.concatenate([codes[:, :SPLIT, frame : frame + 1], zeros[:, SPLIT:]], 1)
        n_q = np.full((2, codes.shape[2] - frame), N_Q)
        n_q[:, 0] = SPLIT
        decoder = StreamDecoder(tinycodec.engine(), 2, start_frame=int(frame))
        other = decoder.push(np.concatenate([first, codes[..., frame + 1 :]], 2), n_q)
        np.testing.assert_array_equal(part, np.concatenate([other, decoder.flush()], 1))
        assert np.abs(part[:, :HOP]).max() < 2 * np.abs(decoded).max()


def test_shaping_leaves_other_frames_alone() -> None:
    onset = tinycodec.shared().onset
    generator = torch.Generator().manual_seed(0)
    samples, treble = (torch.randn(1, 5 * HOP, generator=generator) for _ in range(2))
    flags = torch.tensor([[False, True, False, False, True]])
    made = onset.shaped(samples, treble, 2 * flags.long(), torch.ones(1, 5))
    changed = (made != samples).view(5, HOP).any(1)
    assert changed.tolist() == flags[0].tolist()


def test_shaped_treble_has_the_powers_of_its_code() -> None:
    """Steady noise gets each slot's power, within the ramps between slots."""
    network = tinycodec.shared()
    onset, slots = network.onset, tinycodec.CONFIG.onset_slots
    treble = torch.randn(16, HOP, generator=torch.Generator().manual_seed(0))
    codes, reference = torch.arange(16), torch.full((16,), 0.5)
    made = onset.powers(treble * onset.gains(codes, reference, treble))[:, 0]
    wanted = 10 * (torch.log10(reference)[:, None] + onset.entries[codes])
    loud = wanted > wanted.amax(1, keepdim=True) - 20
    assert loud.sum() > slots
    error = 10 * torch.log10(made) - wanted
    assert float(error[loud].abs().mean()) < 2
    assert torch.equal(onset.encode(onset.entries), codes)


# ---- the shipped model

BURSTS = 8
FIRST, PRE_ECHO = 4.0, -35.0  # dB


@pytest.fixture(scope="module")
def bursts() -> tuple[Samples, list[int]]:
    """Noise of 1.5 to 7 kHz that sets in at once after silence and decays in 8 ms, at many places of a frame."""
    n = 3 * RATE
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(n))
    frequency = np.fft.rfftfreq(n, 1 / RATE)
    spectrum[(frequency < 1500) | (frequency > 7000)] = 0
    noise, samples = np.fft.irfft(spectrum, n), np.zeros(n)
    starts = [int(RATE * (0.3 + 0.31 * k) + 137 * k) for k in range(BURSTS)]
    for start in starts:
        samples[start:] += noise[start:] * np.exp(-np.arange(n - start) / RATE / 0.008)
    return (0.5 * samples / np.abs(samples).max()).astype(np.float32), starts


@pytest.fixture(scope="module")
def burst_codes(bursts: tuple[Samples, list[int]]) -> rvqcodec.Codes:
    return rvqcodec.load().encode(bursts[0], RATE, bitrate="12kbps")


def level(x: Samples, begin: int, end: int) -> float:
    """Of samples, dB."""
    return float(10 * np.log10(np.square(x[begin:end], dtype=np.float64).mean() + 1e-12))


@pytest.mark.parametrize("n_q", [8, 16, 32])
def test_an_attack_is_neither_smeared_nor_heard_early(
    n_q: int, bursts: tuple[Samples, list[int]], burst_codes: rvqcodec.Codes
) -> None:
    """At 3, 6 and 12 kbps: the first 5 ms have their level, and before the attack it is quiet."""
    samples, starts = bursts
    made = rvqcodec.load().decode(burst_codes, n_q=n_q)[0]
    first = [level(made, s, s + 220) - level(samples, s, s + 220) for s in starts]
    early = [level(made, s - 1323, s - 88) - level(samples, s, s + 220) for s in starts]
    assert max(np.abs(first)) < FIRST, np.round(first, 1)
    assert max(early) < PRE_ECHO, np.round(early, 1)


def test_attacks_have_onsets_at_every_bitrate(bursts: tuple[Samples, list[int]], burst_codes: rvqcodec.Codes) -> None:
    """And a file of a lower bitrate has the first codes of these."""
    network = shipped()
    low = rvqcodec.load().encode(bursts[0], RATE, bitrate="3kbps")
    assert low.frames == burst_codes.frames
    found = []
    for some in (burst_codes, low):
        codes = np.zeros((1, some.codes.shape[1], some.frames), np.int64)
        codes[0] = some.codes[0].clip(0)
        n_q = np.concatenate([chunk.n_q for chunk in some.chunks()], 1).astype(np.int64)
        codes[0] *= np.arange(codes.shape[1])[:, None] < n_q
        found.append((network.dequantize(torch.from_numpy(codes), torch.from_numpy(n_q)).onset.numpy(), n_q, codes))
    (high, _, all_codes), (some, few, codes) = found
    frames = (np.array(bursts[1]) + 588) // HOP
    assert all((high[0, [f - 1, f, f + 1]] > 0).any() for f in frames)
    kept = few[0] > network.config.envelope_codebooks
    np.testing.assert_array_equal(some[0, kept], high[0, kept])
    np.testing.assert_array_equal(codes, all_codes[:, : codes.shape[1]] * (np.arange(codes.shape[1])[:, None] < few))


def shipped() -> Network:
    """The network of the newest model that a checkout carries."""
    return network_of(NEW, loading.verified_tensors(cards.find()))
