"""codec: the straight lines give the same for any cutting, and share codebooks between mid and side by one rule."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rvqcodec import bitrate
from rvqcodec.codec import DecodeOptions, EncodeOptions, decode_file, models
from rvqcodec.codec.chunker import Chunker, balance_of
from rvqcodec.codec.encoding import Encoder, coded_channels, header_of
from rvqcodec.container import Chunk, Header, Writer
from rvqcodec.errors import BitrateError

CUTS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(
    ("mid", "side", "balance"),
    [
        (1.0, 1.0, 0),
        (1.0, 0.1, 10),
        (0.1, 1.0, -10),
        (1.0, 0.0, 127),
        (0.0, 1.0, -128),
        (0.0, 0.0, 127),
        (1.0, 0.99e-8, 80),  # 80 dB below mid, and louder than -90 dBFS
        (0.09, 0.8e-9, 127),  # below -90 dBFS and 80 dB below mid
        (1e-5, 1e-10, 50),  # a quiet recording: below -90 dBFS, but not beside mid
        (1e4, 1.1e-9, 126),
    ],
)
def test_balance(mid: float, side: float, balance: int) -> None:
    assert balance_of(mid, side) == balance


def header(coding: str, channels: int, total: int = 16, frames: int = 5) -> Header:
    return Header(
        sample_rate=44100, channels=channels, coding=coding, model_id="test", weights_hash=bytes(8), model_rate=44100,
        hop=1176, code_bits=10, total_n_q=total, frames_per_chunk=frames, pre_skip=588,
    )  # fmt: skip


@CUTS
@given(cuts=st.lists(st.integers(0, 30_000), max_size=6))
def test_chunks_do_not_depend_on_the_cutting(stereo: NDArray[np.float32], cuts: list[int]) -> None:
    coded = coded_channels(stereo[:, 40000:70000])
    codes = np.zeros((2, 16, -(-(30000 + 588) // 1176)), np.uint16)

    def chunks(edges: list[int]) -> list[Chunk]:
        chunker = Chunker(header("mid-side", 2))
        done = []
        for begin, end in zip([0, *edges], [*edges, 30000], strict=True):
            chunker.push_samples(coded[:, begin:end])
            done += list(chunker.push_codes(codes[:, :, :0]))
        return done + list(chunker.push_codes(codes, last=True))

    whole, cut = chunks([]), chunks(sorted(cuts))
    assert [(c.start_frame, c.frames, c.n_q, c.balance) for c in whole] == [
        (c.start_frame, c.frames, c.n_q, c.balance) for c in cut
    ]
    assert sum(c.frames for c in whole) == codes.shape[2]
    assert all(c.n_q == bitrate.split(16, c.balance) for c in whole)


@CUTS
@given(cuts=st.lists(st.integers(0, 24_000), max_size=5), rate=st.sampled_from([16000, 44100, 48000]))
def test_encoding_gives_the_same_bytes_for_any_cutting(
    stereo: NDArray[np.float32], cuts: list[int], rate: int
) -> None:
    samples = stereo[:, 30000:54000]
    model = models.load(None, "cpu")
    head = header_of(model, EncodeOptions(chunk_seconds=0.2), rate, 2, 24000, ())

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
    model = models.load(None, "cpu")
    for n in (1, 588, 589, 1764, 1765, 5000):
        head = header_of(model, EncodeOptions(), 44100, 2, None, ())
        file = io.BytesIO()
        writer, encoder = Writer(file, head), Encoder(model, head)
        for chunk in [*encoder.push(stereo[:, :n]), *encoder.flush()]:
            writer.write_chunk(chunk)
        writer.close(n)
        file.seek(0)
        report = decode_file(file, tmp_path / "a.wav", DecodeOptions(), force=True)
        assert report.n_samples == n


def test_many_channels_share_equally() -> None:
    model = models.load(None, "cpu")
    head = header_of(model, EncodeOptions(bitrate=6000), 44100, 5, None, ())
    assert (head.coding, head.total_n_q) == ("discrete", 15)
    assert header_of(model, EncodeOptions(n_q=11), 44100, 5, None, ()).total_n_q == 10
    with pytest.raises(BitrateError, match="5 to 160"):
        header_of(model, EncodeOptions(n_q=4), 44100, 5, None, ())


def test_mid_and_side() -> None:
    samples = np.array([[1, 0.5, 0], [0, 0.5, 1]], np.float32)
    assert np.array_equal(coded_channels(samples), np.array([[0.5, 0.5, 0.5], [0.5, 0, -0.5]], np.float32))
    assert np.array_equal(coded_channels(samples, mono=True), np.array([[0.5, 0.5, 0.5]], np.float32))
