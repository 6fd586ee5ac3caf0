"""WAV heads: every size that programs write, odd chunks, tags, refusals; what we write, libsndfile reads."""

import io
import struct

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from rvqcodec.audio import AudioInput, open_input
from rvqcodec.audio.heads import CodingError
from rvqcodec.audio.samples import WIDTH, decode, encode, quantize
from rvqcodec.audio.sources import PcmSource
from rvqcodec.audio.tags import build_info, parse_info
from rvqcodec.audio.wavread import read_wav_head
from rvqcodec.audio.wavwrite import wav_head
from rvqcodec.errors import AudioError


def chunk(name, body, size=None):
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) & 1)


def fmt(tag=1, channels=1, rate=44100, bits=16, align=None, extra=b""):
    align = channels * ((bits + 7) // 8) if align is None else align
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * align & 0xFFFFFFFF, align, bits) + extra)


def riff(*chunks, size=None, magic=b"RIFF"):
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if size is None else size) + body


def read(data, *, file=False):
    """All samples of a WAV given as bytes, read as a pipe or as a file."""
    stream = io.BytesIO(data)
    size = len(data) if file else None
    source = PcmSource(stream, "x.wav", read_wav_head(stream, "x.wav", size), file_size=size)
    with AudioInput(source, "x.wav") as audio:
        blocks = list(audio.blocks(7))
        samples = np.concatenate([np.zeros((audio.channels, 0), np.float32), *blocks], axis=1)
    return samples, audio


PCM = struct.pack("<5h", 1, -2, 3, -4, 5)
VALUES = np.array([[1, -2, 3, -4, 5]], np.float32) / 32768


@pytest.mark.parametrize(
    ("size", "riff_size"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg
        (0x7FFFF000, 0x7FFFF024),  # sox
        (0x7FFFEFFC, 0x7FFFF03C),  # sox, 6 bytes per sample frame
        (0x7FFFFFFF, 0x7FFFFFFF),
        (0x80000000, 0x80000024),
        (0xFFFFFFDB, 0xFFFFFFFF),
        (0, 0),
        (0, 36),  # Python's wave module
        (0, 0xFFFFFFFF),
    ],
)
@pytest.mark.parametrize("file", [False, True])
def test_bogus_sizes_mean_until_the_end(size, riff_size, file):
    samples, audio = read(riff(fmt(), chunk(b"data", PCM, size), size=riff_size), file=file)
    assert np.array_equal(samples, VALUES)
    assert audio.n_samples == (5 if file else None)
    assert audio.warnings == []


@pytest.mark.parametrize("file", [False, True])
def test_finished_empty_file_is_empty_even_with_chunks_behind(file):
    tail = build_info({"TITLE": "nothing"})
    samples, audio = read(riff(fmt(), chunk(b"data", b""), tail), file=file)
    assert samples.shape == (1, 0)
    assert audio.tags == ({"TITLE": "nothing"} if file else {})


@pytest.mark.parametrize("file", [False, True])
def test_chunks_around_the_samples_are_no_samples(file):
    before = [chunk(b"JUNK", b"abc"), fmt(), chunk(b"bext", b"x" * 603)]
    before.append(build_info({"ARTIST": "Bäch", "DATE": "1741"}))
    behind = [chunk(b"id3 ", b"y" * 11), build_info({"GENRE": "Klassik"})]
    data = riff(*before, chunk(b"data", PCM), *behind)
    samples, audio = read(data, file=file)
    assert np.array_equal(samples, VALUES)
    assert audio.tags == {"ARTIST": "Bäch", "DATE": "1741"} | ({"GENRE": "Klassik"} if file else {})


@pytest.mark.parametrize("file", [False, True])
def test_truncated_samples_are_read_to_the_last_whole_one_with_a_warning(file):
    samples, audio = read(riff(fmt(), chunk(b"data", PCM, 4000))[:-1], file=file)
    assert np.array_equal(samples, VALUES[:, :4])
    assert len(audio.losses) == 1
    assert "cut off: announces 2000 samples per channel, holds 4" in audio.losses[0]


