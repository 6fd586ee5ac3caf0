"""The proof of the door: a family that shares nothing with the built-in one goes through every command."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import toyfamily
from conftest import ENVIRONMENT, ROOT, Result, read_audio
from numpy.typing import NDArray
from toyfamily import HOP, RATE

import rvqcodec
from rvqcodec.container import Chunk, Reader
from rvqcodec.models import cards, families, loading

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def _toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy is the only model that is installed."""
    (tmp_path / "models").mkdir()
    toyfamily.install(tmp_path / "models")
    monkeypatch.setitem(families.FAMILIES, "toy", "toyfamily")
    monkeypatch.setattr(cards, "FOLDERS", (tmp_path / "models",))
    loading._load.cache_clear()


def ramp(n: int, channels: int) -> NDArray[np.float32]:
    """Slow waves a quarter of a turn apart, so that mid and side are equally loud: [channels, n]."""
    turns = 4 * np.arange(n) / RATE
    return np.stack([0.6 * np.sin(2 * np.pi * (turns + c / 4)) for c in range(channels)]).astype(np.float32)


def means(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every frame as its mean; the last one is filled up with zeros."""
    channels, n = samples.shape
    padded = np.pad(samples, ((0, 0), (0, -n % HOP)))
    return np.repeat(padded.reshape(channels, -1, HOP).mean(2), HOP, 1)[:, :n].astype(np.float32)


def moving(coded: Path, n: int) -> NDArray[np.bool_]:
    """Where stereo is being turned [n]: in the first frames of chunks with a new angle, whose means are others."""
    found, before = np.zeros(n, np.bool_), None
    with coded.open("rb") as file:
        for chunk in Reader(file):
            assert isinstance(chunk, Chunk)
            if before not in (None, chunk.angle):
                found[chunk.start_frame * HOP :][:HOP] = True
            before = chunk.angle
    return found


@pytest.fixture(params=[1, 2, 3], ids=["mono", "stereo", "three"])
def song(request: pytest.FixtureRequest, tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    """4.2 seconds at the toy's rate, not a whole number of frames."""
    return write_wav(tmp_path / "song.wav", ramp(100_777, request.param), rate=RATE, subtype="FLOAT")


def test_there_and_back(song: Path, invoke: Invoke) -> None:
    samples, _ = read_audio(song)
    channels = len(samples)
    assert invoke("encode", song, "-q", 5 * channels, "--chunk", 0.5, "--verify").code == 0
    coded = song.with_suffix(".rvq")
    header = rvqcodec.open(coded).header
    assert (header.model_id, header.model_rate, header.hop, header.pre_skip) == ("toy-1", RATE, HOP, 0)
    assert (header.code_bits, header.total_n_q, header.frames_per_chunk) == (6, 5 * channels, 38)
    assert invoke("decode", coded, "-o", song.with_name("back.wav"), "--subtype", "FLOAT").code == 0
    back, rate = read_audio(song.with_name("back.wav"))
    assert rate == RATE
    still = ~moving(coded, samples.shape[1])
    assert still.mean() > 0.9
    np.testing.assert_allclose(back[:, still], means(samples)[:, still], atol=1e-5)
    part = song.with_name("part.wav")
    assert invoke("decode", coded, "-o", part, "--start", 1.5, "--duration", 0.7, "--subtype", "FLOAT").code == 0
    np.testing.assert_array_equal(read_audio(part)[0], back[:, 36_000 : 36_000 + 16_800])


def test_bitrates_are_the_toys(song: Path, invoke: Invoke) -> None:
    channels = len(read_audio(song)[0])
    assert invoke("encode", song, "-b", f"{2.25 * channels}kbps").code == 0
    assert rvqcodec.open(song.with_suffix(".rvq")).header.total_n_q == 5 * channels
    low = {1: "0.45", 2: "0.45", 3: "1.35"}[channels]
    result = invoke("encode", song, "-f", "-b", "6.8kbps")
    assert f"{low} to {2.25 * channels:g} kbps for {channels} coded" in result.err
    assert result.code == 1
    assert "0.45 to 2.25 kbps" in invoke("models").out
    assert "did you mean 2kbps" in invoke("encode", song, "-f", "-b", "2000kbps").err


def test_trim_gives_what_encoding_gives(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    channels = len(read_audio(song)[0])
    assert invoke("encode", song, "-q", 5 * channels).code == 0
    assert invoke("encode", song, "-b", f"{0.9 * channels}kbps", "-o", tmp_path / "low.rvq").code == 0
    trimmed = tmp_path / "trimmed.rvq"
    assert invoke("trim", song.with_suffix(".rvq"), "-b", f"{0.9 * channels}kbps", "-o", trimmed).code == 0
    assert trimmed.read_bytes() == (tmp_path / "low.rvq").read_bytes()


def test_cut_and_cat(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    channels = len(read_audio(song)[0])
    coded = song.with_suffix(".rvq")
    assert invoke("encode", song, "-q", 4 * channels).code == 0
    names = [tmp_path / "a.rvq", tmp_path / "b.rvq"]
    for name, span in zip(names, (":77", "77:"), strict=True):
        assert invoke("cut", coded, "--frames", span, "-o", name).code == 0
    assert invoke("cat", *names, "-o", tmp_path / "both.rvq").code == 0
    whole, both = rvqcodec.open(coded), rvqcodec.open(tmp_path / "both.rvq")
    assert both.n_samples == whole.n_samples == 100_777
    np.testing.assert_array_equal(both.codes.codes, whole.codes.codes)
    np.testing.assert_array_equal(both.decode(), whole.decode())
    assert invoke("cut", coded, "--start", 1, "--duration", 1.5, "-o", tmp_path / "c.rvq").code == 0
    np.testing.assert_array_equal(rvqcodec.open(tmp_path / "c.rvq").decode(), whole.decode(1, 1.5))


@pytest.mark.parametrize("pattern", ["delay", "flatten"])
def test_tokens(song: Path, tmp_path: Path, invoke: Invoke, pattern: str) -> None:
    channels = len(read_audio(song)[0])
    coded, tokens, again = song.with_suffix(".rvq"), tmp_path / "song.npz", tmp_path / "again.rvq"
    assert invoke("encode", song, "-q", 3 * channels).code == 0
    assert invoke("tokens", "encode", coded, "--pattern", pattern, "-o", tokens).code == 0
    special = json.loads(str(np.load(tokens)["meta"]))["special"]
    assert special["absent"] == 64
    assert invoke("tokens", "decode", tokens, "-o", again).code == 0
    assert again.read_bytes() == coded.read_bytes()
    assert invoke("tokens", "decode", tokens, "-o", tmp_path / "tokens.wav").code == 0
    assert invoke("decode", coded, "-o", tmp_path / "file.wav").code == 0
    assert (tmp_path / "tokens.wav").read_bytes() == (tmp_path / "file.wav").read_bytes()
    direct = tmp_path / "direct.npz"
    assert invoke("tokens", "encode", song, "-q", 3 * channels, "--pattern", pattern, "-o", direct).code == 0
    np.testing.assert_array_equal(np.load(direct)["tokens"], np.load(tokens)["tokens"])


def test_verify_info_compare(song: Path, invoke: Invoke) -> None:
    coded = song.with_suffix(".rvq")
    channels = len(read_audio(song)[0])
    assert invoke("encode", song, "-q", 2 * channels).code == 0
    assert invoke("verify", coded, "--decode").code == 0
    said = json.loads(invoke("info", "--json", coded).out)
    assert (said["model"], said["frames"]) == ("toy-1", 315)
    assert said["nominal_bitrate"] == 900 * channels
    assert invoke("compare", song, coded, "--fast").code == 0
    damaged = bytearray(coded.read_bytes())
    damaged[-60] ^= 1
    coded.write_bytes(damaged)
    assert invoke("verify", coded).code == 1
    result = invoke("decode", coded, "--salvage", "-o", song.with_name("salvaged.wav"))
    assert (result.code, "lost" in result.err) == (1, True)


def test_the_python_interface(song: Path) -> None:
    samples, _ = read_audio(song)
    channels = len(samples)
    codec = rvqcodec.load()
    assert (codec.model_id, codec.sample_rate, codec.frame_rate, codec.max_n_q) == ("toy-1", RATE, 75, 5)
    codes = codec.encode(samples, RATE, n_q=5 * channels)
    assert codes.absent == 64
    whole = codec.decode(codes)
    encoder = codec.encoder(RATE, channels, n_q=5 * channels)
    chunks = [c for i in range(0, samples.shape[1], 7001) for c in encoder.push(samples[:, i : i + 7001])]
    chunks += encoder.flush()
    decoder = codec.decoder(encoder.header)
    parts = [decoder.push(chunk) for chunk in chunks]
    np.testing.assert_array_equal(np.concatenate([*parts, decoder.flush(encoder.samples)], 1), whole)
    few = codec.decode(codes, n_q=channels)
    assert np.abs(few - means(samples)).max() > np.abs(whole - means(samples)).max()
    grid = codec.codes(np.zeros((2, 10), np.int64))
    assert codec.decode(grid).shape == (1, 10 * HOP)
    resampled = codec.encode(samples, 44100, bitrate=2000 * channels)
    assert codec.decode(resampled).shape == samples.shape


def test_codes_that_the_model_has_not_are_an_error(song: Path, invoke: Invoke) -> None:
    """A file may name a model and hold more codebooks than it has."""
    codec = rvqcodec.load()
    with pytest.raises(rvqcodec.FormatError, match="no codes of model toy-1"):
        codec.decode(codec.codes(np.zeros((9, 4), np.int64)))


def test_no_torch(tmp_path: Path) -> None:
    """Nor soundfile or soxr, for WAV at the model's rate."""
    script = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from pathlib import Path
from rvqcodec.models import cards, families
families.FAMILIES["toy"] = "toyfamily"
cards.FOLDERS = (Path({str(tmp_path / "models")!r}),)
from rvqcodec.cli import main
main(["encode", "song.wav", "-b", "2kbps", "--device", "cpu"], standalone_mode=False)
main(["decode", "song.rvq", "-o", "back.wav", "--device", "cpu"], standalone_mode=False)
assert not {{"torch", "soundfile", "soxr"}} & set(sys.modules), "heavy imports"
"""
    import soundfile

    soundfile.write(tmp_path / "song.wav", ramp(30_000, 1).T, RATE)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back.wav").exists()
