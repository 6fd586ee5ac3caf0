"""Streams: causality, streaming equals offline, any cutting gives the same bits, seeking, channels, lengths."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import tinycodec
from cores import use_threads
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rvqcodec.models.rvq44.decoder import StreamDecoder
from rvqcodec.models.rvq44.encoder import GROUP, WINDOW, StreamEncoder
from rvqcodec.models.rvq44.engine import Engine
from rvqcodec.models.rvq44.network.engine import TorchEngine
from rvqcodec.models.rvq44.timing import context, lookahead
from rvqcodec.training.evaluate import reconstruct

HOP, SUB = tinycodec.CONFIG.hop, tinycodec.CONFIG.sub_frame
CHUNK = 40  # frames whose codes are taken together
LONG = 3 * WINDOW * HOP + 1234  # three windows and a part of one
LENGTHS = [0, 1, SUB - 1, SUB, SUB + 1, HOP - 1, HOP, HOP + 1, 2 * HOP - SUB, WINDOW * HOP - SUB, WINDOW * HOP, LONG]

Samples = NDArray[np.float32]
Codes = NDArray[np.uint16]


def encode(samples: Samples, n_q: int = 8, cuts: Sequence[int] = (), engine: Engine | None = None) -> Codes:
    """All codes of a recording that is pushed in the pieces between `cuts`, and taken CHUNK frames at a time."""
    encoder = StreamEncoder(engine or tinycodec.engine(), len(samples))
    taken = [np.zeros((len(samples), n_q, 0), np.uint16)]
    for piece in np.split(samples, sorted(cuts), 1):
        encoder.push(piece)
        taken += take(encoder, n_q)
    encoder.flush()
    return np.concatenate([*taken, *take(encoder, n_q, least=1)], 2)


def take(encoder: StreamEncoder, n_q: int, least: int = CHUNK) -> list[Codes]:
    """The codes of chunks of at least so many frames that are ready."""
    taken = []
    while encoder.ready >= least:
        taken.append(encoder.codes(np.full((encoder.channels, min(CHUNK, encoder.ready)), n_q)))
    return taken


def decode(codes: Codes, n_q: Sequence[int] | None = None, cuts: Sequence[int] = (), start: int = 0) -> Samples:
    """All raw samples of codes [C, K, T] that are pushed in the pieces between `cuts`."""
    decoder = StreamDecoder(tinycodec.engine(), len(codes), start_frame=start)
    wanted = [codes.shape[1]] * len(codes) if n_q is None else list(n_q)
    out = [decoder.push(piece, wanted) for piece in np.split(codes, sorted(cuts), 2)]
    return np.concatenate([*out, decoder.flush()], 1)


@pytest.fixture(scope="module")
def long_sound() -> Samples:
    return tinycodec.sound(LONG, channels=2)


@pytest.fixture(scope="module")
def long_codes(long_sound: Samples) -> Codes:
    return encode(long_sound)


@pytest.fixture(scope="module")
def long_decoded(long_codes: Codes) -> Samples:
    return decode(long_codes)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_windows_together_give_the_same_bits(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for more windows changes nothing, on any number of threads, nor does when the waiting ends."""
    samples = tinycodec.sound(18 * WINDOW * HOP + 99, channels=2)
    whole = encode(samples)
    with use_threads(count, monkeypatch):
        encoder, decoder = StreamEncoder(tinycodec.engine(), 2), StreamDecoder(tinycodec.engine(), 2)
        taken = []
        for i, piece in enumerate(np.split(samples, range(20_000, samples.shape[1], 20_000), 1)):
            encoder.push(piece, more=i != 7)
            taken += take(encoder, 8)
        encoder.flush()
        codes = np.concatenate([*taken, *take(encoder, 8, least=1)], 2)
        parts = np.split(codes, range(50, codes.shape[2], 50), 2)
        sound = np.concatenate([*(decoder.push(p, 8, more=i != 3) for i, p in enumerate(parts)), decoder.flush()], 1)
    assert np.array_equal(codes, whole)
    assert np.array_equal(sound, decode(codes))


def test_windows_in_one_give_the_same_sound_but_for_rounding() -> None:
    """As on CUDA."""
    samples = tinycodec.sound(20 * WINDOW * HOP + 99, channels=2)
    codes = encode(samples)
    sound = decode(codes)
    engine = TorchEngine(tinycodec.shared())
    engine.windows_in_one = GROUP
    encoder, decoder = StreamEncoder(engine, 2), StreamDecoder(engine, 2)
    encoder.push(samples, more=True)
    encoder.flush()
    other = np.concatenate(take(encoder, 8, least=1), 2)
    assert np.mean(other == codes) > 0.997, "a code that tips changes those after it"
    again = np.concatenate([decoder.push(codes, 8, more=True), decoder.flush()], 1)
    np.testing.assert_allclose(again, sound, atol=1e-5)


