"""The mix of `--mono`: the coefficients of ITU-R BS.775, stereo as ever, phases that cancel are told."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Result
from numpy.typing import NDArray

import rvqcodec
from rvqcodec import speakers
from rvqcodec.codec.channels import Mix, mixed, mono_gains

Invoke = Callable[..., Result]
WriteWav = Callable[..., Path]
ROOT_HALF = 0.5**0.5


@pytest.mark.parametrize(
    ("name", "gains"),
    [
        ("mono", [1]),
        ("stereo", [1, 1]),
        ("3.0", [ROOT_HALF, ROOT_HALF, 1]),
        ("2.1", [1, 1, 0]),
        ("4.0", [ROOT_HALF, ROOT_HALF, 1, ROOT_HALF]),
        ("quad", [ROOT_HALF, ROOT_HALF, 0.5, 0.5]),
        ("5.1", [ROOT_HALF, ROOT_HALF, 1, 0, 0.5, 0.5]),
        ("5.1(side)", [ROOT_HALF, ROOT_HALF, 1, 0, 0.5, 0.5]),
        ("7.1", [ROOT_HALF, ROOT_HALF, 1, 0, 0.5, 0.5, 0.5, 0.5]),
        ("7.1(wide)", [ROOT_HALF, ROOT_HALF, 1, 0, 0.5, 0.5, ROOT_HALF, ROOT_HALF]),
    ],
)
def test_coefficients(name: str, gains: list[float]) -> None:
    found = mono_gains(speakers.NAMES[name], len(gains))
    assert found == pytest.approx(np.array(gains) / sum(gains))
    assert found.sum() == pytest.approx(1)  # full scale in all channels is full scale in one


def test_channels_without_places_count_alike() -> None:
    assert mono_gains(0, 5) == pytest.approx(np.full(5, 0.2))
    assert mono_gains(speakers.NAMES["mono"] << 1, 1) == pytest.approx([1])  # an LFE alone


def test_stereo_is_the_mean_to_the_bit(stereo: NDArray[np.float32]) -> None:
    assert np.array_equal(mixed(stereo, mono_gains(0x3, 2)), stereo.mean(0, dtype=np.float32, keepdims=True))


def test_what_cancels_is_counted(stereo: NDArray[np.float32]) -> None:
    left = stereo[0]
    for samples, cancels in (
        (np.stack([left, -left]), True),
        (np.stack([left, -0.8 * left]), True),
        (np.stack([left, left]), False),
        (np.stack([left, stereo[1]]), False),
        (np.stack([left, np.roll(left, 20_000)]), False),
        (np.stack([left, 0 * left]), False),
        (1e-5 * np.stack([left, -left]), False),  # nobody hears it
    ):
        mix = Mix(0x3, 2)
        mix.push(samples.astype(np.float32))
        assert (mix.cancelled == len(left)) == cancels


def test_opposite_phases_are_told(
    invoke: Invoke, write_wav: WriteWav, stereo: NDArray[np.float32], tmp_path: Path
) -> None:
    left = stereo[0]
    path = write_wav(tmp_path / "a.wav", np.stack([left, -left]))
    done = invoke("encode", path, "--mono", "-b", "1.5")
    line = f"rvq: {path}: channels of opposite phase cancel in the mix to mono, over 10 dB for 3.0 of 3.0 s; without"
    assert done.code == 0
    assert [text for text in done.err.splitlines() if "cancel" in text] == [f"{line} --mono they are kept"]
    done = invoke("tokens", "encode", path, "--mono", "-b", "1.5")
    assert done.err.count("cancel in the mix") == 1
    done = invoke("roundtrip", path, "--mono", "-b", "1.5,3", "--fast")
    assert done.err.count("cancel in the mix") == 1
    for samples, flags in ((stereo, ("--mono",)), (np.stack([left, -left]), ())):
        done = invoke("encode", write_wav(path, samples), *flags, "-f", "-b", "1.5")
        assert "cancel" not in done.err


def test_six_channels_of_arrays_and_files_are_mixed_alike(
    invoke: Invoke, write_wav: WriteWav, tmp_path: Path, signals: object
) -> None:
    rng = np.random.default_rng(5)
    six = (0.1 * rng.standard_normal((6, 22_050))).astype(np.float32)
    six[3] = 0.9 * np.sin(np.arange(22_050) / 150)  # what must not be heard
    path = write_wav(tmp_path / "a.wav", six, subtype="FLOAT")
    assert invoke("encode", path, "--mono", "-b", "3").code == 0
    codec = rvqcodec.load()
    ours = codec.encode(six, 44_100, mono=True, bitrate="3kbps")
    with (tmp_path / "a.rvq").open("rb") as file:
        theirs = type(ours).read(file)
    assert np.array_equal(ours.codes, theirs.codes)
    by_hand = codec.encode(mixed(six, mono_gains(0x3F, 6)), 44_100, bitrate="3kbps")
    assert np.array_equal(ours.codes, by_hand.codes)
    swapped = codec.encode(six[[0, 2, 1, 4, 5, 3]], 44_100, mono=True, bitrate="3kbps", layout="FL+FC+FR+BL+BR+LFE")
    assert np.array_equal(ours.codes, swapped.codes)
