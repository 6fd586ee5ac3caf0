"""codec: the straight lines give the same for any cutting, and share codes by demand."""

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tinycodec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rvqfiles import make_header

from rvqcodec.audio import AudioInput
from rvqcodec.codec import DecodeOptions, EncodeOptions, decode_file, encode_file
from rvqcodec.codec.chunker import Chunker, allocate, audible
from rvqcodec.codec.encoding import Encoder, header_of
from rvqcodec.container import Chunk, Writer, allocation
from rvqcodec.container.allocation import MAX_WEIGHT
from rvqcodec.errors import AudioError, BitrateError
from rvqcodec.models import loading

CUTS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(
    ("mid", "side", "heard"),
    [
        (1.0, 1.0, [True, True]),
        (0.1, 1.0, [True, True]),
        (1.0, 0.0, [True, False]),
        (0.0, 1.0, [False, True]),
        (0.0, 0.0, [False, False]),
        (1.0, 1.01e-9, [True, True]),  # more than 80 dB below mid, but louder than -90 dBFS
        (0.09, 0.8e-9, [True, False]),  # below -90 dBFS and 80 dB below mid
        (1e-5, 1e-10, [True, True]),  # a quiet recording: below -90 dBFS, but not beside mid
        (0.9e-10, 1e-5, [True, True]),
    ],
)
def test_which_channels_are_heard(mid: float, side: float, heard: list[bool]) -> None:
    assert audible(np.array([mid, side])).tolist() == heard
    assert audible(np.array([mid])).tolist() == [True], "one alone always is"


def test_chunks_say_what_the_encoder_demands() -> None:
    demand = np.array([[1, 5, 15], [3, 3, 4]], np.uint8)
    header = make_header("mid-side", total_n_q=6)
    both = allocate(header, demand, np.array([True, True]))
    assert (both.total, both.weights, both.demand) == (18, (1, 1), (bytes([1, 5, 15]), bytes([3, 3, 4])))
    alone = allocate(header, demand, np.array([True, False]))
    assert (alone.total, alone.weights, alone.demand) == (18, (1, 0), (bytes([1, 5, 15]), b""))
    silent = allocate(header, demand, np.array([False, False]))
    assert (silent.total, silent.weights) == (0, (0, 0))
    most = allocate(make_header("mid-side", total_n_q=60), demand, np.array([True, False]))
    assert most.total == 3 * 32, "what the live channel can take"


def test_constant_chunks_give_all_frames_the_same() -> None:
    demand = np.array([[1, 5, 15], [3, 3, 4]], np.uint8)
    header = make_header("mid-side", total_n_q=6)
    found = allocate(header, demand, np.array([True, True]), constant=True)
    assert found.demand is None
    assert max(found.weights) == MAX_WEIGHT
    assert 0 < found.weights[1] < found.weights[0]
    counts = allocation.n_q(header.limits, found, 3)
    assert counts.sum() == found.total == 18
    assert (counts == counts[:, :1]).all()
    assert allocate(header, demand, np.array([False, True]), constant=True).weights == (0, MAX_WEIGHT)


class Frames:
    """An encoder whose frames demand and get what their numbers say; as slow as it may be."""

    def __init__(self, channels: int = 2) -> None:
        self.channels, self.samples, self.taken, self.over = channels, 0, 0, False

    @property
    def ready(self) -> int:
        whole, part = divmod(self.samples + (588 if self.over else 0), 1176)
        return whole + (self.over and part > 0) - self.taken

    def push(self, samples: NDArray[np.float32], *, more: bool = False) -> None:
        self.samples += samples.shape[1]

    def flush(self) -> None:
        self.over = True

    def numbers(self, frames: int) -> NDArray[np.integer]:
        return self.taken + np.arange(frames) + 7 * np.arange(self.channels)[:, None]

    def demands(self, frames: int) -> NDArray[np.uint8]:
        return (self.numbers(frames) % 15 + 1).astype(np.uint8)

    def codes(self, n_q: NDArray[np.integer]) -> NDArray[np.uint16]:
        numbers = self.numbers(n_q.shape[1])[:, None] + np.arange(int(n_q.max(initial=0)))[:, None]
        self.taken += n_q.shape[1]
        return np.where(np.arange(numbers.shape[1])[:, None] < n_q[:, None], numbers, 0).astype(np.uint16)


