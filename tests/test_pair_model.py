"""The shipped model's image of speech and, where ../shared/dev is, of music, at 6 kbps."""

import functools
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, read_audio
from numpy.typing import NDArray

from rvqcodec.audio import Resampler
from rvqcodec.codec.decoding import Decoder, Span
from rvqcodec.codec.encoding import Encoder
from rvqcodec.container import Header
from rvqcodec.errors import WeightsError
from rvqcodec.models import loading
from rvqcodec.models.interface import Model
from rvqcodec.report.metrics.stereo import image_errors

DEV = ROOT.parent / "shared" / "dev"
TOTAL = 16  # codes a frame
Samples = NDArray[np.float32]


@functools.cache
def model() -> Model:
    try:
        return loading.load(None, "cpu")
    except (WeightsError, RuntimeError) as error:
        pytest.skip(f"no shipped model: {error}")


def through(samples: Samples, total: int = TOTAL) -> tuple[Samples, NDArray[np.int64]]:
    """What a file keeps of samples [C, n] at 44.1 kHz, and n_q [C, T]."""
    facts, n = model().facts, samples.shape[1]
    header = Header.of(facts, sample_rate=44100, channels=len(samples), total_n_q=total, n_samples=n)
    encoder, decoder = Encoder(model(), header), Decoder(model(), header, Span(header))
    chunks = [*encoder.push(samples, more=True), *encoder.flush()]
    made = np.concatenate([*(decoder.push(chunk) for chunk in chunks), *decoder.flush(n)], 1)
    return made, np.concatenate([np.asarray(chunk.n_q) for chunk in chunks], 1)


@pytest.fixture(scope="module")
def voice(speech: tuple[Samples, int]) -> Samples:
    """[n] at 44.1 kHz: three seconds."""
    samples, rate = speech
    resampler = Resampler(rate, 44100, 1)
    return np.concatenate([resampler.push(samples[None]), resampler.flush()], 1)[0, : 3 * 44100]


def level(samples: Samples) -> float:
    return float(10 * np.log10(np.square(samples, dtype=np.float64).mean() + 1e-20))


@pytest.mark.parametrize("side", [0, 1])
def test_a_voice_on_one_side_is_as_good_as_alone(voice: Samples, side: int) -> None:
    x = np.zeros((2, len(voice)), np.float32)
    x[side] = voice
    made, n_q = through(x)
    assert not n_q[1].any()
    assert level(made[1 - side]) < level(made[side]) - 30
    alone, _ = through(voice[None])
    assert level(made[side] - voice) < level(alone[0] - voice) + 0.1


@pytest.mark.parametrize("balance", [(0.9, 0.35), (0.4, 0.8)], ids=str)
def test_a_panned_voice_stays_where_it_is(voice: Samples, balance: tuple[float, float]) -> None:
    x = voice * np.array(balance, np.float32)[:, None]
    made, _ = through(x)
    wanted, found = (level(y[0]) - level(y[1]) for y in (x, made))
    assert found == pytest.approx(wanted, abs=1)


def clips() -> list[Path]:
    """Recordings with two unlike channels."""
    return [path for name in ("folk-0", "jazz-0", "vocal-0", "wide-0") if (path := DEV / f"music-{name}.flac").exists()]


@pytest.mark.skipif(not clips(), reason=f"no {DEV}")
def test_music_keeps_its_image() -> None:
    errors = []
    for path in clips():
        samples, rate = read_audio(path)
        resampler = Resampler(rate, 44100, 2)
        x = np.concatenate([resampler.push(samples), resampler.flush()], 1)[:, : 6 * 44100]
        errors.append(image_errors(x, through(x)[0]) or (99.0, 99.0))
        mono = image_errors(x, np.repeat(x.mean(0, keepdims=True), 2, 0)) or (0.0, 0.0)
        assert errors[-1][0] < 0.7 * mono[0]
        assert errors[-1][1] < 0.5 * mono[1]
    decibels, coherence = np.mean(errors, 0)
    assert decibels < 0.85
    assert coherence < 0.09
