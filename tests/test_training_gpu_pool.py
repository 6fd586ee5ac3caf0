"""Crops that are cut in a device's memory: here the CPU's, by the same code."""

from pathlib import Path

import numpy as np
import pytest
import tinycodec
import torch

from rvqcodec.training.data import Mix, Pool
from rvqcodec.training.gpu_pool import ResidentPool, for_device
from rvqcodec.training.loop import run
from rvqcodec.training.options import Options
from rvqcodec.training.trainer import Trainer

CPU = torch.device("cpu")
N, SIZE, STORE = 500, 64, 20
PLAIN = Mix(quietest=0, loudest=0, voice_over=0, synthetic=0)


def resident(folder: Path, mix: Mix, **levels: tuple[float, ...]) -> ResidentPool:
    """Tracks of constant level, one for each channel: names begin with the domain."""
    arrays = []
    for name, channels in levels.items():
        track = np.repeat(np.array(channels)[:, None] * 32768, 4000, 1).astype(np.int16)
        np.save(folder / f"{name}.npy", track)
        arrays.append(folder / f"{name}.npy")
    return ResidentPool(Pool(arrays, 44100, mix=mix), CPU, store=STORE)


def levels_of(batch: torch.Tensor) -> set[float]:
    """The constant levels of crops, without sign."""
    assert (batch == batch[:, :1]).all()
    return {round(float(level), 4) for level in batch[:, 0].abs()}


def test_left_right_mid_and_side(tmp_path: Path) -> None:
    pool = resident(tmp_path, PLAIN, music_a=(0.5, 0.25))
    batch = pool.batch(200, N, 1, 0)
    assert batch.shape == (200, N)
    assert batch.dtype == torch.float32
    assert levels_of(batch) == {0.5, 0.25, 0.375, 0.125}
    assert {float(s) for s in batch.sign().unique()} == {-1, 1}, "random polarity"


def test_mono_has_no_side_and_domains_have_their_shares(tmp_path: Path) -> None:
    pool = resident(tmp_path, PLAIN, music_a=(0.5,), speech_a=(0.25,), sound_a=(0.125,))
    found = pool.batch(2000, 16, 1, 0)[:, 0].abs()
    shares = [float((found == level).float().mean()) for level in (0.5, 0.25, 0.125)]
    np.testing.assert_allclose(shares, [0.47, 0.40, 0.13], atol=0.04)


def test_silence_is_skipped_if_there_is_sound(tmp_path: Path) -> None:
    pool = resident(tmp_path, PLAIN, music_a=(0.5,), music_b=(0.0,))
    silent = float((pool.batch(1000, 16, 1, 0)[:, 0] == 0).float().mean())
    assert silent == pytest.approx(0.5**4, abs=0.03)


def test_voices_are_put_on_music_only(tmp_path: Path) -> None:
    pool = resident(tmp_path, Mix(0, 0, 1.0, 0), music_a=(0.01,), speech_a=(0.01,))
    plan = pool.plan(SIZE, N, 1, 0)
    level = pool.made(plan, N, 1)[:, 0].abs()
    on_top = torch.from_numpy(plan.voices > 0)
    assert 0 < on_top.sum() < SIZE
    np.testing.assert_allclose(level[~on_top], 0.01, rtol=1e-2)
    np.testing.assert_allclose(level[on_top], 0.01 * (1 + plan.voices[on_top]), rtol=3e-2)


def test_levels_vary_and_nothing_clips(tmp_path: Path) -> None:
    pool = resident(tmp_path, Mix(-6, 12, 0, 0), music_a=(0.5,))
    found = pool.batch(500, 16, 1, 0)[:, 0].abs()
    assert float(found.max()) == pytest.approx(1, abs=1e-5)
    assert 0.24 < float(found.min()) < 0.27


def test_synthetic_sounds(tmp_path: Path) -> None:
    pool = resident(tmp_path, Mix(0, 0, 0, 0.25), music_a=(0.5,))
    plan = pool.plan(SIZE, N, 1, 0)
    batch = pool.made(plan, N, 1)
    assert 4 < len(plan.synthetic) < 32
    assert len(set(plan.sounds)) > 2
    made, store = batch[plan.synthetic], pool.sounds(N, 1)
    assert store.shape == (STORE, N)
    assert (made.abs() <= 1).all()
    assert torch.equal(made.abs().amax(1) > 0, store[plan.sounds].abs().amax(1) > 0)
    for one, which in zip(made, plan.sounds, strict=True):
        direction = torch.nn.functional.cosine_similarity(one, store[which].float(), dim=0).abs()
        assert float(direction) == pytest.approx(1, abs=1e-3), "a sound of the store, louder or weaker"
    assert torch.equal(store, pool.sounds(N, 1))
    rest = np.setdiff1d(np.arange(SIZE), plan.synthetic)
    assert levels_of(batch[rest]) == {0.5}


def test_batches_depend_on_seed_and_step_only(tmp_path: Path) -> None:
    pool = resident(tmp_path, Mix(), music_a=(0.5, 0.1), speech_a=(0.2,))
    assert ResidentPool.size(pool.pool) == 2 * 4 * 4000
    batches = pool.batches(8, N, 3, 5, workers=2)
    for step in (5, 6, 7):
        assert torch.equal(next(batches), pool.batch(8, N, 3, step))
    batches.close()
    assert not torch.equal(pool.batch(8, N, 3, 5), pool.batch(8, N, 4, 5))


def test_a_run_trains_on_it(tmp_path: Path) -> None:
    np.save(tmp_path / "music.npy", (tinycodec.sound(44100, channels=2) * 32768).astype(np.int16))
    pool = Pool([tmp_path / "music.npy"], 44100)
    assert for_device(pool, CPU) is pool
    options = Options(steps=2, batch=4, sub_frames=12, decoder_only=True, log_every=1)
    trainer = Trainer(
        config=tinycodec.CONFIG, options=options, pool=ResidentPool(pool, CPU, store=STORE), out=tmp_path / "run"
    )
    trainer.adopt(tinycodec.shared())
    assert run(trainer) is None
    assert trainer.progress.step == 2