@CUTS
@given(cuts=st.lists(st.integers(0, 30_000), max_size=6))
def test_chunks_do_not_depend_on_the_cutting(stereo: NDArray[np.float32], cuts: list[int]) -> None:
    coded = stereo[:, 40000:70000].copy()
    coded[1, 15_000:25_000] = 0  # so that some chunks have no side
    header = make_header("mid-side", total_n_q=16, frames_per_chunk=5)

    def chunks(edges: list[int]) -> list[Chunk]:
        chunker = Chunker(header, Frames())
        done = []
        for begin, end in zip([0, *edges], [*edges, 30000], strict=True):
            done += list(chunker.push(coded[:, begin:end]))
        return done + list(chunker.flush())

    whole, cut = chunks([]), chunks(sorted(cuts))
    for one, other in zip(whole, cut, strict=True):
        assert (one.start_frame, one.frames, one.allocation) == (other.start_frame, other.frames, other.allocation)
        assert [codes.tolist() for codes in one.codes] == [codes.tolist() for codes in other.codes]
    assert sum(c.frames for c in whole) == -(-(30000 + 588) // 1176)
    assert [c.start_frame for c in whole] == list(range(0, 26, 5))
    assert {c.allocation.weights for c in whole} == {(1, 1), (1, 0)}
    assert all(c.n_q.sum() == c.allocation.total == 16 * c.frames for c in whole)


@pytest.mark.parametrize("constant", [False, True])
def test_fewer_codes_are_the_first_of_more(constant: bool) -> None:
    def chunk(total: int) -> Chunk:
        header = make_header("mid-side", total_n_q=total, frames_per_chunk=5)
        return next(Chunker(header, Frames(), constant=constant).push(np.ones((2, 6000), np.float32)))

    before = chunk(1)
    for total in range(2, 65):
        after = chunk(total)
        assert after.n_q.sum() == 5 * total
        assert (after.n_q >= before.n_q).all()
        assert not constant or (after.n_q == after.n_q[:, :1]).all()
        for few, more, n_q in zip(before.codes, after.codes, before.n_q, strict=True):
            kept = np.arange(len(few))[:, None] < n_q
            assert np.array_equal(few, more[: len(few)] * kept)
        before = after


def test_a_silent_channel_costs_nothing() -> None:
    samples = np.ones((3, 6000), np.float32)
    samples[1] = 0
    for total, each in ((16, 8), (96, 32)):
        header = make_header("discrete", total_n_q=total, frames_per_chunk=5)
        chunk = next(Chunker(header, Frames(3)).push(samples))
        assert chunk.n_q.sum(1).tolist()[1] == 0
        assert chunk.n_q.mean() == each * 2 / 3
        assert chunk.allocation.weights == (1, 0, 1)


@CUTS
@given(cuts=st.lists(st.integers(0, 24_000), max_size=5), rate=st.sampled_from([16000, 44100, 48000]))
def test_encoding_gives_the_same_bytes_for_any_cutting(stereo: NDArray[np.float32], cuts: list[int], rate: int) -> None:
    samples = stereo[:, 30000:54000]
    model = loading.load(None, "cpu")
    head = header_of(model.facts, EncodeOptions(chunk_seconds=0.2), rate, 2, 24000, ())

    def encoded(edges: list[int]) -> bytes:
        file = io.BytesIO()
        writer, encoder = Writer(file, head), Encoder(model, head)
        for begin, end in zip([0, *edges], [*edges, 24000], strict=True):
            for chunk in encoder.push(samples[:, begin:end]):
                writer.write_chunk(chunk)
        for chunk in encoder.flush():
            writer.write_chunk(chunk)
        writer.close(24000)
        return file.getvalue()

    assert encoded(sorted(cuts)) == encoded([])


def test_a_stream_of_unknown_length_ends_where_it_should(stereo: NDArray[np.float32], tmp_path: Path) -> None:
    model = loading.load(None, "cpu")
    for n in (1, 588, 589, 1764, 1765, 5000):
        head = header_of(model.facts, EncodeOptions(), 44100, 2, None, ())
        file = io.BytesIO()
        writer, encoder = Writer(file, head), Encoder(model, head)
        for chunk in [*encoder.push(stereo[:, :n]), *encoder.flush()]:
            writer.write_chunk(chunk)
        writer.close(n)
        file.seek(0)
        report = decode_file(file, tmp_path / "a.wav", DecodeOptions(), force=True)
        assert report.n_samples == n


def test_many_channels_share_all_codes() -> None:
    model = loading.load(None, "cpu")
    head = header_of(model.facts, EncodeOptions(bitrate=6000, plain=True), 44100, 5, None, ())
    assert (head.coding, head.total_n_q) == ("discrete", 16)
    assert header_of(model.facts, EncodeOptions(bitrate=6000), 44100, 5, None, ()).total_n_q == 16 + 4 * 5
    assert header_of(model.facts, EncodeOptions(n_q=11), 44100, 5, None, ()).total_n_q == 11
    with pytest.raises(BitrateError, match="5 to 240"):
        header_of(model.facts, EncodeOptions(n_q=4), 44100, 5, None, ())


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_model_with_fewer_codebooks_than_a_file_may_have(channels: int) -> None:
    """150 bit/s a codebook and 8 of them; asked for more it ended in an AssertionError."""
    model = tinycodec.model()
    with pytest.raises(BitrateError, match=f"to {0.15 * model.facts.capacity(channels):g} kbps for"):
        header_of(model.facts, EncodeOptions(bitrate=6000), 44100, channels, None, ())
    most = model.facts.capacity(channels)
    head = header_of(model.facts, EncodeOptions(bitrate=150 * most), 44100, channels, None, ())
    assert head.total_n_q == most
    encoder = Encoder(model, head)
    samples = tinycodec.sound(20000, channels=channels)
    if channels == 2:
        samples[1] = samples[0] * 0.999  # hardly any side: mid would take all 16
    chunks = [*encoder.push(samples), *encoder.flush()]
    assert all((chunk.n_q[0] == 8).all() for chunk in chunks)
    assert all(chunk.n_q.max() <= 8 for chunk in chunks)


@pytest.fixture
def clip(tmp_path: Path, stereo: NDArray[np.float32], write_wav: Callable[..., Path]) -> Path:
    """Two seconds and a half at 48 kHz: three blocks."""
    return write_wav(tmp_path / "clip.wav", np.tile(stereo, 2)[:, :120000], rate=48000)


@pytest.mark.parametrize("failing", ["reader", "user"])
def test_nothing_is_left_of_a_run_that_ends_early(clip: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    """Neither threads nor files, whether the reader fails or the user interrupts."""
    before, read = threading.active_count(), AudioInput.blocks

    def stop(done: float, total: float | None) -> None:
        raise KeyboardInterrupt("enough")

    def fail(audio: AudioInput, n: int) -> Iterator[NDArray[np.float32]]:
        yield next(read(audio, n))
        raise AudioError("the disk is on fire")

    if failing == "reader":
        monkeypatch.setattr(AudioInput, "blocks", fail)
    error, said = (AudioError, "on fire") if failing == "reader" else (KeyboardInterrupt, "enough")
    with pytest.raises(error, match=said):
        encode_file(clip, clip.with_suffix(".rvq"), EncodeOptions(), progress=stop if failing == "user" else None)
    assert threading.active_count() == before
    assert [path.name for path in clip.parent.iterdir()] == [clip.name]