@pytest.mark.parametrize("n", LENGTHS)
def test_length_of_codes_and_samples(n: int) -> None:
    codes = encode(tinycodec.sound(n))
    frames = -(-(n + SUB) // HOP) if n else 0
    assert codes.shape == (1, 8, frames)
    assert codes.dtype == np.uint16
    decoded = decode(codes)
    assert decoded.shape == (1, frames * HOP)
    assert decoded.dtype == np.float32
    assert frames * HOP >= n + (SUB if n else 0)
    assert frames * HOP < n + SUB + HOP


def test_the_sound_uses_its_codebooks(long_codes: Codes, long_decoded: Samples) -> None:
    """Or the tests below would compare constants."""
    for k in range(8):
        assert len(np.unique(long_codes[:, k])) > 4
    assert np.isfinite(long_decoded).all()
    assert long_decoded.std() > 1e-3


@pytest.mark.parametrize("n", [1, SUB + 1, 30 * HOP, LONG])
@pytest.mark.parametrize("n_q", [3, 8])
def test_streaming_equals_offline(n: int, n_q: int) -> None:
    samples = tinycodec.sound(n, seed=3)
    streamed = decode(encode(samples, n_q))[0, SUB : SUB + n]
    offline = tinycodec.offline(tinycodec.shared(), samples[0], n_q)
    differ = np.abs(streamed - offline) > 1e-4
    assert differ.mean() < 0.1  # a sum in another order may tip a choice between two entries, for some frames
    assert not differ.any() or n == LONG


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, LONG), max_size=8))
def test_any_cutting_gives_the_same_codes(cuts: list[int], long_sound: Samples, long_codes: Codes) -> None:
    np.testing.assert_array_equal(encode(long_sound, cuts=cuts), long_codes)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 3 * WINDOW + 2), max_size=8))
def test_any_cutting_gives_the_same_samples(cuts: list[int], long_codes: Codes, long_decoded: Samples) -> None:
    np.testing.assert_array_equal(decode(long_codes, cuts=cuts), long_decoded)


def test_pushing_nothing_changes_nothing() -> None:
    encoder = StreamEncoder(tinycodec.engine(), 1)
    encoder.push(np.zeros((1, 0), np.float32))
    encoder.flush()
    assert encoder.ready == 0
    decoder = StreamDecoder(tinycodec.engine(), 2)
    assert decoder.push(np.zeros((2, 8, 0), np.uint16), 8).shape == (2, 0)
    assert decoder.flush().shape == (2, 0)


@pytest.mark.parametrize("at", [30 * HOP + 5, 40 * HOP - 1, 41 * HOP + SUB, 50 * HOP + SUB + 1])
def test_causality(at: int) -> None:
    """What comes after sample t + lookahead never changes decoded sample t."""
    before = tinycodec.sound(80 * HOP, seed=1)
    after = before.copy()
    after[:, at:] = 1000 * tinycodec.sound(80 * HOP, seed=2)[:, at:]
    decoded = [decode(encode(x))[:, SUB:] for x in (before, after)]
    first = int(np.flatnonzero(decoded[0][0] != decoded[1][0])[0])
    assert at - lookahead(tinycodec.CONFIG) < first < at


@pytest.mark.parametrize(("blocks", "sub_frames"), [(8, 11), (2, 5), (0, 3)])
def test_lookahead_counts_blocks_frames_and_windows(blocks: int, sub_frames: int) -> None:
    """Worked out by hand: a change in sub-frame i moves codes of frames that end before it, and so on."""
    assert lookahead(dataclasses.replace(tinycodec.CONFIG, decoder_blocks=blocks)) == sub_frames * SUB


def test_figures_hear_what_a_file_gives() -> None:
    samples = tinycodec.sound(20 * HOP, seed=3)
    heard = decode(encode(samples))[0, SUB : SUB + 20 * HOP]
    np.testing.assert_array_equal(reconstruct(tinycodec.model(), samples[0], 8), heard)


@pytest.mark.parametrize("frame", [WINDOW, 2 * WINDOW, 2 * WINDOW + 7, 45, 90])
def test_seeking_gives_the_same_samples(frame: int, long_codes: Codes, long_decoded: Samples) -> None:
    before = context(tinycodec.CONFIG)
    start = frame - before
    found = decode(long_codes[..., start:], start=start)[:, before * HOP :]
    np.testing.assert_allclose(found, long_decoded[:, frame * HOP :], atol=1e-6)


def test_context_is_needed(long_codes: Codes, long_decoded: Samples) -> None:
    """With two frames less the sound differs: the test above sees a wrong context."""
    before = context(tinycodec.CONFIG) - 2
    start = 45 - before
    found = decode(long_codes[..., start:], start=start)[:, before * HOP :]
    assert np.abs(found - long_decoded[:, 45 * HOP :]).max() > 1e-4


