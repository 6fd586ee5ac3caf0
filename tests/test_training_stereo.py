"""The table of a pair's parameters is made from stereo crops, comes closer round by round, and is shipped."""

from pathlib import Path

import numpy as np
import pytest
import tinycodec
import tinypair
import torch
from tinypair import CONFIG, shaped

from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.stereo import Floats, StereoDecoder, StereoEncoder
from rvqcodec.training import stereo
from rvqcodec.training.data import Mix, Pool
from rvqcodec.training.gpu_pool import ResidentPool
from rvqcodec.training.stereo import LENGTH, closed_loop, covariances, fit, image_loss, sequences, towards_heard

SAMPLES = (LENGTH * CONFIG.frame_sub_frames + 2) * CONFIG.sub_frame


@pytest.fixture(scope="module")
def excerpts() -> list[Floats]:
    pairs = torch.from_numpy(np.stack([shaped(i, SAMPLES) for i in range(6)]))
    return covariances(Network(CONFIG), pairs)


def pool_of(folder: Path, channels: int, n: int) -> Pool:
    for name in ("music-a", "sound-b"):
        x = shaped(len(name), n)[:channels] if n > 1000 else np.ones((channels, n))
        np.save(folder / f"{name}.npy", (x * 20000).clip(-32768, 32767).astype(np.int16))
    return Pool(sorted(folder.glob("*.npy")), 44100, mix=Mix(synthetic=0))


def test_pairs_are_the_recordings_own(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, 2, 60_000)
    pairs = pool.pairs(3, 20_000, 1, 5)
    assert pairs.shape == (3, 2, 20_000)
    assert pairs.dtype == np.float32
    assert np.array_equal(pairs, pool.pairs(3, 20_000, 1, 5))
    assert np.array_equal(pairs, ResidentPool(pool, torch.device("cpu")).pairs(3, 20_000, 1, 5))
    assert not np.array_equal(pairs, pool.pairs(3, 20_000, 1, 6))
    for left, right in pairs:
        assert 0 < abs(float(np.corrcoef(left, right)[0, 1])) < 0.99


def test_pairs_of_mono_recordings_are_mixed(tmp_path: Path) -> None:
    for left, right in pool_of(tmp_path, 1, 60_000).pairs(3, 20_000, 1, 5):
        assert 0.01 < abs(float(np.corrcoef(left, right)[0, 1])) < 0.9999


def test_pairs_of_short_recordings_are_silent(tmp_path: Path) -> None:
    assert not pool_of(tmp_path, 2, 500).pairs(2, 20_000, 1, 5).any()


def test_sequences_end_in_silence(excerpts: list[Floats]) -> None:
    powers, values, weights = sequences([*excerpts, excerpts[0][:, : LENGTH - 1]])  # the last is too short
    assert powers.shape == (3, LENGTH, len(excerpts), CONFIG.bands)
    assert values.shape == weights.shape == (LENGTH, len(excerpts), 2 * CONFIG.bands)
    assert torch.isfinite(values).all()


def test_search_finds_what_an_encoder_finds(excerpts: list[Floats], monkeypatch: pytest.MonkeyPatch) -> None:
    """But for its last frames, behind which an encoder sees more, and its first, before which it puts AHEAD codes."""
    table = tinypair.table()
    _, values, weights = sequences(excerpts[:2])
    monkeypatch.setattr(stereo, "WIDTH", 16)
    ahead, heard = (torch.cat([x[:1].expand(stereo.stereo.AHEAD, -1, -1), x]) for x in (values, weights))
    found, _ = stereo.search(ahead, heard, table)
    for i, powers in enumerate(excerpts[:2]):
        codes = StereoEncoder(table.numpy()).push(powers)
        assert np.mean(codes[60:-10] == found[60 : LENGTH - 10, i].numpy()) > 0.9


def test_a_perfect_image_has_the_least_loss(excerpts: list[Floats]) -> None:
    powers, values, _ = sequences(excerpts)
    losses = [float(image_loss(powers, x)) for x in (values, values + 0.1, values + 0.3, 0 * values)]
    assert losses == sorted(losses)


def test_each_part_of_the_fit_comes_closer(excerpts: list[Floats]) -> None:
    powers, values, weights = sequences(excerpts)

    def error(table: torch.Tensor) -> float:
        codes, wanted = stereo.search(values, weights, table)
        return float((weights * (wanted - table[codes]).square()).mean())

    def heard(table: torch.Tensor) -> float:
        decoded = []
        for one in excerpts:
            codes = StereoEncoder(table.numpy()).push(np.pad(one, ((0, 0), (0, 4), (0, 0))))
            decoded.append(StereoDecoder(table.numpy()).push(codes)[4:])
        return float(image_loss(powers, torch.from_numpy(np.stack(decoded, 1))))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = fit(excerpts, 64, rounds=0, steps=0)
        better = closed_loop(start.clone(), values, weights, rounds=5)
        best = towards_heard(better, powers, values, weights, steps=8)
    assert start.shape == (64, 2 * CONFIG.bands)
    assert error(better) < 0.9 * error(start)
    assert heard(best) < heard(better) < heard(torch.zeros_like(start))
    for table in (start, better, best):
        assert not table[0].any()


def test_a_table_is_as_float16_holds_it() -> None:
    table = tinypair.table()
    assert torch.equal(table, table.half().float())
    assert table.abs().sum(1).count_nonzero() == len(table) - 1


def test_silence_gives_a_table_too() -> None:
    silent = [np.zeros((3, LENGTH, CONFIG.bands), np.float32)] * 2
    assert not fit(silent, 16, rounds=2, steps=2).any()


def test_a_network_gets_its_table() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(tinycodec.CONFIG)
        pairs = [torch.from_numpy(shaped(i, SAMPLES))[None] for i in range(3)]
        stereo.start_stereo(network, pairs.__getitem__, 3, 2)
    assert network.stereo_table.abs().sum(1).count_nonzero() > 8
    assert "stereo_table" in network.state_dict()
