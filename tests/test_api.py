"""The Python interface: the same codes alone, in batches, in pieces and from files; numpy and torch; lazy imports."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import rvqcodec
from rvqcodec.codec import EncodeOptions, encode_file
from rvqcodec.codes import filling
from rvqcodec.codes.grid import Codes
from rvqcodec.container import Reader, Writer

RATE = 44100


@pytest.fixture(scope="module")
def codec() -> rvqcodec.AudioCodec:
    return rvqcodec.load()


@pytest.fixture(scope="module")
def mono(stereo: NDArray[np.float32]) -> NDArray[np.float32]:
    return stereo.mean(0)


@pytest.fixture(scope="module")
def codes(codec: rvqcodec.AudioCodec, stereo: NDArray[np.float32]) -> Codes:
    return codec.encode(stereo, RATE, bitrate="6kbps")


@pytest.fixture(scope="module")
def decoded(codec: rvqcodec.AudioCodec, codes: Codes) -> NDArray[np.float32]:
    return codec.decode(codes)


def test_import_is_light_and_lazy() -> None:
    code = (
        "import sys, rvqcodec; assert not {'torch', 'numpy', 'soundfile', 'soxr'} & set(sys.modules)\n"
        "rvqcodec.tokens, rvqcodec.ResidualQuantizer, rvqcodec.Codes, rvqcodec.FormatError\n"
        "assert not {'torch', 'soundfile', 'soxr'} & set(sys.modules)\n"
        "assert set(rvqcodec.__all__) <= set(dir(rvqcodec))\n"
        "try: rvqcodec.nothing\n"
        "except AttributeError as e: assert 'nothing' in str(e)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_is_there() -> None:
    for name in rvqcodec.__all__:
        assert getattr(rvqcodec, name) is not None
    assert (Path(rvqcodec.__file__).parent / "py.typed").exists()


def test_round_trip_has_the_shape_of_the_input(
    codec: rvqcodec.AudioCodec, stereo: NDArray[np.float32], codes: Codes, decoded: NDArray[np.float32]
) -> None:
    assert (codec.sample_rate, codec.frame_rate, codec.max_n_q) == (44100, 37.5, 48)
    assert codes.codes.dtype == np.uint16
    assert codes.codes.shape[0::2] == (2, -(-(stereo.shape[1] + 588) // 1176))
    assert (codes.header.budget, codes.header.total_n_q) == (6000, 24)
    n_q = [plan.allocation.total / plan.frames for plan in codes.plans]
    assert 16 < min(n_q) <= max(n_q) < 24, "coded codes leave room for more than the 16 of packed ones"
    assert decoded.shape == stereo.shape
    assert decoded.dtype == np.float32
    # it is this recording and no other: what is left of it is well below the recording itself
    assert np.sum((decoded - stereo) ** 2) < 0.7 * np.sum(stereo**2)


def test_same_codes_as_the_command_line(
    codec: rvqcodec.AudioCodec, stereo: NDArray[np.float32], codes: Codes, tmp_path: Path
) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", stereo.T, RATE, subtype="FLOAT")
    encode_file(tmp_path / "a.wav", tmp_path / "a.rvq", EncodeOptions(device="cpu"))
    saved = tmp_path / "b.rvq"
    codes.save(saved)
    assert saved.read_bytes() == (tmp_path / "a.rvq").read_bytes()
    with pytest.raises(FileExistsError):
        codes.save(saved)
    codes.save(saved, force=True)


def test_a_batch_gives_what_single_recordings_give(codec: rvqcodec.AudioCodec, mono: NDArray[np.float32]) -> None:
    batch = [mono[:30000], mono[20000:20001], mono[:0], mono[5000:90000]]
    together = codec.encode(batch, RATE, n_q=4)
    alone = [codec.encode(one, RATE, n_q=4) for one in batch]
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one.codes, other.codes)
    sounds = codec.decode(together)
    for sound, other, wav in zip(sounds, alone, batch, strict=True):
        assert sound.shape == (1, len(wav))
        assert np.array_equal(sound, codec.decode(other))
    assert codec.encode([], RATE) == codec.decode([]) == []
    with pytest.raises(rvqcodec.AudioError, match=r"\[2, 1, 9\]"):
        codec.encode(np.zeros((2, 1, 9)), RATE)


def test_torch_in_and_out(codec: rvqcodec.AudioCodec, mono: NDArray[np.float32]) -> None:
    wav = torch.from_numpy(mono[:40000])
    codes = codec.encode(wav, RATE, n_q=3)
    assert np.array_equal(codes.codes, codec.encode(mono[:40000].astype(np.float64), RATE, n_q=3).codes)
    sound = codec.decode(codes, as_torch=True)
    assert isinstance(sound, torch.Tensor)
    assert np.array_equal(sound.numpy(), codec.decode(codes))
    from_codes = codec.decode(codes.to_torch()[0])
    assert isinstance(from_codes, torch.Tensor)
    assert from_codes.shape == (1, codes.frames * 1176 - 588)
    assert torch.equal(from_codes[:, :30000], sound[:, :30000])


def test_codes_from_elsewhere(codec: rvqcodec.AudioCodec) -> None:
    made = codec.codes(np.random.default_rng(0).integers(0, 1024, (2, 5, 40)), sample_rate=48000, n_samples=50000)
    assert (made.header.coding, made.header.total_n_q) == ("mid-side", 10)
    assert codec.decode(made).shape == (2, 50000)
    with pytest.raises(rvqcodec.FormatError, match=r"integers \[C, K, T\]"):
        codec.decode(np.zeros((2, 5)))


@pytest.mark.parametrize("rate", [44100, 16000])
def test_pieces_give_what_the_whole_gives(codec: rvqcodec.AudioCodec, stereo: NDArray[np.float32], rate: int) -> None:
    n = 70001
    encoder = codec.encoder(rate, 2, n_q=6)
    chunks, rng = [], np.random.default_rng(0)
    for piece in np.split(stereo[:, :n], np.sort(rng.integers(0, n, 20)), axis=1):
        chunks += encoder.push(piece)
    chunks += encoder.flush()
    assert encoder.samples == n
    whole = codec.encode(stereo[:, :n], rate, n_q=6)
    assert np.array_equal(Codes.from_chunks(whole.header, chunks).codes, whole.codes)


@pytest.mark.parametrize("rate", [44100, 16000])
def test_chunks_one_by_one_give_what_the_file_gives(
    codec: rvqcodec.AudioCodec, stereo: NDArray[np.float32], rate: int
) -> None:
    n = 100001
    encoder = codec.encoder(rate, 2, n_q=6, chunk_seconds=0.5)
    file = io.BytesIO()
    writer = Writer(file, encoder.header)
    decoder = codec.decoder(encoder.header)
    parts = []
    for chunk in [*encoder.push(stereo[:, :n]), *encoder.flush()]:
        writer.write_chunk(chunk)
        parts.append(decoder.push(chunk))
    writer.close(n)
    parts.append(decoder.flush(n))
    assert np.array_equal(np.concatenate(parts, axis=1), codec.decode(Codes.read(io.BytesIO(file.getvalue()))))
    assert sum(part.shape[1] for part in parts) == n
    assert sum(part.shape[1] > 0 for part in parts) > 1


@pytest.mark.parametrize("n", [0, 1, 588, 589, 1176])
@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_every_length_comes_back(codec: rvqcodec.AudioCodec, n: int, rate: int) -> None:
    codes = codec.encode(np.zeros(n), rate, n_q=1)
    assert codec.decode(codes).shape == (1, n)
    decoder = codec.decoder(codes.header)
    parts = [decoder.push(chunk) for chunk in codes.chunks()]
    assert np.concatenate([*parts, decoder.flush()], axis=1).shape == (1, n)


def test_a_recording_opens_lazily(
    codec: rvqcodec.AudioCodec, codes: Codes, decoded: NDArray[np.float32], tmp_path: Path
) -> None:
    path = tmp_path / "a.rvq"
    codes.save(path)
    recording = rvqcodec.open(path)
    assert (recording.sample_rate, recording.channels) == (RATE, 2)
    assert recording.duration == decoded.shape[1] / RATE
    assert recording.header.model_id == codec.model_id
    assert "codes" not in vars(recording)
    assert np.array_equal(recording.decode(), decoded)
    part = recording.decode(start=1.0, duration=0.5)
    assert part.shape == (2, RATE // 2)
    assert np.allclose(part, decoded[:, RATE : RATE + RATE // 2], atol=1e-5)
    assert recording.decode(0.5, 0.25, rate=8000, as_torch=True).shape == (2, 2000)
    assert np.array_equal(recording.codes.codes, codes.codes)
    for start, duration in [(99.0, None), (-1.0, None), (0.0, -1.0), (float("nan"), None)]:
        with pytest.raises(rvqcodec.AudioError, match="start"):
            recording.decode(start, duration)
    streamed = tmp_path / "streamed.rvq"
    with streamed.open("wb") as file:
        encoder = codec.encoder(8000, n_q=1)
        writer = Writer(file, encoder.header)
        for chunk in [*encoder.push(np.zeros(8000)), *encoder.flush()]:
            writer.write_chunk(chunk)
        writer.close(8000)
    assert rvqcodec.open(streamed).header.n_samples is None
    assert rvqcodec.open(streamed).duration == 1.0


def test_fewer_codebooks(codec: rvqcodec.AudioCodec, stereo: NDArray[np.float32], codes: Codes) -> None:
    lower = codec.encode(stereo, RATE, n_q=4)
    assert np.array_equal(codec.decode(codes, n_q=4), codec.decode(lower))


def test_codes_of_another_model_are_refused(codec: rvqcodec.AudioCodec, codes: Codes, tmp_path: Path) -> None:
    import dataclasses

    header = filling.plain(codes.header)
    other = dataclasses.replace(codes, header=dataclasses.replace(header, weights_hash=bytes(8)))
    with pytest.raises(rvqcodec.WeightsError, match=f"weights {'00' * 8}"):
        codec.decode(other)
    with pytest.raises(rvqcodec.WeightsError, match=codec.model_id):
        codec.decoder(dataclasses.replace(codes.header, model_id="another"))
    other.save(tmp_path / "a.rvq")
    with pytest.raises(rvqcodec.WeightsError):
        rvqcodec.open(tmp_path / "a.rvq").decode()
    with pytest.raises(rvqcodec.WeightsError, match="no-such"):
        rvqcodec.load("no-such")


def test_mistakes_are_named(codec: rvqcodec.AudioCodec) -> None:
    wav = np.zeros((1, 100), np.float32)
    for bad, message in [
        (np.zeros((100, 2)), "channels come first"),
        (np.zeros(100, np.int16), "must be floats"),
        (np.array([[np.nan]]), "NaN"),
        (np.zeros((9, 100)), "9 channels"),
    ]:
        with pytest.raises(rvqcodec.AudioError, match=message):
            codec.encode(bad, RATE)
    with pytest.raises(rvqcodec.AudioError, match="4000 Hz"):
        codec.encode(wav, 4000)
    with pytest.raises(rvqcodec.BitrateError):
        codec.encode(wav, RATE, bitrate="60kbps")
    with pytest.raises(rvqcodec.BitrateError):
        codec.encode(wav, RATE, n_q=49)
    with pytest.raises(rvqcodec.AudioError, match="2 channels; this encoder was made for 1"):
        codec.encoder(RATE).push(np.zeros((2, 5)))


def test_decoder_wants_chunks_in_order(codec: rvqcodec.AudioCodec, codes: Codes) -> None:
    first, *later = codes.chunks()
    decoder = codec.decoder(codes.header)
    decoder.push(first)
    with pytest.raises(rvqcodec.FormatError, match=f"frame {0}, not {first.frames}"):
        decoder.push(first)
    with pytest.raises(rvqcodec.FormatError, match="do not go with"):
        decoder.flush(10**6)
    assert not later or later[0].start_frame == first.frames


def test_reader_reads_what_save_wrote(codes: Codes, tmp_path: Path) -> None:
    codes.save(tmp_path / "a.rvq")
    with (tmp_path / "a.rvq").open("rb") as file:
        reader = Reader(file)
        assert sum(chunk.frames for chunk in reader) == codes.frames