@pytest.mark.parametrize("file", [False, True])
def test_end_within_a_sample_of_an_unknown_length_warns(file):
    samples, audio = read(riff(fmt(), chunk(b"data", PCM, 0xFFFFFFFF))[:-1], file=file)
    assert samples.shape == (1, 4)
    assert audio.warnings == ["x.wav: ends within a sample; the last 1 byte left out"]


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
@pytest.mark.parametrize("known", [False, True])
def test_rf64(magic, known):
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, len(PCM) if known else 0, 5, 0))
    behind = chunk(b"abcd", b"1234") if known else b""
    data = riff(ds64, fmt(), chunk(b"data", PCM, 0xFFFFFFFF), behind, size=0xFFFFFFFF, magic=magic)
    for file in (False, True):
        samples, audio = read(data, file=file)
        assert np.array_equal(samples, VALUES)
        assert audio.expected == (5 if known or file else None)


def test_extensible_and_every_sample_type_read_as_libsndfile_reads_them(tmp_path):
    rng = np.random.default_rng(3)
    samples = rng.uniform(-1, 1, (500, 3)).astype(np.float32)
    for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"):
        for format in ("WAV", "WAVEX", "RF64"):
            sf.write(tmp_path / "a.wav", samples, 32000, subtype=subtype, format=format)
            reference, _ = sf.read(tmp_path / "a.wav", dtype="float32")
            ours, audio = read((tmp_path / "a.wav").read_bytes())
            assert np.array_equal(ours, reference.T), (subtype, format)
            assert (audio.sample_rate, audio.channels) == (32000, 3)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (riff(chunk(b"data", PCM)), "samples before the 'fmt ' chunk"),
        (riff(fmt()), "ends within its WAV header"),
        (riff(fmt())[:30], "ends within its WAV header"),
        (riff(chunk(b"fmt ", b"abcd")), "'fmt ' chunk of 4 bytes"),
        (riff(chunk(b"abcd", b"", 0xFFFFFFF0), fmt()), "ends within its WAV header"),
        (riff(*[chunk(b"abcd", b"")] * 5000), "no samples after 4096 chunks"),
        (riff(fmt(channels=9), chunk(b"data", PCM)), "9 channels; rvq takes 1 to 8"),
        (riff(fmt(rate=7999), chunk(b"data", PCM)), "from 8000 to 192000 Hz"),
        (riff(fmt(rate=0), chunk(b"data", PCM)), "from 8000 to 192000 Hz"),
        (riff(fmt(rate=0xFFFFFFFF), chunk(b"data", PCM)), "from 8000 to 192000 Hz"),
    ],
)
def test_broken_heads_are_refused_in_one_line(data, text):
    with pytest.raises(AudioError) as caught:
        read(data)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("x.wav: ")


@pytest.mark.parametrize(
    "head",
    [
        fmt(tag=2, bits=4),
        fmt(bits=64),
        fmt(tag=3, bits=16),
        fmt(align=3),
        fmt(channels=0),
    ],
)
def test_codings_left_to_libsndfile(head):
    with pytest.raises(CodingError):
        read_wav_head(io.BytesIO(riff(head, chunk(b"data", PCM))), "x.wav")


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_bytes_after_the_magic_give_samples_or_an_audio_error(junk):
    for data in (
        b"RIFF" + junk,
        riff(junk),
        riff(fmt(channels=2), junk),
        riff(chunk(b"LIST", b"INFO" + junk)),
    ):
        try:
            samples, _ = read(data)
        except AudioError:
            continue
        assert samples.size <= len(data)


def test_info_tags_survive_both_ways():
    tags = {"TITLE": "Größe", "ARTIST": "x", "TRACKNUMBER": "7", "COPYRIGHT": "none"}
    built = build_info(tags | {"MOOD": "has no place"})
    assert parse_info(built[8:]) == tags
    assert parse_info(b"INFOINAM" + struct.pack("<I", 3) + b"caf\xe9"[:3]) == {"TITLE": "caf"}
    assert parse_info(b"INFOINAM" + struct.pack("<I", 4) + b"caf\xe9") == {"TITLE": "café"}
    assert parse_info(b"adtlINAM" + struct.pack("<I", 1) + b"x") == {}


