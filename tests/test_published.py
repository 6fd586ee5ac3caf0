"""Published checkpoints as streams: codes and sound are those of transformers in one pass, whatever the cutting.

The networks have random weights (`checkpoints`); needs transformers.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("transformers", reason="needs the extra [families]")

import checkpoints
from checkpoints import CODED, noise

from rvqcodec.models import adding, loading
from rvqcodec.models.published.stream import Published

Codes = NDArray[np.uint16]
TOLERANCE = 1e-4  # of sound, of its peak where that is over full scale
DIFFERING = 1e-5  # of codes, where rounding decides between two entries that are equally near
SECONDS = 5


class Pair:
    """A model of transformers and ours of the same folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.theirs = name, checkpoints.make(name, folder / name)
        model = loading.open_card(adding.add(folder / name))
        assert isinstance(model, Published)
        self.ours, self.facts = model, model.facts

    def codes(self, samples: NDArray[np.float32], sizes: tuple[int, ...], n_q: int | None = None) -> Codes:
        """All codes [C, K, T] of samples [C, n] pushed in pieces of such sizes, in turn, and fetched frame by frame."""
        encoder = self.ours.encoder(len(samples))
        for begin, end in spans(samples.shape[1], sizes):
            encoder.push(samples[:, begin:end])
        encoder.flush()
        found = [np.zeros((len(samples), n_q or self.facts.max_n_q, 0), np.uint16)]
        while encoder.ready:
            n = min(encoder.ready, sizes[0] % 5 + 1)
            found.append(encoder.codes(np.full((len(samples), n), n_q or self.facts.max_n_q)))
        return np.concatenate(found, 2)

    def sound(self, codes: Codes, sizes: tuple[int, ...], n_q: Any, *, start: int = 0) -> NDArray[np.float32]:
        """The sound [C, n] of codes [C, K, T] pushed in pieces; n_q: one number, or [C, T]."""
        decoder = self.ours.decoder(len(codes), start_frame=start)
        counts = np.broadcast_to(n_q, (len(codes), codes.shape[2]))
        pieces = [decoder.push(codes[:, :, a:b], counts[:, a:b]) for a, b in spans(codes.shape[2], sizes)]
        return np.concatenate([*pieces, decoder.flush()], 1)


