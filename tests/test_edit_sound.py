"""Edits against the real codec: trimming is encoding at the lower rate, a part sounds as it does in
the whole.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import read_audio
from numpy.typing import NDArray

from rvqcodec.container import RawChunk, Reader

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sound")


@pytest.fixture
def encoded(
    folder: Path, stereo: NDArray[np.float32], write_wav: Callable[..., Path], invoke: Run
) -> Callable[[str], Path]:
    """Encodes the same three seconds, once for each bitrate, in chunks of a second."""
    if not (folder / "in.wav").exists():
        write_wav(folder / "in.wav", stereo)

    def encode(bitrate: str) -> Path:
        path = folder / f"{bitrate}.rvq"
        if not path.exists():
            result = invoke("encode", folder / "in.wav", "-b", bitrate, "--chunk", "1", "-o", path, "--quiet")
            assert result.code == 0, result.err
        return path

    return encode


@pytest.mark.parametrize("lower", ["6kbps", "1.5kbps", "0.375kbps"])
def test_trimming_is_encoding_at_the_lower_rate_byte_for_byte(
    encoded: Callable[[str], Path], invoke: Run, tmp_path: Path, lower: str
) -> None:
    result = invoke("trim", encoded("9kbps"), "-b", lower, "-o", tmp_path / "trimmed.rvq")
    assert result.code == 0, result.err
    assert (tmp_path / "trimmed.rvq").read_bytes() == encoded(lower).read_bytes()


def decoded(invoke: Run, path: Path) -> NDArray[np.float32]:
    target = path.with_suffix(".wav")
    result = invoke("decode", path, "-o", target, "-f", "--quiet")
    assert result.code == 0, result.err
    return read_audio(target)[0]


def test_a_part_sounds_as_it_does_in_the_whole(encoded: Callable[[str], Path], invoke: Run, tmp_path: Path) -> None:
    """Within 1 LSB of PCM16, but for the start, where the decoder has no past."""
    whole = decoded(invoke, encoded("6kbps"))
    part = tmp_path / "part.rvq"
    assert invoke("cut", encoded("6kbps"), "--frames", "30:", "-o", part).code == 0
    sound = decoded(invoke, part)
    assert sound.shape[1] == whole.shape[1] - 30 * 1176
    settled = 49 * 1176  # as long as codes of the image count
    assert sound.shape[1] > settled + 10_000
    assert np.abs(sound - whole[:, 30 * 1176 :])[:, settled:].max() <= 1.01 / 32768


def test_parts_joined_again_sound_as_before(encoded: Callable[[str], Path], invoke: Run, tmp_path: Path) -> None:
    names = [tmp_path / f"{i}.rvq" for i in range(3)]
    for name, span in zip(names, (":31", "31:70", "70:"), strict=True):
        assert invoke("cut", encoded("6kbps"), "--frames", span, "-o", name).code == 0
    assert invoke("cat", *names, "-o", tmp_path / "all.rvq").code == 0
    assert np.array_equal(decoded(invoke, tmp_path / "all.rvq"), decoded(invoke, encoded("6kbps")))


def test_a_joined_recording_sounds_as_it_does_alone(
    invoke: Run, stereo: NDArray[np.float32], write_wav: Callable[..., Path], tmp_path: Path
) -> None:
    """Its attack and its image do not hang on what came before: its first frame was misread, its image for a second.

    The two differ only in their noise, which goes on through the file: so levels are compared, not samples.
    """
    left = stereo * np.array([[0.5], [0.05]], np.float32)
    quiet, loud = stereo[:, :44100] * np.array([[0.0], [0.003]], np.float32), left[:, 20_000:]
    names = [tmp_path / f"{name}.rvq" for name in ("quiet", "loud", "both", "low", "late")]
    for name, sound in zip(names, (quiet, loud), strict=False):
        write_wav(name.with_suffix(".in.wav"), sound)
        assert invoke("encode", name.with_suffix(".in.wav"), "-b", "6kbps", "-o", name).code == 0
    assert invoke("cat", *names[:2], "-o", names[2]).code == 0
    alone, joined = decoded(invoke, names[1]), decoded(invoke, names[2])
    at = joined.shape[1] - alone.shape[1]  # within a frame: the first recording's last one is full now
    for begin, end in ((0, 1176), (1176, 4 * 1176), (4 * 1176, 40 * 1176)):
        for channel, tolerance in ((0, 1.5), (1, 4.0)):  # what the second channel is, noise says in great part
            change = level(joined[channel, at + begin : at + end]) - level(alone[channel, begin:end])
            assert abs(change) < tolerance, (begin, channel)
    assert invoke("trim", names[2], "-b", "3kbps", "-o", names[3]).code == 0
    assert invoke("cut", names[2], "--frames", "38:", "-o", names[4]).code == 0
    assert [begins(name) for name in names] == [[], [], [38], [38], [0]]


def level(samples: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.square(samples, dtype=np.float64).mean() + 1e-12))


def begins(path: Path) -> list[int]:
    """First frames of the chunks that begin a recording."""
    with path.open("rb") as file:
        return [chunk.start_frame for chunk in Reader(file).raw() if isinstance(chunk, RawChunk) and chunk.begins]
