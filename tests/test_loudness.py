"""Loud and odd levels: turned down smoothly or counted as cut, brought to scale by --gain, and told."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import Result, read_audio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import rvqcodec
from rvqcodec.audio.limiter import CEILING, REACH, STEP, Limiter

RATE = 44_100
Samples = NDArray[np.float32]
Invoke = Callable[..., Result]
WriteWav = Callable[..., Path]


def limited(samples: Samples, cuts: list[int] | None = None, rate: int = RATE) -> tuple[Samples, int]:
    limiter = Limiter(rate, len(samples))
    edges = [0, *sorted(cuts or []), samples.shape[1]]
    parts = [limiter.push(samples[:, a:b]) for a, b in pairwise(edges)]
    return np.concatenate([*parts, limiter.flush()], axis=1), limiter.limited


def bursts(n: int, seed: int = 1) -> Samples:
    """Noise, over full scale at times."""
    level = np.where(np.arange(n) % 20_000 < 4000, 0.8, 0.1)
    return (level * np.random.default_rng(seed).standard_normal((2, n))).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 50_000), cuts=st.lists(st.floats(0, 1), max_size=6), rate=st.sampled_from([8000, 44_100]))
def test_any_cutting_any_length_nothing_over_full_scale(n: int, cuts: list[float], rate: int) -> None:
    samples = bursts(n)
    whole, count = limited(samples, rate=rate)
    assert whole.shape == samples.shape
    assert np.abs(whole).max(initial=0) <= np.float32(CEILING) * (1 + 1e-6)
    assert count == (np.abs(samples) > 1).sum()
    pieces = limited(samples, [int(cut * n) for cut in cuts], rate)
    assert np.array_equal(whole, pieces[0])
    assert pieces[1] == count


def test_what_is_far_from_a_peak_passes_bit_by_bit() -> None:
    samples = 0.5 * bursts(RATE)
    samples[:] = samples.clip(-0.9, 0.9)
    samples[0, 20_000] = -3
    found, count = limited(samples)
    assert count == 1
    reach = round(2 * (REACH + 1) * STEP * RATE)
    far = np.abs(np.arange(RATE) - 20_000) > reach
    assert np.array_equal(found[:, far], samples[:, far])
    assert np.array_equal(limited(0.3 * samples)[0], np.float32(0.3) * samples)
    gains = np.median(found[:, 19_900:20_100] / samples[:, 19_900:20_100], axis=1)
    assert gains == pytest.approx([1 / 3, 1 / 3], rel=0.02)  # both channels alike: the image stays


def test_the_level_moves_smoothly() -> None:
    """A tone that is too loud for a while has no new frequencies, where cutting would make many."""
    t = np.arange(2 * RATE) / RATE
    tone = (np.where((t > 0.7) & (t < 1.3), 1.6, 0.6) * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)[None]
    found, _ = limited(tone)
    middle = slice(round(0.8 * RATE), round(1.2 * RATE))
    spectra = [
        np.abs(np.fft.rfft(x[0, middle] * np.hanning(middle.stop - middle.start))) for x in (found, tone.clip(-1, 1))
    ]
    third = [20 * np.log10(s[1150:1250].max() / s.max()) for s in spectra]  # around 3 kHz, of 2.5 Hz a bin
    assert third[1] > -20
    assert third[0] < -80


@pytest.fixture
def loud(tmp_path: Path, write_wav: WriteWav, stereo: Samples, invoke: Invoke) -> Path:
    """A master driven into clipping, encoded."""
    path = write_wav(tmp_path / "loud.wav", (5 * stereo).clip(-1, 1))
    assert invoke("encode", path, "-b", "6").code == 0
    return path.with_suffix(".rvq")


def test_cut_limited_or_scaled(loud: Path, tmp_path: Path, invoke: Invoke) -> None:
    whole = rvqcodec.open(loud).decode()
    over = int((np.abs(whole) > 1).sum())
    most = np.ceil(200 * np.log10(np.abs(whole).max())) / 10
    share = f"{over:,} samples ({100 * over / whole.size:.2g} %) over full scale were"
    done = invoke("decode", loud, "-o", tmp_path / "cut.wav")
    assert over > 1000
    remedy = f"--no-clip turns them down, --gain -{most:.1f} everything"
    assert f"rvq: {loud}: {share} cut, by {most:.1f} dB at most; {remedy}\n" in done.err

    done = invoke("decode", loud, "-o", tmp_path / "down.wav", "--no-clip")
    assert f"rvq: {loud}: {over:,} samples over full scale were turned down, by {most:.1f} dB at most\n" in done.err
    assert "were cut" not in done.err
    assert "turned" not in invoke("decode", loud, "-o", tmp_path / "down.wav", "--no-clip", "--quiet", "-f").err

    done = invoke("decode", loud, "-o", tmp_path / "scaled.wav", "--gain", f"-{most:.1f}")
    assert "full scale" not in done.err
    cut, down, scaled = (read_audio(tmp_path / f"{name}.wav")[0] for name in ("cut", "down", "scaled"))
    assert cut.shape == down.shape == scaled.shape == whole.shape
    assert np.abs(scaled - whole * 10 ** (-most / 20)).max() < 2**-15
    assert np.abs(cut - whole.clip(-1, 1)).max() < 2**-14
    assert (np.abs(down) >= 1).sum() == 0
    assert np.abs(down - limited(whole)[0]).max() < 2**-15
    loudness = [10 * np.log10(np.square(x).mean()) for x in (scaled, down, cut)]
    assert loudness[0] < loudness[1] < loudness[2]


def test_limiter_in_pipes_and_other_formats(loud: Path, tmp_path: Path, invoke: Invoke) -> None:
    whole = rvqcodec.open(loud).decode()
    for name, flags in (
        ("a.flac", ()),
        ("a.ogg", ()),
        ("a.raw", ("--raw", "--format", "f32le")),
        ("b.wav", ("--subtype", "FLOAT")),
    ):
        done = invoke("decode", loud, "-o", tmp_path / name, "--no-clip", *flags)
        assert done.code == 0
        assert "turned down" in done.err
        assert "were cut" not in done.err
    raw = np.fromfile(tmp_path / "a.raw", "<f4").reshape(-1, 2).T
    assert raw.shape == whole.shape
    assert np.abs(raw).max() <= CEILING * (1 + 1e-6)
    assert np.array_equal(read_audio(tmp_path / "b.wav")[0], raw)
    done = invoke("decode", loud, "-o", tmp_path / "c.wav", "--subtype", "FLOAT")
    assert "full scale" not in done.err  # floats hold it
    assert np.abs(read_audio(tmp_path / "c.wav")[0]).max() > 1


@pytest.mark.parametrize("gain", ["nan", "inf", "200", "-121", "loud", ""])
@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_gains_that_are_none(invoke: Invoke, verb: str, gain: str) -> None:
    done = invoke(verb, "nothing", "--gain", gain)
    assert done.code == 2
    assert "is no gain; write decibels from -120 to 120, such as -3 or 1.5" in done.err


def test_full_scale_of_32768_is_told_and_mended(
    invoke: Invoke, write_wav: WriteWav, tmp_path: Path, stereo: Samples
) -> None:
    plain = write_wav(tmp_path / "a.wav", stereo, subtype="FLOAT")
    wide = write_wav(tmp_path / "b.wav", stereo * 2**15, subtype="FLOAT")
    done = invoke("encode", wide, "-b", "1.5")
    peak = float(np.abs(stereo).max()) * 2**15
    told = f"samples reach {peak:,.0f} times full scale, which is 1 for floats; --gain -90.31 brings them there"
    assert f"rvq: {wide}: {told}" in done.err.splitlines()
    assert done.code == 0
    for path, flags in ((plain, ()), (wide, ("--gain", "-90.309dB", "-f"))):
        done = invoke("encode", path, "-b", "6", *flags)
        assert "times full scale" not in done.err
    ours, theirs = (rvqcodec.open(path.with_suffix(".rvq")).decode() for path in (plain, wide))
    assert 10 * np.log10(np.square(theirs).mean() / np.square(ours).mean()) == pytest.approx(0, abs=0.2)
    hot = write_wav(tmp_path / "c.wav", stereo * 3, subtype="FLOAT")  # not rare in floats, and all right
    assert "times full scale" not in invoke("encode", hot, "-b", "1.5").err


@pytest.mark.parametrize("scale", [2.0**31, 2.0**15, 1e-3, 1e-20, 1e-39])
def test_any_scale_is_finite_and_quiet_sound_stays_as_loud(stereo: Samples, scale: float) -> None:
    codec = rvqcodec.load()
    samples = (stereo * scale).astype(np.float32)
    decoded = codec.decode(codec.encode(samples, RATE, bitrate="6kbps"))
    assert np.isfinite(decoded).all()
    if scale == 1e-3:
        change = 10 * np.log10(np.square(decoded).mean() / np.square(samples).mean())
        assert abs(change) < 0.5
    if scale < 1e-9:
        assert np.abs(decoded).max() < 2**-14


@pytest.mark.parametrize(("subtype", "least"), [("PCM_U8", -1.0), ("PCM_16", -1.0), ("PCM_24", -1.0), ("PCM_32", -1.0)])
def test_full_scale_of_integers(
    invoke: Invoke, write_wav: WriteWav, tmp_path: Path, subtype: str, least: float
) -> None:
    """The lowest integer is exactly -1, the highest a step below 1: nothing wraps round, on the way in and out."""
    from rvqcodec.audio import open_input, open_output

    square = np.where(np.arange(4000) // 50 % 2, 1.5, -1.5).astype(np.float32)[None]
    with open_output(tmp_path / "a.wav", RATE, 1, subtype=subtype.replace("PCM_U8", "U8")) as output:
        output.write(square)
    assert (output.clipped, output.peak) == (4000, 1.5)
    with open_input(tmp_path / "a.wav") as audio:
        found = np.concatenate(list(audio.blocks()), axis=1)
    assert found.min() == least
    assert 0.99 < found.max() <= 1
    assert np.array_equal(found > 0, square > 0)