def test_channels_side_by_side_are_channels_alone(long_sound: Samples, long_codes: Codes) -> None:
    for channel in range(2):
        alone = encode(long_sound[channel : channel + 1])
        assert np.mean(alone[0] != long_codes[channel]) < 0.002


def test_decoded_channels_do_not_mix(long_codes: Codes, long_decoded: Samples) -> None:
    np.testing.assert_allclose(decode(long_codes[:1])[0], long_decoded[0], atol=1e-6)
    swapped = long_codes.copy()
    swapped[1] = long_codes[0]
    np.testing.assert_allclose(decode(swapped)[0], long_decoded[0], atol=1e-6)


def test_noise_differs_between_channels(long_codes: Codes) -> None:
    """The same noise in mid and side would put it into one corner."""
    both = np.repeat(long_codes[:1], 2, 0)
    decoded = decode(both)
    assert np.abs(decoded[0] - decoded[1]).max() > 1e-4


@pytest.mark.parametrize("n_q", range(9))
def test_fewer_codebooks_are_the_first_rows(n_q: int, long_sound: Samples, long_codes: Codes) -> None:
    few = encode(long_sound[:, : 40 * HOP], n_q)
    all_of_them = encode(long_sound[:, : 40 * HOP])
    assert few.shape[1] == n_q
    np.testing.assert_array_equal(few, all_of_them[:, :n_q])


def test_rows_beyond_n_q_do_not_matter(long_codes: Codes) -> None:
    codes = long_codes[..., :40]
    other = codes.copy()
    other[0, 5:], other[1, 3:] = 7, 9
    np.testing.assert_array_equal(decode(codes, [5, 3]), decode(other, [5, 3]))


def test_no_codebooks_is_silence(long_codes: Codes) -> None:
    codes = long_codes[..., :40]
    assert not decode(codes, [0, 0]).any()
    decoded = decode(codes, [8, 0])
    assert decoded[0].any()
    assert not decoded[1].any()
    assert not decode(codes[:, :0], [0, 0]).any()


def test_n_q_may_change_at_any_frame(long_codes: Codes) -> None:
    """Silence sets in where n_q falls to 0, but for the overlap of one window."""
    decoder = StreamDecoder(tinycodec.engine(), 2)
    out = [decoder.push(long_codes[..., :37], [8, 4]), decoder.push(long_codes[..., 37:60], [0, 8]), decoder.flush()]
    decoded = np.concatenate(out, 1)
    assert decoded[:, : 36 * HOP].any(1).all()
    assert not decoded[0, 37 * HOP + SUB :].any()
    assert decoded[1, 37 * HOP + SUB :].any()


def test_n_q_may_differ_from_frame_to_frame(long_codes: Codes) -> None:
    """One number a channel and frame says the same as pushes of their own."""
    n_q = np.random.default_rng(5).integers(0, 9, (2, 60))
    codes = long_codes[..., :60]
    alone, together = StreamDecoder(tinycodec.engine(), 2), StreamDecoder(tinycodec.engine(), 2)
    parts = [alone.push(codes[..., t : t + 1], n_q[:, t]) for t in range(60)]
    at_once = [together.push(codes[..., :23], n_q[:, :23]), together.push(codes[..., 23:], n_q[:, 23:])]
    np.testing.assert_array_equal(
        np.concatenate([*at_once, together.flush()], 1), np.concatenate([*parts, alone.flush()], 1)
    )


def test_a_long_push_holds_no_more_than_a_window(long_sound: Samples, long_codes: Codes) -> None:
    """Codes appear as soon as a window is full, and what is held back does not grow."""
    encoder, decoder = StreamEncoder(tinycodec.engine(), 2), StreamDecoder(tinycodec.engine(), 2)
    made = 0
    for piece in np.split(long_sound, range(500, LONG, 500), 1):
        encoder.push(piece)
        made += sum(codes.shape[2] for codes in take(encoder, 8, least=1))
        assert encoder.ready == 0
    assert made * HOP > LONG - 2 * WINDOW * HOP
    heard = sum(decoder.push(long_codes[..., i : i + 1], 8).shape[1] for i in range(long_codes.shape[2]))
    assert heard > (long_codes.shape[2] - 2 * WINDOW) * HOP


def test_wrong_shapes_are_refused(long_codes: Codes) -> None:
    with pytest.raises(ValueError, match="expected \\[1, n\\]"):
        StreamEncoder(tinycodec.engine(), 1).push(np.zeros((2, 10), np.float32))
    decoder = StreamDecoder(tinycodec.engine(), 2)
    with pytest.raises(ValueError, match="expected \\[2, K, T\\]"):
        decoder.push(long_codes[:1], 8)
    with pytest.raises(ValueError, match="rows"):
        decoder.push(long_codes[:, :3], [4, 3])
    with pytest.raises(ValueError, match="codes are below 16"):
        decoder.push(long_codes + np.uint16(16), 8)
