"""The two engines of the built-in family are one codec: numpy on the CPU, torch for training and CUDA."""

import numpy as np
import pytest
import tinycodec
import torch
from conftest import ROOT, read_audio
from numpy.typing import NDArray

from rvqcodec.audio import Resampler
from rvqcodec.models import cards, loading
from rvqcodec.models.rvq44.config import NEW
from rvqcodec.models.rvq44.cpu.engine import NumpyEngine
from rvqcodec.models.rvq44.cpu.weights import shapes
from rvqcodec.models.rvq44.decoder import StreamDecoder
from rvqcodec.models.rvq44.encoder import StreamEncoder
from rvqcodec.models.rvq44.engine import Engine
from rvqcodec.models.rvq44.network.engine import TorchEngine, network_of

RATE = 44100
Samples = NDArray[np.float32]
Codes = NDArray[np.uint16]


@pytest.fixture(scope="module")
def engines() -> tuple[NumpyEngine, TorchEngine]:
    """The shipped model in numpy and in torch, both on the CPU."""
    card = cards.find()
    tensors = loading.verified_tensors(card)
    return NumpyEngine(NEW, tensors), TorchEngine(network_of(NEW, tensors))


def encoded(engine: Engine, samples: Samples, *, paired: bool) -> tuple[Codes, NDArray[np.int64], NDArray[np.uint8]]:
    """Codes [C, K, T], how many [C, T], and the demands that they follow."""
    encoder = StreamEncoder(engine, len(samples), paired=paired)
    encoder.push(samples)
    encoder.flush()
    demands = encoder.demands(encoder.ready)
    n_q = np.minimum(2 + 2 * demands.astype(np.int64), NEW.max_n_q)
    return encoder.codes(n_q), n_q, demands


def decoded(engine: Engine, codes: Codes, n_q: NDArray[np.int64], *, paired: bool, start: int = 0) -> Samples:
    decoder = StreamDecoder(engine, len(codes), paired=paired, start_frame=start)
    return np.concatenate([decoder.push(codes, n_q), decoder.flush()], 1)


def snr(reference: Samples, other: Samples) -> float:
    error = np.square(other - reference, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(reference, dtype=np.float64).sum() / max(error, 1e-30)))


def recordings() -> list[Samples]:
    """[2, n] each: made sounds with attacks, and, where ../shared/dev is, music and speech of 10 s."""
    import recording

    found = [recording.recording(6.0), tinycodec.sound(2 * RATE, channels=2)]
    for name in ("music-wide-0", "music-jazz-0", "speech-f-0"):
        path = ROOT.parent / "shared" / "dev" / f"{name}.flac"
        if path.exists():
            samples, rate = read_audio(path)
            resampler = Resampler(rate, RATE, len(samples))
            both = np.concatenate([resampler.push(samples), resampler.flush()], 1)[:, : 10 * RATE]
            found.append(np.resize(both, (2, both.shape[1])))
    return found


@pytest.mark.parametrize("kind", ["mono", "pair", "three channels"])
def test_sounds_become_the_same_codes_and_sound(engines: tuple[NumpyEngine, TorchEngine], kind: str) -> None:
    ours, theirs = engines
    same = total = 0
    for both in recordings():
        left, right = both
        samples = {
            "mono": both[:1],
            "pair": np.stack([left + right, right - left]) / 2,
            "three channels": np.stack([left, right, 0.1 * left[::-1]]),
        }[kind]
        paired = kind == "pair"
        codes, n_q, demands = encoded(ours, samples, paired=paired)
        other, counts, theirs_demand = encoded(theirs, samples, paired=paired)
        same, total = same + int((demands == theirs_demand).sum()), total + demands.size
        expected, heard = (decoded(engine, codes, n_q, paired=paired) for engine in (theirs, ours))
        assert snr(expected, heard) > 110
        kept = (np.arange(codes.shape[1])[:, None] < n_q[:, None]) & (n_q == counts)[:, None]
        assert (codes == other[:, : codes.shape[1]])[kept].mean() >= 0.999
    assert same / total >= 0.999


@pytest.mark.parametrize(("channels", "paired", "start"), [(1, False, 0), (2, True, 0), (5, False, 0), (2, True, 77)])
def test_random_codes_sound_the_same(
    engines: tuple[NumpyEngine, TorchEngine], channels: int, paired: bool, start: int
) -> None:
    """Any number of codes in any frame, none too, and onsets wherever they fall."""
    rng = np.random.default_rng(channels + start)
    codes = rng.integers(0, NEW.codebook_size, (channels, NEW.max_n_q, 150)).astype(np.uint16)
    n_q = rng.integers(0, 45, (channels, 150))
    n_q[:, 40:60] = 48
    heard, expected = (decoded(engine, codes, n_q, paired=paired, start=start) for engine in engines)
    assert snr(expected, heard) > 110


def test_orders_onsets_and_tables_are_equal_to_the_bit(engines: tuple[NumpyEngine, TorchEngine]) -> None:
    """What codes mean hangs on them."""
    ours, theirs = engines
    network, rng = theirs.network, np.random.default_rng(0)
    codes = rng.integers(0, NEW.codebook_size, (1, NEW.max_n_q, 600)).astype(np.uint16)
    n_q = rng.integers(0, 49, (1, 600))
    network_says = network.dequantize(torch.from_numpy(codes.astype(np.int64)), torch.from_numpy(n_q))
    looked, levels = ours._decoding.lookup.window(codes[0], n_q[0], None)
    assert np.array_equal(looked.envelope, network_says.envelope[0].numpy())
    assert np.array_equal(looked.onset, network_says.onset[0].numpy())
    assert np.array_equal(levels, network_says.levels[0, -2:].numpy())
    assert (looked.onset > 0).sum() > 5
    order = network.places(network_says.envelope)[0, :: NEW.frame_sub_frames].numpy()
    assert np.array_equal(ours.scales.places(looked.envelope), order)
    made = ours.scales.tables
    for name in ("band_weights", "importance", "audible", "noise_gains"):
        assert np.array_equal(getattr(made, name), getattr(network, name).numpy()), name
    for name in ("band_weights", "smooth"):
        assert np.array_equal(getattr(made, name), getattr(network.missing, name).numpy()), name


def test_the_numpy_engine_knows_every_tensor_and_its_shape() -> None:
    for network in (tinycodec.shared(), network_of(NEW, loading.verified_tensors(cards.find()))):
        expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        assert dict(shapes(network.config)) == expected
