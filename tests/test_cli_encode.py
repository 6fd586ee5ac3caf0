"""`rvq encode`: names of results, bitrates, channels, tags, raw input, many inputs, and what it refuses."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import Result, names_in
from numpy.typing import NDArray

from rvqcodec.container import Chunk, Header, Reader

Invoke = Callable[..., Result]
WriteWav = Callable[..., Path]


def header_of(path: Path) -> Header:
    with open(path, "rb") as file:
        return Reader(file).header


def chunks_of(path: Path) -> list[Chunk]:
    with open(path, "rb") as file:
        return [chunk for chunk in Reader(file) if isinstance(chunk, Chunk)]


def codes_of(path: Path) -> list[NDArray[np.uint16]]:
    """All codes of each coded channel of a file whose chunks all have the same n_q."""
    chunks = chunks_of(path)
    return [np.concatenate([c.codes[i] for c in chunks], axis=1) for i in range(len(chunks[0].codes))]


@pytest.fixture
def song(tmp_path: Path, stereo: NDArray[np.float32], write_wav: WriteWav) -> Path:
    return write_wav(tmp_path / "song.wav", stereo)


@pytest.fixture
def short(tmp_path: Path, stereo: NDArray[np.float32], write_wav: WriteWav) -> Path:
    """Half a second, mono."""
    return write_wav(tmp_path / "short.wav", stereo[0, :22050])


def test_the_result_stands_beside_the_input(song: Path, invoke: Invoke) -> None:
    result = invoke("encode", song)
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith(f"{song} -> {song.with_suffix('.rvq')}: 0:03.000, ")
    assert names_in(song.parent) == ["song.rvq", "song.wav"]
    header = header_of(song.with_suffix(".rvq"))
    assert (header.sample_rate, header.channels, header.coding) == (44100, 2, "mid-side")
    assert header.n_samples == 3 * 44100


def test_quiet_prints_nothing(short: Path, invoke: Invoke) -> None:
    result = invoke("encode", "--quiet", short)
    assert (result.code, result.out, result.err) == (0, "", "")


def test_what_exists_is_overwritten_only_with_f(short: Path, invoke: Invoke) -> None:
    target = short.with_suffix(".rvq")
    target.write_bytes(b"mine")
    result = invoke("encode", short)
    assert (result.code, result.err) == (1, f"rvq: {short}: {target} exists; use -f to overwrite it\n")
    assert target.read_bytes() == b"mine"
    assert invoke("encode", "-f", short).code == 0
    assert target.read_bytes()[:4] == b"\x89RVQ"


@pytest.mark.parametrize("link", [False, True])
def test_the_input_is_never_the_result_not_even_with_f(short: Path, invoke: Invoke, link: bool) -> None:
    before = short.read_bytes()
    target = short
    if link:
        target = short.with_name("other.wav")
        target.symlink_to(short)
    result = invoke("encode", "-f", short, "-o", target)
    assert result.code == 1
    assert "is the input itself" in result.err
    assert short.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "total"),
    [("6kbps", 16), ("6k", 16), ("6", 16), ("6000", 16), ("6000bps", 16), ("4.5kbps", 12), ("0.375", 1),
     ("12", 32), ("5.9kbps", 15)],
)  # fmt: skip
def test_bitrates(short: Path, invoke: Invoke, text: str, total: int) -> None:
    assert invoke("encode", short, "--plain", "-b", text).code == 0
    path = short.with_suffix(".rvq")
    assert header_of(path).total_n_q == total
    assert {chunk.n_q.sum() / chunk.frames for chunk in chunks_of(path)} == {total}


@pytest.mark.parametrize(
    ("text", "hint"),
    [("0.1", "0.375 to 18 kbps"), ("18.1kbps", "0.375 to 18 kbps"), ("6000kbps", "did you mean 6kbps?"),
     ("six", "is not a number"), ("-6", "is not a number"), ("nan", "is not a number"), ("97", "0.375 to 18 kbps")],
)  # fmt: skip
def test_bitrates_that_cannot_be(short: Path, invoke: Invoke, text: str, hint: str) -> None:
    result = invoke("encode", short, f"--bitrate={text}")
    assert result.code == 1
    assert hint in result.err
    assert result.err.count("\n") == 1
    assert names_in(short.parent) == ["short.wav"]


def test_codebooks_are_counted_over_all_channels(song: Path, invoke: Invoke) -> None:
    assert invoke("encode", song, "-q", 20).code == 0
    assert header_of(song.with_suffix(".rvq")).total_n_q == 20
    assert {chunk.n_q.sum() / chunk.frames for chunk in chunks_of(song.with_suffix(".rvq"))} == {20}
    assert invoke("encode", song, "-f", "-q", 93).code == 0
    result = invoke("encode", song, "-f", "-q", 94)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "1 to 93" in result.err
    assert invoke("encode", song, "-f", "-q", 4, "-b", "6").code == 2


def test_a_silent_side_costs_nothing(
    tmp_path: Path, stereo: NDArray[np.float32], invoke: Invoke, write_wav: WriteWav
) -> None:
    write_wav(tmp_path / "one.wav", stereo[0])
    write_wav(tmp_path / "both.wav", np.stack([stereo[0], stereo[0]]))
    assert invoke("encode", tmp_path / "one.wav", tmp_path / "both.wav").code == 0
    one, both = chunks_of(tmp_path / "one.rvq"), chunks_of(tmp_path / "both.rvq")
    assert not any(chunk.n_q[1].any() for chunk in both)
    assert all(np.array_equal(a.n_q[0], b.n_q[0]) for a, b in zip(one, both, strict=True))
    assert all(np.array_equal(a.codes[0], b.codes[0]) for a, b in zip(one, both, strict=True))


def test_constant_gives_every_frame_the_same(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    assert invoke("encode", "--constant", song).code == 0
    assert invoke("encode", "--constant", song, "-b", "3k", "-o", tmp_path / "low.rvq").code == 0
    for chunk in chunks_of(song.with_suffix(".rvq")):
        assert (chunk.n_q == chunk.n_q[:, :1]).all()
        assert 16 <= chunk.n_q[:, 0].sum() <= 24
    assert invoke("trim", song.with_suffix(".rvq"), "-b", "3k", "-o", tmp_path / "trimmed.rvq").code == 0
    assert (tmp_path / "trimmed.rvq").read_bytes() == (tmp_path / "low.rvq").read_bytes()


def test_trimmed_is_encoded(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    assert invoke("encode", song).code == 0
    for rate in ("0.375", "1.5", "3", "4.5"):
        low, trimmed = tmp_path / f"{rate}.rvq", tmp_path / f"{rate}-trimmed.rvq"
        assert invoke("encode", song, "-b", rate, "-o", low).code == 0
        assert invoke("trim", song.with_suffix(".rvq"), "-b", rate, "-o", trimmed).code == 0
        assert trimmed.read_bytes() == low.read_bytes()


def test_mono_mixes_down(
    song: Path, tmp_path: Path, stereo: NDArray[np.float32], invoke: Invoke, write_wav: WriteWav
) -> None:
    assert invoke("encode", "--mono", song).code == 0
    header = header_of(song.with_suffix(".rvq"))
    assert (header.channels, header.coding) == (1, "mono")


def test_tags_are_kept_added_and_replaced(tmp_path: Path, stereo: NDArray[np.float32], invoke: Invoke) -> None:
    import soundfile

    path = tmp_path / "song.flac"
    with soundfile.SoundFile(path, "w", 44100, 1) as file:
        file.title, file.artist = "Old", "Ärtist"
        file.write(stereo[0, :4410])
    assert invoke("encode", path, "--tag", "title=New = better", "--tag", "MOOD=calm").code == 0
    tags = header_of(path.with_suffix(".rvq")).tags
    assert ("ARTIST", "Ärtist") in tags
    assert ("MOOD", "calm") in tags
    assert [value for key, value in tags if key == "TITLE"] == ["New = better"]


@pytest.mark.parametrize(
    ("tag", "hint"),
    [
        ("BIG=" + "x" * 70000, "tag BIG has 70007 bytes"),
        ("novalue", "is not KEY=VALUE"),
        ("=x", "is not KEY=VALUE"),
        ("Gr☂n=x", "tag key"),
        (os.fsdecode(b"TITLE=caf\xe9"), r"TITLE=caf\xe9 is not UTF-8"),
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_own_tags_that_cannot_be_kept_are_usage_errors(short: Path, invoke: Invoke, tag: str, hint: str) -> None:
    result = invoke("encode", short, "--tag", "OK=1", "--tag", tag)
    assert (result.code, hint in result.err) == (2, True)
    assert names_in(short.parent) == ["short.wav"]


@pytest.mark.parametrize(("name", "dtype"), [("s16le", "<i2"), ("f32le", "<f4")])
def test_raw_input_gives_the_codes_of_the_wav(short: Path, invoke: Invoke, name: str, dtype: str) -> None:
    import soundfile

    samples, _ = soundfile.read(short, dtype="int16" if name == "s16le" else "float32")
    raw = short.with_name("raw.pcm")
    raw.write_bytes(samples.astype(dtype).tobytes())
    assert invoke("encode", short).code == 0
    assert invoke("encode", "--raw", "--rate", 44100, "--channels", 1, "--format", name, raw).code == 0
    assert np.array_equal(codes_of(short.with_suffix(".rvq"))[0], codes_of(raw.with_suffix(".rvq"))[0])


def test_raw_needs_its_format_and_other_input_does_not(short: Path, invoke: Invoke) -> None:
    assert invoke("encode", "--raw", short).code == 2
    assert invoke("encode", "--rate", 8000, short).code == 2
    assert invoke("encode", "--raw", "--rate", 1, "--channels", 1, short).code == 1


def test_chunk_length_changes_the_chunks_and_not_the_codes(song: Path, tmp_path: Path, invoke: Invoke) -> None:
    small, big = tmp_path / "small.rvq", tmp_path / "big.rvq"
    assert invoke("encode", "--mono", "--constant", "-q", 16, song, "--chunk", 0.1, "-o", small).code == 0
    assert invoke("encode", "--mono", "--constant", "-q", 16, song, "--chunk", 10, "-o", big).code == 0
    assert [c.frames for c in chunks_of(small)][:-1] == [4] * (len(chunks_of(small)) - 1)
    assert len(chunks_of(big)) == 1
    assert np.array_equal(codes_of(small)[0], codes_of(big)[0])
    assert invoke("encode", "--mono", song, "--chunk", 11).code == 2


def test_a_bad_input_does_not_stop_the_others(song: Path, short: Path, invoke: Invoke) -> None:
    bad = song.with_name("bad.wav")
    bad.write_bytes(b"this is no audio at all, whatever its name says")
    empty = song.with_name("empty.wav")
    empty.write_bytes(b"")
    missing = song.with_name("missing.wav")
    result = invoke("encode", "--quiet", bad, song, missing, short, empty)
    assert result.code == 1
    assert [line.split(":")[0] for line in result.err.splitlines()] == ["rvq"] * 3
    assert [name in line for name, line in zip(("bad", "missing", "empty"), result.err.splitlines(), strict=True)]
    assert {"song.rvq", "short.rvq"} < set(names_in(song.parent))
    assert {"bad.rvq", "empty.rvq"}.isdisjoint(names_in(song.parent))


@pytest.mark.parametrize("jobs", [1, 2])
def test_folders(tmp_path: Path, stereo: NDArray[np.float32], invoke: Invoke, write_wav: WriteWav, jobs: int) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("a.wav", "deep/b.flac", "deep/c.wav", ".hidden.wav"):
        write_wav(tmp_path / "in" / name, stereo[0, :4410])
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    result = invoke("encode", tmp_path / "in", "-o", tmp_path / "out")
    assert (result.code, result.err) == (
        1,
        f"rvq: {tmp_path / 'in'} is a folder; use -r to take the files in it\n",
    )
    assert invoke("encode", "-r", "-j", jobs, tmp_path / "in", "-o", tmp_path / "out").code == 0
    assert names_in(tmp_path / "out") == ["a.rvq", "deep"]
    assert names_in(tmp_path / "out" / "deep") == ["b.rvq", "c.rvq"]


def test_several_jobs_give_what_one_gives(
    tmp_path: Path, stereo: NDArray[np.float32], invoke: Invoke, write_wav: WriteWav
) -> None:
    paths = [write_wav(tmp_path / f"{i}.wav", stereo[:, i * 9000 : i * 9000 + 30000]) for i in range(4)]
    (tmp_path / "bad.wav").write_bytes(b"nothing")
    assert invoke("encode", *paths).code == 0
    result = invoke("encode", "-j", 3, *paths, tmp_path / "bad.wav", "-o", tmp_path / "out/")
    assert (result.code, "bad.wav" in result.err) == (1, True)
    for path in paths:
        assert path.with_suffix(".rvq").read_bytes() == (tmp_path / "out" / f"{path.stem}.rvq").read_bytes()


def test_two_inputs_never_share_a_result(
    tmp_path: Path, stereo: NDArray[np.float32], invoke: Invoke, write_wav: WriteWav
) -> None:
    one = write_wav(tmp_path / "a.wav", stereo[0, :4410])
    other = write_wav(tmp_path / "a.flac", stereo[0, :2205])
    result = invoke("encode", "-f", one, other)
    assert result.code == 1
    assert f"{other}: {tmp_path / 'a.rvq'} is already the result of {one}" in result.err
    assert header_of(tmp_path / "a.rvq").n_samples == 4410


def test_usage_errors(short: Path, invoke: Invoke) -> None:
    assert invoke("encode").code == 2
    assert invoke("encode", "-", short).code == 2
    assert invoke("encode", short, short, "-o", "-").code == 2
    assert invoke("encode", short, short, "-o", short).code == 2
    assert invoke("encode", short, "-o", "-", "--verify").code == 2
    assert invoke("encode", "--device", "tpu", short).code == 2


def test_a_folder_that_is_missing_is_named(short: Path, invoke: Invoke) -> None:
    result = invoke("encode", short, "-o", short.with_name("nowhere") / "a.rvq")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "nowhere" in result.err


def test_verify_finds_what_the_disk_lost(short: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("encode", "--verify", short).code == 0
    from rvqcodec.codec import encoding

    class Forgetful(encoding.Writer):
        def write_chunk(self, chunk: Chunk) -> None:
            codes = tuple(np.zeros_like(c) for c in chunk.codes)
            super().write_chunk(replace(chunk, codes=codes))

    monkeypatch.setattr(encoding, "Writer", Forgetful)
    result = invoke("encode", "-f", "--verify", short)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "not what was written" in result.err


def test_nan_and_infinity_are_repaired_and_told(
    tmp_path: Path, stereo: NDArray[np.float32], invoke: Invoke, write_wav: WriteWav
) -> None:
    samples = stereo[0, :9000].copy()
    samples[[10, 4000]] = np.nan, np.inf
    path = write_wav(tmp_path / "a.wav", samples, subtype="FLOAT")
    result = invoke("encode", "--quiet", path)
    assert result.code == 0
    assert result.err == f"rvq: {path}: 2 samples were NaN, infinite or absurd: repaired\n"


def test_size_is_what_was_asked_for(tmp_path: Path, signals: ModuleType, invoke: Invoke, write_wav: WriteWav) -> None:
    """60 s at 6 kbps: the payload within the bitrate, all the rest under 3 %: demands of tones that come and go."""
    path = write_wav(tmp_path / "a.wav", np.tile(signals.recording(6.0), 10))
    assert invoke("encode", path, "-b", "6kbps").code == 0
    with open(path.with_suffix(".rvq"), "rb") as file:
        reader: Any = Reader(file)
        list(reader)
    limit = 6000 / 8 * 60
    assert reader.payload_bytes <= limit * 1.001 + 20  # the last frame may reach behind the end
    assert reader.total_bytes - reader.payload_bytes < 0.03 * reader.payload_bytes
