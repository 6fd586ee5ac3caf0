"""The codec on CUDA against the CPU: codes, sound, memory, a long file, a batch, training.

Without CUDA the same runs on the CPU, shorter: a rehearsal, so that it works on the day a GPU is lent.
"""

from pathlib import Path

import numpy as np
import pytest
import tinycodec
import torch
from numpy.typing import NDArray

import rvqcodec
from rvqcodec.models import cards, loading
from rvqcodec.models.interface import Model
from rvqcodec.training.data import Pool
from rvqcodec.training.loop import run
from rvqcodec.training.options import Options
from rvqcodec.training.trainer import Trainer
from rvqcodec.types import Codes, Samples

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CUDA = DEVICE == "cuda"
LONG = 300 if CUDA else 6  # seconds
N_Q = 16
RATE = 44100

pytestmark = pytest.mark.skipif(not cards.available(), reason="needs the weights of this repository")


@pytest.fixture(scope="module")
def models() -> tuple[Model, Model]:
    """The default model on the CPU and on the device."""
    return loading.load(None, "cpu"), loading.load(None, DEVICE)


@pytest.fixture(scope="module")
def sound(stereo: NDArray[np.float32]) -> Samples:
    """Three seconds of voice over music, [2, n] at the model's rate."""
    return stereo if CUDA else np.ascontiguousarray(stereo[:, : RATE // 2])


def encoded(model: Model, samples: Samples) -> Codes:
    encoder = model.encoder(len(samples), paired=len(samples) == 2)
    encoder.push(samples, more=True)
    encoder.flush()
    return encoder.codes(np.full((len(samples), encoder.ready), N_Q))


def decoded(model: Model, codes: Codes) -> Samples:
    decoder = model.decoder(len(codes), paired=len(codes) == 2)
    return np.concatenate([decoder.push(codes, codes.shape[1], more=True), decoder.flush()], axis=1)


def ratio(reference: Samples, other: Samples) -> float:
    """Signal to noise in dB, at most 120."""
    error = float(np.square(other - reference, dtype=np.float64).mean())
    return 10 * float(np.log10(np.square(reference, dtype=np.float64).mean() / max(error, 1e-16)))


def test_codes_are_the_cpus_but_for_rounding(models: tuple[Model, Model], sound: Samples) -> None:
    """Where two entries are as near as rounding, another may be chosen; then the codes that follow it differ too."""
    cpu, device = (encoded(model, sound) for model in models)
    assert cpu.shape == device.shape
    same = (cpu == device).mean(axis=(0, 2))
    assert same[0] > 0.99
    assert same.mean() > 0.95, same


def test_sound_of_the_same_codes_is_the_cpus(models: tuple[Model, Model], sound: Samples) -> None:
    codes = encoded(models[0], sound)
    cpu, device = (decoded(model, codes) for model in models)
    assert ratio(cpu, device) > 50


def test_both_are_as_near_to_the_original(models: tuple[Model, Model], sound: Samples) -> None:
    skip = models[0].facts.pre_skip
    found = []
    for model in models:
        made = decoded(model, encoded(model, sound))[:, skip:][:, : sound.shape[1]]
        found.append(ratio(sound, made))
    assert found[0] > 3
    assert found[1] == pytest.approx(found[0], abs=0.2)


def test_a_batch_is_its_items_one_by_one(sound: Samples) -> None:
    codec = rvqcodec.load(device=DEVICE)
    items = [sound, sound[:1, 2000:], sound[:, ::-1].copy()]
    for item, alone in zip(codec.encode(items, RATE), [codec.encode(item, RATE) for item in items], strict=True):
        assert item.codes.shape == alone.codes.shape
        assert (item.codes == alone.codes).mean() > 0.99
    for item, samples in zip(codec.decode(codec.encode(items, RATE)), items, strict=True):
        assert item.shape == samples.shape
        assert np.isfinite(item).all()


def test_adversarial_steps_and_a_checkpoint_that_goes_on(tmp_path: Path) -> None:
    for name in ("speech-a", "music-b"):
        track = (tinycodec.sound(60_000, channels=2, seed=len(name)) * 20000).clip(-32768, 32767)
        np.save(tmp_path / f"{name}.npy", track.astype(np.int16))
    pool = Pool(sorted(tmp_path.glob("*.npy")), RATE)
    options = Options(steps=6, batch=4, sub_frames=8, adversarial=3.0, judge_channels=2, log_every=2)

    def trainer() -> Trainer:
        return Trainer(config=tinycodec.CONFIG, options=options, pool=pool, out=tmp_path / "run", device=DEVICE)

    first = trainer()
    first.adopt(tinycodec.make().to(DEVICE))
    assert run(first) is None
    again = trainer()
    again.load(tmp_path / "run" / "last.pt", new_slice=True)
    assert again.progress.step == 6
    assert run(again) is None
    assert again.progress.step == 12
    assert all(torch.isfinite(p).all() for p in again.average.parameters())


def test_a_long_file_takes_no_more_memory_than_a_short_one(models: tuple[Model, Model], sound: Samples) -> None:
    model, second = models[1], np.resize(sound, (2, RATE))
    peaks = []
    for seconds in (LONG // 3, LONG):
        if CUDA:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        encoder, decoder = model.encoder(2, paired=True), model.decoder(2, paired=True)
        frames = samples = 0
        for i in range(seconds + 1):
            last = i == seconds
            encoder.flush() if last else encoder.push(second, more=True)
            if encoder.ready:
                frames += encoder.ready
                codes = encoder.codes(np.full((2, encoder.ready), N_Q))
                samples += decoder.push(codes, codes.shape[1], more=True).shape[1]
        samples += decoder.flush().shape[1]
        assert samples == frames * model.facts.hop >= seconds * RATE
        peaks.append(torch.cuda.max_memory_allocated() if CUDA else 0)
    assert peaks[1] <= 1.1 * peaks[0], [f"{peak / 2**20:.0f} MiB" for peak in peaks]