@pytest.mark.parametrize("encoding", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize("known", [False, True])
def test_our_heads_read_back_by_libsndfile(encoding, channels, known):
    samples = np.linspace(-1, 1, 15 * channels, dtype=np.float32).reshape(channels, 15)
    body = encode(quantize(samples, encoding)[0], encoding)
    tags = {"TITLE": "odd"}
    head = wav_head(48000, channels, encoding, 15 if known else None, tags, room_for_ds64=not known)
    with sf.SoundFile(io.BytesIO(head + body + b"\0" * (known and len(body) & 1))) as file:
        assert (file.samplerate, file.channels, file.subtype) == (48000, channels, encoding)
        assert file.copy_metadata()["title"] == "odd"
        assert np.array_equal(file.read(dtype="float32", always_2d=True).T, decode(body, encoding, channels))


def test_head_has_exact_sizes_and_plain_pcm_is_44_bytes():
    head = wav_head(44100, 2, "PCM_16", 10, {}, room_for_ds64=False)
    assert head == b"RIFF" + struct.pack("<I", 76) + b"WAVE" + fmt(channels=2) + b"data" + struct.pack("<I", 40)


def test_long_files_become_rf64_and_long_pipes_stay_of_unknown_length():
    n = 1 << 31
    known = wav_head(44100, 2, "PCM_16", n, {}, room_for_ds64=True)
    unknown = wav_head(44100, 2, "PCM_16", None, {}, room_for_ds64=True)
    assert len(known) == len(unknown)
    assert known[:4] == b"RF64"
    head = read_wav_head(io.BytesIO(known), "x")
    assert (head.data_bytes, head.data_start) == (4 * n, len(known))
    assert read_wav_head(io.BytesIO(unknown), "x").data_bytes is None
    pipe = wav_head(44100, 2, "PCM_16", n, {}, room_for_ds64=False)
    assert pipe == wav_head(44100, 2, "PCM_16", None, {}, room_for_ds64=False)


def test_rounding_is_to_the_nearest_half_to_even_and_limited():
    steps = np.array([[0.5, 1.5, -0.5, -1.5, 2.4, -2.6]], np.float32) / 32768
    assert quantize(steps, "PCM_16")[0].tolist() == [[0, 2, 0, -2, 2, -3]]
    loud = np.array([[1.0, -1.0, 1.0001, -1.0001, 7e9, -7e9, np.inf, -np.inf, np.nan]], np.float32)
    for encoding, full in (("PCM_U8", 2**7), ("PCM_16", 2**15), ("PCM_24", 2**23), ("PCM_32", 2**31)):
        values, outside = quantize(loud, encoding)
        assert values.tolist() == [[full - 1, -full] * 4 + [0]]
        assert outside == 7
    assert quantize(loud, "FLOAT")[1] == 0


@pytest.mark.parametrize("encoding", ["PCM_U8", "PCM_16", "PCM_24"])
def test_every_integer_survives_float(encoding):
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, 6000, np.uint8).tobytes()
    samples = decode(data, encoding, 2)
    assert samples.shape == (2, 3000 // WIDTH[encoding])
    values, outside = quantize(samples, encoding)
    assert (encode(values, encoding), outside) == (data, 0)


def test_data_size_that_looks_bogus_but_is_true_is_believed(tmp_path):
    path = tmp_path / "long.wav"
    size = 0x7FFFF000
    with path.open("wb") as file:  # a sparse file of 2 GiB
        file.write(riff(fmt(), b"data" + struct.pack("<I", size)))
        file.seek(size - 2, 1)
        file.write(b"\0\0" + build_info({"TITLE": "behind"}))
    with open_input(path) as audio:
        assert (audio.n_samples, audio.tags) == (size // 2, {"TITLE": "behind"})
