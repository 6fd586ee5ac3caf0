"""`rvq decode`: exact lengths, rates and channels, kinds of output, parts, fewer codebooks, damage."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Result, names_in, read_audio
from numpy.typing import NDArray

from rvqcodec.container import RawChunk, Reader, Writer

Invoke = Callable[..., Result]
WriteWav = Callable[..., Path]
RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decode")


@pytest.fixture
def song(folder: Path, stereo: NDArray[np.float32], invoke: Invoke, write_wav: WriteWav) -> Path:
    """Three seconds of stereo in chunks of a fifth of a second, made once."""
    path = folder / "song.rvq"
    if not path.exists():
        write_wav(folder / "song.wav", stereo)
        assert invoke("encode", folder / "song.wav", "-b", "9kbps", "--chunk", 0.2, "--tag", "TITLE=Song").code == 0
        assert invoke("decode", path, "-o", folder / "whole.wav").code == 0
    return path


@pytest.fixture
def whole(song: Path) -> NDArray[np.float32]:
    """All of `song`, decoded in one go."""
    return read_audio(song.with_name("whole.wav"))[0]


@pytest.mark.parametrize("n", [0, 1, 587, 588, 589, 1175, 1176, 1177])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_length_comes_back_exactly(
    tmp_path: Path, stereo: NDArray[np.float32], invoke: Invoke, write_wav: WriteWav, n: int, channels: int
) -> None:
    write_wav(tmp_path / "a.wav", stereo[:channels, 50000 : 50000 + n])
    assert invoke("encode", tmp_path / "a.wav").code == 0
    assert invoke("decode", tmp_path / "a.rvq", "-o", tmp_path / "b.wav").code == 0
    samples, rate = read_audio(tmp_path / "b.wav")
    assert (samples.shape, rate) == ((channels, n), 44100)


@pytest.mark.parametrize("rate", RATES)
def test_every_rate_comes_back_with_the_exact_length(
    tmp_path: Path, stereo: NDArray[np.float32], invoke: Invoke, write_wav: WriteWav, rate: int
) -> None:
    n = rate // 3 + 1
    write_wav(tmp_path / "a.wav", stereo[0, :n], rate)
    assert invoke("encode", tmp_path / "a.wav").code == 0
    assert invoke("decode", tmp_path / "a.rvq", "-o", tmp_path / "b.wav").code == 0
    samples, rate_back = read_audio(tmp_path / "b.wav")
    assert (samples.shape, rate_back) == ((1, min(n, stereo.shape[1])), rate)


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_channels_stay_and_keep_their_order(
    tmp_path: Path,
    signals: object,
    stereo: NDArray[np.float32],
    invoke: Invoke,
    write_wav: WriteWav,
    channels: int,
) -> None:
    gains = np.linspace(0.1, 1, channels, dtype=np.float32)[:, None]
    write_wav(tmp_path / "a.wav", gains * stereo[0, 30000:50000])
    assert invoke("encode", tmp_path / "a.wav", "-q", 16 * channels).code == 0
    assert invoke("decode", tmp_path / "a.rvq", "-o", tmp_path / "b.wav").code == 0
    samples, _ = read_audio(tmp_path / "b.wav")
    assert len(samples) == channels
    level = np.sqrt((samples**2).mean(axis=1))
    assert (np.diff(level) > 0).all()


def test_it_sounds_like_the_original(
    tmp_path: Path, stereo: NDArray[np.float32], invoke: Invoke, write_wav: WriteWav
) -> None:
    """Left and right are not exchanged, nothing is late: each channel fits its own original best, at once."""
    write_wav(tmp_path / "a.wav", stereo)
    assert invoke("encode", tmp_path / "a.wav", "-b", "24kbps").code == 0
    assert invoke("decode", tmp_path / "a.rvq", "-o", tmp_path / "b.wav").code == 0
    whole = read_audio(tmp_path / "b.wav")[0]
    for one, other in ((0, 1), (1, 0)):
        original = stereo[one, 20000:100000]
        match = {d: float(np.dot(original, whole[one, 20000 + d : 100000 + d])) for d in range(-20, 21, 4)}
        assert max(match, key=lambda d: match[d]) == 0
        error = [float(((whole[i, 20000:100000] - original) ** 2).mean()) for i in (one, other)]
        assert error[0] < error[1]


def test_verify_can_decode_too(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    assert invoke("verify", "--decode", song).code == 0
    path = tmp_path / "other.rvq"
    with song.open("rb") as source, path.open("wb") as sink:
        reader = Reader(source)
        writer = Writer(sink, replace(reader.header, weights_hash=bytes(8)))
        for raw in reader.raw():
            assert isinstance(raw, RawChunk)
            writer.write_raw(raw)
        writer.close(reader.n_samples)
    assert invoke("verify", path).code == 0
    result = invoke("verify", "--decode", path)
    assert result.code == 1
    assert "does not decode" in result.out
    assert "0000000000000000" in result.out


def test_default_name_and_overwriting(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    path = tmp_path / "a.rvq"
    path.write_bytes(song.read_bytes())
    result = invoke("decode", path)
    assert (result.code, result.out) == (0, "")
    assert result.err == f"{path} -> {tmp_path / 'a.wav'}: 0:03.000\n"
    result = invoke("decode", path)
    assert (result.code, result.err) == (
        1,
        f"rvq: {path}: {tmp_path / 'a.wav'} exists; use -f to overwrite it\n",
    )
    assert invoke("decode", "-f", "--quiet", path).err == ""
    assert invoke("decode", "-f", path, "-o", path).code == 1
    assert path.read_bytes() == song.read_bytes()
    assert names_in(tmp_path) == ["a.rvq", "a.wav"]


@pytest.mark.parametrize(
    ("name", "options", "kind", "subtype"),
    [
        ("a.wav", (), "WAV", "PCM_16"),
        ("a.wav", ("--subtype", "PCM_24"), "WAV", "PCM_24"),
        ("a.wav", ("--subtype", "float"), "WAV", "FLOAT"),
        ("a.flac", (), "FLAC", "PCM_16"),
        ("a.FLAC", ("--subtype", "PCM_24"), "FLAC", "PCM_24"),
        ("a.ogg", (), "OGG", "VORBIS"),
        ("a.opus", ("--rate", "48000"), "OGG", "OPUS"),
    ],
)
def test_kinds_of_output(
    song: Path, tmp_path: Path, invoke: Invoke, name: str, options: tuple[str, ...], kind: str, subtype: str
) -> None:
    import soundfile

    assert invoke("decode", song, "-o", tmp_path / name, *options).code == 0
    info = soundfile.info(tmp_path / name)
    assert (info.format, info.subtype, info.channels) == (kind, subtype, 2)
    assert info.frames == (3 * 48000 if options and options[-1] == "48000" else 3 * 44100)
    with soundfile.SoundFile(tmp_path / name) as file:
        assert file.title == "Song"


def test_kinds_that_cannot_be(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    for name, *more in (
        ("a.xyz",),
        ("a.flac", "--subtype", "FLOAT"),
        ("a.wav", "--subtype", "PCM_13"),
        ("a.opus",),
    ):
        options = ("-o", tmp_path / name, *more)
        result = invoke("decode", song, *options)
        assert (result.code, result.err.count("\n")) == (1, 1), options
    assert invoke("decode", song, "--raw", "--subtype", "FLOAT").code == 2
    assert names_in(tmp_path) == []


def test_raw_output(song: Path, tmp_path: Path, whole: NDArray[np.float32], invoke: Invoke) -> None:
    assert invoke("decode", song, "--raw", "-o", tmp_path / "a.pcm").code == 0
    samples = np.fromfile(tmp_path / "a.pcm", "<i2").reshape(-1, 2).T
    assert np.array_equal(samples, np.round(whole * 32768).astype(np.int16))
    assert invoke("decode", song, "--raw", "--format", "f32le", "-o", tmp_path / "b.raw").code == 0
    floats = np.fromfile(tmp_path / "b.raw", "<f4").reshape(-1, 2).T
    assert np.abs(floats - whole).max() <= 0.51 / 32768


def test_to_and_folders(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("a.rvq", "deep/b.rvq"):
        (tmp_path / "in" / name).write_bytes(song.read_bytes())
    assert invoke("decode", "-r", tmp_path / "in", "-o", tmp_path / "out", "--to", "flac").code == 0
    assert names_in(tmp_path / "out") == ["a.flac", "deep"]
    assert names_in(tmp_path / "out" / "deep") == ["b.flac"]


def test_rate_of_the_result_can_be_chosen(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    assert invoke("decode", song, "-o", tmp_path / "a.wav", "--rate", 16000).code == 0
    samples, rate = read_audio(tmp_path / "a.wav")
    assert (rate, samples.shape) == (16000, (2, 3 * 16000))


@pytest.mark.parametrize(
    ("start", "duration", "first", "last"),
    [
        ("0", "1", 0, 44100),
        ("0.5", "0.25", 22050, 33075),
        ("1.234", None, 54419, 132300),
        ("0:02", "100", 88200, 132300),
        ("0:00:02.9", "0.05", 127890, 130095),
        ("1", "0", 44100, 44100),
    ],
)
def test_a_part_is_the_part_of_the_whole(
    song: Path, tmp_path: Path, whole: NDArray[np.float32], invoke: Invoke, start: str, duration: str | None,
    first: int, last: int,
) -> None:  # fmt: skip
    more = () if duration is None else ("--duration", duration)
    assert invoke("decode", song, "-o", tmp_path / "a.wav", "--start", start, *more).code == 0
    samples, _ = read_audio(tmp_path / "a.wav")
    assert samples.shape == (2, last - first)
    assert np.abs(samples - whole[:, first:last]).max(initial=0) <= 1.01 / 32768


def test_a_part_at_another_rate(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    assert invoke("decode", song, "-o", tmp_path / "all.wav", "--rate", 48000).code == 0
    part = tmp_path / "part.wav"
    assert invoke("decode", song, "-o", part, "--rate", 48000, "--start", 1.5, "--duration", 1).code == 0
    samples, _ = read_audio(part)
    reference = read_audio(tmp_path / "all.wav")[0][:, 72000:120000]
    assert samples.shape == reference.shape
    assert np.abs(samples - reference).max() <= 1.01 / 32768


@pytest.mark.parametrize(("start", "most"), [(2, 75), (0.2, 70)])
def test_only_the_chunks_needed_are_decoded(
    song: Path, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, start: float, most: int
) -> None:
    from rvqcodec.models.rvq44.decoder import StreamDecoder

    frames, push = [], StreamDecoder.push

    def spy(self: StreamDecoder, codes: NDArray[np.uint16], *args: Any, **kwargs: Any) -> NDArray[np.float32]:
        frames.append(codes.shape[2])
        return push(self, codes, *args, **kwargs)

    monkeypatch.setattr(StreamDecoder, "push", spy)
    options = ("--start", start, "--duration", 0.1, "-o", tmp_path / "a.wav")
    assert invoke("decode", song, *options).code == 0
    assert sum(frames) < most, "the recording has 113 frames"


@pytest.mark.parametrize("start", ["3", "3.5", "1:00"])
def test_a_start_behind_the_end_is_an_error(song: Path, tmp_path: Path, invoke: Invoke, start: str) -> None:
    result = invoke("decode", song, "-o", tmp_path / "a.wav", "--start", start)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "behind the end, 3 s" in result.err
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("text", ["x", "-1", "1:2:3:4", "nan", "1e99", ""])
def test_times_that_are_none(song: Path, invoke: Invoke, text: str) -> None:
    assert invoke("decode", song, f"--start={text}").code == 2


@pytest.mark.parametrize("n_q", [1, 5, 24])
def test_fewer_codebooks_are_what_encoding_with_fewer_gives(
    song: Path, tmp_path: Path, invoke: Invoke, n_q: int
) -> None:
    assert invoke("decode", song, "-q", n_q, "-o", tmp_path / "a.wav").code == 0
    encoded = tmp_path / "b.rvq"
    assert invoke("encode", song.with_suffix(".wav"), "-q", n_q, "--chunk", 0.2, "-o", encoded).code == 0
    assert invoke("decode", encoded).code == 0
    one, other = read_audio(tmp_path / "a.wav")[0], read_audio(tmp_path / "b.wav")[0]
    assert np.abs(one - other).max() <= 1.01 / 32768


def test_full_scale_is_limited_and_counted(
    tmp_path: Path, stereo: NDArray[np.float32], invoke: Invoke, write_wav: WriteWav
) -> None:
    """A float WAV may go beyond full scale, 16 bits may not: limited without wrap-around."""
    loud = 6 * stereo[0, :44100]
    write_wav(tmp_path / "a.wav", loud, subtype="FLOAT")
    assert invoke("encode", tmp_path / "a.wav").code == 0
    result = invoke("decode", "--quiet", tmp_path / "a.rvq", "-o", tmp_path / "b.wav")
    assert result.code == 0
    assert "over full scale were cut, by " in result.err
    assert invoke("decode", "--quiet", tmp_path / "a.rvq", "-o", tmp_path / "c.wav", "--subtype", "FLOAT").err == ""
    limited, free = read_audio(tmp_path / "b.wav")[0], read_audio(tmp_path / "c.wav")[0]
    assert np.abs(free).max() > 1.2
    assert np.abs(limited - free.clip(-1, 1)).max() <= 1.01 / 32768


def chunk_positions(path: Path) -> list[tuple[int, int]]:
    with open(path, "rb") as file:
        return [(raw.position, raw.size) for raw in Reader(file).raw()]


def test_damage_is_refused_with_its_position_and_salvaged_on_request(
    song: Path, tmp_path: Path, whole: NDArray[np.float32], invoke: Invoke
) -> None:
    data = bytearray(song.read_bytes())
    position, size = chunk_positions(song)[7]
    data[position + size // 2] ^= 0x40
    bad = tmp_path / "bad.rvq"
    bad.write_bytes(data)
    result = invoke("decode", bad)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert f"at byte {position}" in result.err
    assert names_in(tmp_path) == ["bad.rvq"], "nothing half-written"

    os.utime(bad, (981_173_106, 981_173_106))
    result = invoke("decode", "--salvage", "--preserve-modtime", bad)
    assert result.code == 1
    assert "lost from" in result.err
    assert f"{bad}: 1 damaged place; the result has silence there" in result.err
    assert (tmp_path / "bad.wav").stat().st_mtime == 981_173_106
    samples, _ = read_audio(tmp_path / "bad.wav")
    assert samples.shape == whole.shape
    frames = 8  # a chunk of 0.2 s
    lost = slice(7 * frames * 1176 + 1176, 8 * frames * 1176 - 2 * 1176)
    loudest = np.abs(whole).max()
    assert np.abs(samples[:, lost]).max() < 0.01, "silence, not noise"
    assert np.abs(samples).max() < 1.5 * loudest
    before = slice(0, 7 * frames * 1176 - 8 * 1176)
    assert np.abs(samples[:, before] - whole[:, before]).max() <= 1.01 / 32768


def test_a_file_cut_short_gives_all_that_is_there(
    song: Path, tmp_path: Path, whole: NDArray[np.float32], invoke: Invoke
) -> None:
    data = song.read_bytes()
    cut = tmp_path / "cut.rvq"
    position, _ = chunk_positions(song)[10]
    cut.write_bytes(data[: position + 9])
    result = invoke("decode", cut)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "cut short" in result.err
    assert invoke("decode", "--salvage", cut).code == 1
    samples, _ = read_audio(tmp_path / "cut.wav")
    assert samples.shape == whole.shape, "the header knows the length"
    intact = slice(0, 10 * 8 * 1176 - 8 * 1176)
    assert np.abs(samples[:, intact] - whole[:, intact]).max() <= 1.01 / 32768


def test_salvage_of_a_sound_file_is_no_failure(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    assert invoke("decode", "--salvage", song, "-o", tmp_path / "a.wav").code == 0


def test_a_bad_input_does_not_stop_the_others(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "good.rvq").write_bytes(song.read_bytes())
    (tmp_path / "bad.rvq").write_bytes(b"RIFF....WAVE, not rvq")
    (tmp_path / "empty.rvq").write_bytes(b"")
    names = ("empty.rvq", "bad.rvq", "missing.rvq", "good.rvq")
    result = invoke("decode", "--quiet", *(tmp_path / name for name in names))
    assert (result.code, result.err.count("\n")) == (1, 3)
    assert (tmp_path / "good.wav").exists()
    assert names_in(tmp_path) == ["bad.rvq", "empty.rvq", "good.rvq", "good.wav"]


@pytest.mark.parametrize("field", ["model_id", "weights_hash"])
def test_other_weights_are_refused_by_name(song: Path, tmp_path: Path, invoke: Invoke, field: str) -> None:
    from dataclasses import replace

    from rvqcodec.container import Writer

    value = "other-model" if field == "model_id" else b"\x01\x23\x45\x67\x89\xab\xcd\xef"
    with open(song, "rb") as source, open(tmp_path / "a.rvq", "wb") as target:
        reader = Reader(source)
        writer = Writer(target, replace(reader.header, **{field: value}))
        for raw in reader.raw():
            assert isinstance(raw, RawChunk)
            writer.write_raw(raw)
        assert reader.end is not None
        writer.close(reader.end.n_samples)
    result = invoke("decode", tmp_path / "a.rvq")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert ("other-model" if field == "model_id" else "0123456789abcdef") in result.err
    assert names_in(tmp_path) == ["a.rvq"]
