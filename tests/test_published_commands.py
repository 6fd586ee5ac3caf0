"""Every command with each family of published checkpoints: one test after the other on one file."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Result, read_audio

pytest.importorskip("transformers", reason="needs the extra [families]")

import checkpoints

import rvqcodec
from rvqcodec.models import adding, cards

Invoke = Callable[..., Result]
FAMILIES = {
    "encodec-24khz": "1.5, 3, 6, 12, 24",
    "encodec-32khz": "2.2",
    "dac-16khz": "0.5 to 6",
    "mimi": "0.138 to 4.4",
}


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The id of a model that is installed beside ours."""
    folder = tmp_path_factory.mktemp("commands")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RVQ_MODELS", str(folder / "models"))
        checkpoints.make(request.param, folder / "folder")
        adding.add(folder / "folder")
        yield request.param


@pytest.fixture(params=[1, 2], ids=["mono", "stereo"])
def song(request: pytest.FixtureRequest, tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    """1.7 seconds at 44.1 kHz."""
    return write_wav(tmp_path / "song.wav", 0.5 * checkpoints.noise(75_001, request.param))


def test_every_command(model: str, song: Path, tmp_path: Path, invoke: Invoke) -> None:
    samples, rate = read_audio(song)
    channels, facts = len(samples), cards.find(model).facts
    most = 8 if 8 in facts.steps else min(12, facts.max_n_q)

    def run(*words: object) -> Result:
        result = invoke(*words)
        assert result.code == 0, (words, result.err)
        return result

    coded, back = song.with_suffix(".rvq"), tmp_path / "back.wav"
    run("encode", song, "--model", model, "-q", most * channels, "--chunk", 0.5, "--verify", "--tag", "TITLE=x")
    run("decode", coded, "-o", back, "--subtype", "FLOAT")
    whole, back_rate = read_audio(back)
    assert (whole.shape, back_rate) == (samples.shape, rate)
    assert np.abs(whole).max() > 0

    said = json.loads(run("info", "--json", coded).out)
    assert (said["model"], said["model_rate"], said["hop"]) == (model, facts.model_rate, facts.hop)
    assert (said["code_bits"], said["codebooks"]) == (facts.code_bits, most * channels)
    assert said["channel_coding"] == ("mono" if channels == 1 else "discrete")
    assert model in run("info", "--verbose", coded).out
    run("verify", coded, "--decode")

    part = tmp_path / "part.wav"
    run("decode", coded, "-o", part, "--start", 0.8, "--duration", 0.3, "--subtype", "FLOAT")
    begin = round(0.8 * rate)
    expected = whole[:, begin : begin + round(0.3 * rate)]
    np.testing.assert_allclose(read_audio(part)[0], expected, atol=1e-4 * max(1, np.abs(whole).max()))

    few = facts.steps[0] if facts.steps else 2
    low, trimmed = tmp_path / "low.rvq", tmp_path / "trimmed.rvq"
    kbps = f"{float(few * channels * facts.codebook_rate) / 1000 + 0.0009:.7g}kbps"
    run("encode", song, "--model", model, "-b", kbps, "--chunk", 0.5, "--tag", "TITLE=x", "-o", low)
    run("trim", coded, "-b", kbps, "-o", trimmed)
    assert trimmed.read_bytes() == low.read_bytes()
    assert rvqcodec.open(low).header.total_n_q == few * channels
    run("decode", coded, "-q", few * channels, "-o", tmp_path / "few.wav")
    run("decode", low, "-o", tmp_path / "low.wav")
    assert (tmp_path / "few.wav").read_bytes() == (tmp_path / "low.wav").read_bytes()

    pieces = [tmp_path / "a.rvq", tmp_path / "b.rvq"]
    for piece, span in zip(pieces, (":11", "11:"), strict=True):
        run("cut", coded, "--frames", span, "-o", piece)
    run("cat", *pieces, "-o", tmp_path / "both.rvq")
    one, both = rvqcodec.open(coded), rvqcodec.open(tmp_path / "both.rvq")
    np.testing.assert_array_equal(one.codes.codes, both.codes.codes)
    assert one.n_samples == both.n_samples == samples.shape[1]
    np.testing.assert_array_equal(both.decode(), one.decode())

    for pattern in ("delay", "flatten"):
        tokens, again = tmp_path / f"{pattern}.npz", tmp_path / f"{pattern}.rvq"
        line = run("tokens", "encode", coded, "--pattern", pattern, "-o", tokens).err
        assert f"{most} codebooks of {1 << facts.code_bits:,} codes" in line
        assert f"{facts.frame_rate:g}/s" in line
        run("tokens", "decode", tokens, "-o", again)
        assert again.read_bytes() == coded.read_bytes()
    direct = tmp_path / "direct.npz"
    run("tokens", "encode", song, "--model", model, "-q", few * channels, "-o", direct)
    meta = json.loads(str(np.load(direct)["meta"]))
    assert (meta["frame_rate"], meta["code_bits"]) == (facts.frame_rate, facts.code_bits)

    run("compare", song, coded, "--fast")
    saved = tmp_path / "run.json"
    shown = json.loads(run("roundtrip", song, "--model", model, "--fast", "--json", "--out", saved).out)
    assert shown
    assert all(row["figures"] and row["family"] == model for row in shown)
    run("report", saved, "-o", tmp_path / "page.html")


def test_bitrates_are_the_models(model: str, song: Path, invoke: Invoke) -> None:
    channels = len(read_audio(song)[0])
    facts = cards.find(model).facts
    result = invoke("encode", song, "--model", model, "--mono", "-b", "99kbps")
    assert (result.code, f"{FAMILIES[model]} kbps for 1 coded channel" in result.err) == (1, True)
    assert not song.with_suffix(".rvq").exists()
    assert invoke("encode", song, "--model", model).code == 0, "the default, or what comes nearest to it"
    header = rvqcodec.open(song.with_suffix(".rvq")).header
    assert header.total_n_q * facts.codebook_rate <= max(6000, channels * facts.codebook_rate * (facts.steps or [1])[0])
    if facts.steps == (2, 4, 8, 16, 32):
        assert invoke("encode", song, "-f", "--model", model, "-b", "11kbps").code == 0
        assert rvqcodec.open(song.with_suffix(".rvq")).header.total_n_q == 8, "6 kbps, or 3 a channel"


def test_the_python_interface(model: str, song: Path) -> None:
    samples, rate = read_audio(song)
    codec = rvqcodec.load(model)
    assert codec.model_id == model
    codes = codec.encode(samples, rate)
    whole = codec.decode(codes)
    assert whole.shape == samples.shape
    encoder = codec.encoder(rate, len(samples))
    chunks = [c for i in range(0, samples.shape[1], 7001) for c in encoder.push(samples[:, i : i + 7001])]
    chunks += encoder.flush()
    decoder = codec.decoder(encoder.header)
    parts = [decoder.push(chunk) for chunk in chunks]
    np.testing.assert_array_equal(np.concatenate([*parts, decoder.flush(encoder.samples)], 1), whole)
    grid = codec.codes(np.zeros((2, 10), np.int64))
    assert codec.decode(grid).shape == (1, 10 * codec.facts.hop)


def test_damage_is_silent(model: str, song: Path, tmp_path: Path, invoke: Invoke) -> None:
    coded = song.with_suffix(".rvq")
    assert invoke("encode", song, "--model", model, "--chunk", 0.4).code == 0
    data = bytearray(coded.read_bytes())
    data[len(data) // 2] ^= 1
    coded.write_bytes(data)
    assert invoke("decode", coded, "-o", tmp_path / "no.wav").code == 1
    result = invoke("decode", coded, "--salvage", "-o", tmp_path / "salvaged.wav")
    assert (result.code, "lost" in result.err) == (1, True)
    assert read_audio(tmp_path / "salvaged.wav")[0].shape == read_audio(song)[0].shape


def test_silence_and_nothing(model: str, tmp_path: Path, invoke: Invoke) -> None:
    """Silence has codes like all else, on both channels: those of a codec with a state say more than nothing."""
    import soundfile

    silent = np.zeros((44_100, 2), np.float32)
    silent[:, 0] = checkpoints.noise(44_100)[0]
    soundfile.write(tmp_path / "half.wav", silent, 44_100)
    soundfile.write(tmp_path / "none.wav", silent[:0], 44_100)
    assert invoke("encode", tmp_path / "half.wav", "--model", model).code == 0
    codes = rvqcodec.open(tmp_path / "half.rvq").codes
    assert (codes.codes[:, 0] < 1 << codes.header.code_bits).all()
    assert invoke("encode", tmp_path / "none.wav", "--model", model).code == 0
    assert invoke("decode", tmp_path / "none.rvq", "-o", tmp_path / "none-again.wav").code == 0
    assert soundfile.info(tmp_path / "none-again.wav").frames == 0