def spans(n: int, sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    at = turn = 0
    while at < n:
        end = min(n, at + sizes[turn % len(sizes)])
        yield at, end
        at, turn = end, turn + 1


def close(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    assert np.abs(ours - theirs).max(initial=0) <= TOLERANCE * max(1, np.abs(theirs).max(initial=0))


def assert_alike(pair: Pair, ours: Codes, samples: NDArray[np.float32]) -> None:
    """Codes [K, T] of one channel are those of one pass, but where the rounding of floats decides."""
    theirs = checkpoints.codes_of(pair.theirs, samples)
    assert ours.shape == theirs.shape
    other = ours != theirs
    assert np.mean(other) <= DIFFERING
    if other.any():
        undecided = checkpoints.rounding(
            pair.theirs, lambda latents: pair.ours.network.quantize(latents, pair.facts.max_n_q), samples
        )
        assert not (other.any(0) & ~undecided).any()


@pytest.fixture(scope="module", params=CODED)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RVQ_MODELS", str(folder / "models"))
        yield Pair(request.param, folder)


@pytest.fixture(scope="module")
def long(pair: Pair) -> tuple[NDArray[np.float32], Codes]:
    """Some seconds, not whole frames, and their codes in one pass: [1, n], [1, K, T]."""
    samples = noise(SECONDS * pair.facts.model_rate + 77)
    return samples, checkpoints.codes_of(pair.theirs, samples[0])[None].astype(np.uint16)


def test_codes_are_those_of_one_pass_and_no_cutting_matters(
    pair: Pair, long: tuple[NDArray[np.float32], Codes]
) -> None:
    samples, theirs = long
    assert min(len(np.unique(row)) for row in theirs[0]) > 20, "codes that hardly move would prove nothing"
    hop = pair.facts.hop
    found = [pair.codes(samples, sizes) for sizes in ((samples.shape[1],), (hop,), (7 * hop,), (9973, 1, 331))]
    for codes in found:
        np.testing.assert_array_equal(codes, found[0])
    assert found[0].shape == theirs.shape
    assert_alike(pair, found[0][0], samples[0])


def test_every_length(pair: Pair) -> None:
    hop, rate = pair.facts.hop, pair.facts.model_rate
    assert pair.codes(np.zeros((1, 0), np.float32), (1,)).shape[2] == 0
    for n in (1, hop - 1, hop, hop + 1, rate + 1, rate // 2 * 3 - 1):
        samples = noise(n, seed=n)
        codes = pair.codes(samples, (n,))
        assert codes.shape[2] == -(-n // hop)
        assert_alike(pair, codes[0], samples[0])
        sound = pair.sound(codes, (3, 1), pair.facts.max_n_q)
        assert sound.shape == (1, codes.shape[2] * hop)
        theirs = checkpoints.sound_of(pair.theirs, codes[0].astype(np.int64))
        close(sound[0, : len(theirs)], theirs)


def test_sound_is_that_of_one_pass_at_every_seam(pair: Pair, long: tuple[NDArray[np.float32], Codes]) -> None:
    codes = long[1]
    theirs = checkpoints.sound_of(pair.theirs, codes[0].astype(np.int64))
    whole = pair.sound(codes, (codes.shape[2],), pair.facts.max_n_q)
    lost = whole.shape[1] - len(theirs)
    assert 0 <= lost <= 8, "DAC at 16 and 24 kHz ends 8 samples early"
    close(whole[0, : len(theirs)], theirs)
    np.testing.assert_array_equal(whole[0, len(theirs) :], np.zeros(lost))
    for sizes in ((1,), (7,), (13, 1, 40)):
        np.testing.assert_array_equal(pair.sound(codes, sizes, pair.facts.max_n_q), whole)


def test_fewer_codebooks_are_the_first_ones(pair: Pair, long: tuple[NDArray[np.float32], Codes]) -> None:
    samples, theirs = long
    assert np.mean(pair.codes(samples, (5000,), 2) != theirs[:, :2]) <= DIFFERING
    for n_q in (1, 3):
        expected = checkpoints.sound_of(pair.theirs, theirs[0, :n_q].astype(np.int64))
        close(pair.sound(theirs, (11,), n_q)[0, : len(expected)], expected)


def test_channels_are_coded_by_themselves(pair: Pair) -> None:
    assert not pair.facts.pairs
    samples = noise(pair.facts.model_rate + 9, 3, seed=5)
    codes = pair.codes(samples, (4000,))
    for own, row in zip(codes, samples, strict=True):
        assert_alike(pair, own, row)
    sound = pair.sound(codes, (9,), pair.facts.max_n_q)
    for own, row in zip(sound, codes, strict=True):
        expected = checkpoints.sound_of(pair.theirs, row.astype(np.int64))
        close(own[: len(expected)], expected)


def test_frames_without_codes_are_silent(pair: Pair, long: tuple[NDArray[np.float32], Codes]) -> None:
    codes, hop = long[1][:, :, :40], pair.facts.hop
    counts = np.full((1, 40), 3)
    counts[:, 10:25] = 0
    sound = pair.sound(codes, (6,), counts)
    assert not sound[:, 10 * hop : 25 * hop].any()
    assert np.abs(sound[:, : 10 * hop]).max() > 0
    assert np.abs(sound[:, 25 * hop :]).max() > 0
    assert pair.sound(codes[:, :0], (6,), 0).shape == (1, 40 * hop)


def test_codes_that_the_model_has_not(pair: Pair) -> None:
    facts = pair.facts
    decoder = pair.ours.decoder(1)
    if facts.code_bits < 16:
        with pytest.raises(ValueError, match=f"is over {(1 << facts.code_bits) - 1}"):
            decoder.push(np.full((1, 1, 2), 1 << facts.code_bits, np.uint16), 1)
    with pytest.raises(ValueError, match="codebooks of"):
        decoder.push(np.zeros((1, facts.max_n_q + 1, 2), np.uint16), facts.max_n_q + 1)
    with pytest.raises(ValueError, match="2 channels, not 1"):
        decoder.push(np.zeros((2, 1, 2), np.uint16), 1)


def test_decoding_may_begin_in_the_middle(pair: Pair, long: tuple[NDArray[np.float32], Codes]) -> None:
    """`context` frames earlier; an LSTM remembers everything, so that its model has to begin at the start."""
    codes, hop, context = long[1], pair.facts.hop, pair.ours.context
    if pair.name.startswith("encodec"):
        assert context > 1 << 32
        return
    begin = codes.shape[2] // 2
    assert context < begin
    whole = pair.sound(codes, (50,), 4)
    part = pair.sound(codes[:, :, begin - context :], (50,), 4, start=begin - context)
    close(part[0, context * hop :], whole[0, begin * hop :])


def held(thing: Any, seen: set[int] | None = None) -> int:
    """Bytes of all arrays and tensors that a stream holds, but for the weights."""
    import torch

    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, torch.nn.Module):
        return 0
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        return thing.untyped_storage().nbytes()
    if isinstance(thing, np.ndarray):
        return thing.nbytes if thing.base is None else thing.base.nbytes  # type: ignore[union-attr]
    below = thing if isinstance(thing, (list, tuple)) else vars(thing).values() if hasattr(thing, "__dict__") else ()
    return sum(held(item, seen) for item in below)


def test_what_a_stream_holds_does_not_grow(pair: Pair, long: tuple[NDArray[np.float32], Codes]) -> None:
    samples, codes = long
    encoder, decoder = pair.ours.encoder(1), pair.ours.decoder(1)
    sizes: list[tuple[int, int]] = []
    for begin, end in spans(samples.shape[1], (pair.ours.block * pair.facts.hop,)):
        encoder.push(samples[:, begin:end])
        encoder.codes(np.full((1, encoder.ready), 2))
        sizes.append((held(encoder), 0))
    for i, (begin, end) in enumerate(spans(codes.shape[2], (pair.ours.block,))):
        decoder.push(codes[:, :, begin:end], 2)
        if i < len(sizes):
            sizes[i] = (sizes[i][0], held(decoder))
    early, late = np.array(sizes[4:6]), np.array(sizes[-4:-2])
    assert (early > 0).all()
    assert (late <= early.max(0) * 1.02).all()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_ten_minutes_take_no_more_memory_than_ten_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the process, sampled at every block; with the narrowest network, as it is about what is kept."""
    monkeypatch.setenv("RVQ_MODELS", str(tmp_path / "models"))
    narrow = {"num_filters": 2, "hidden_size": 4, "codebook_dim": 4, "sampling_rate": 8000, "target_bandwidths": [0.5]}
    checkpoints.make("encodec-24khz", tmp_path / "narrow", **narrow)
    model = loading.open_card(adding.add(tmp_path / "narrow"))
    second = noise(model.facts.model_rate)

    def peak(seconds: int) -> int:
        encoder, decoder, most = model.encoder(1), model.decoder(1), 0
        for _ in range(seconds):
            encoder.push(second)
            decoder.push(encoder.codes(np.full((1, encoder.ready), 2)), 2)
            most = max(most, int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        return most

    assert peak(600) - peak(10) < 20e6
