"""Codes in memory and token files: exact round trips in every format, and every fault refused by name."""

import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rvqfiles import HEADER, make_allocation

from rvqcodec.codes.grid import Codes, Plan
from rvqcodec.codes.tokenfile import FORMATS, dump, layout_of, load, meta_of
from rvqcodec.codes.tokens import PATTERNS, interleave
from rvqcodec.container import Chunk, Writer
from rvqcodec.container.allocation import constant
from rvqcodec.container.chunks import MID_SIDE_ANGLE
from rvqcodec.errors import FormatError

MONO = dataclasses.replace(HEADER, total_n_q=16, frames_per_chunk=128, first=1)


def recording(
    seed: int, *, coding: str = "mono", channels: int = 1, total: int = 4, frames: int = 20, chunk: int = 7
) -> bytes:
    """An .rvq file of random codes, with random demands in every chunk."""
    rng = np.random.default_rng(seed)
    header = dataclasses.replace(
        MONO,
        coding=coding,
        channels=channels,
        total_n_q=total,
        frames_per_chunk=chunk,
        sample_rate=[8000, 44100, 48000][seed % 3],
        tags=(("TITLE", "a \u2603"), ("TITLE", "b")) if seed % 2 else (),
    )
    header = dataclasses.replace(header, n_samples=header.samples_in(frames))
    file = io.BytesIO()
    writer = Writer(file, header)
    for start in range(0, frames, chunk):
        n = min(chunk, frames - start)
        codes = rng.integers(0, 1024, (channels, 32, n)).astype(np.uint16)
        angle = int(rng.integers(64)) if coding == "mid-side" else MID_SIDE_ANGLE
        writer.write_chunk(Chunk.of(header, start, make_allocation(header, start, n, seed=seed), list(codes), angle))
    writer.close(header.n_samples or 0)
    return file.getvalue()


def written(codes: Codes) -> bytes:
    file = io.BytesIO()
    codes.write(file)
    return file.getvalue()


recordings = st.builds(
    lambda seed, kind, total, frames, chunk: recording(
        seed,
        coding=kind[0],
        channels=kind[1],
        total=max(kind[1], total) // kind[1] * kind[1] if kind[0] == "discrete" else total,
        frames=frames,
        chunk=chunk,
    ),
    st.integers(0, 2**32 - 1),
    st.sampled_from([("mono", 1), ("mid-side", 2), ("discrete", 3)]),
    st.integers(1, 32),
    st.integers(0, 40),
    st.integers(1, 30),
)


@settings(max_examples=40, deadline=None)
@given(recordings, st.sampled_from(PATTERNS), st.booleans(), st.sampled_from(["npz", "jsonl"]))
def test_rvq_to_tokens_and_back_is_the_same_file(data: bytes, pattern: str, boundaries: bool, file_format: str) -> None:
    codes = Codes.read(io.BytesIO(data))
    tokens = b"".join(dump(codes, layout_of(codes, pattern, boundaries=boundaries), file_format))
    back = load(tokens)
    assert isinstance(back, Codes)
    assert np.array_equal(back.codes, codes.codes)
    assert back.header == codes.header
    assert written(back) == data


@settings(max_examples=25, deadline=None)
@given(recordings)
def test_codes_alone_make_an_equal_recording(data: bytes) -> None:
    codes = Codes.read(io.BytesIO(data))
    header = dataclasses.replace(codes.header, total_n_q=codes.header.coded_channels, frames_per_chunk=128)
    alone = Codes.from_array(codes.codes.astype(np.int64), header)
    assert np.array_equal(alone.codes, codes.codes)
    again = Codes.read(io.BytesIO(written(alone)))
    assert np.array_equal(again.codes, codes.codes)


def test_mono_codes_as_rows() -> None:
    codes = Codes.from_array(np.arange(12).reshape(3, 4), MONO)
    assert codes.codes.shape == (1, 3, 4)
    assert codes.rows.shape == (3, 4)
    assert (codes.n_q, codes.frames, codes.absent, codes.frame_rate) == (3, 4, 1024, 37.5)
    assert codes.header.n_samples == 4 * 1176 - 588
    assert codes.plans == (Plan(4, constant((3,), 4)),)
    tensor = codes.to_torch()
    assert str(tensor.dtype) == "torch.int64"
    assert tensor.tolist() == codes.codes.tolist()


def test_a_chunk_ends_where_the_number_of_codebooks_changes() -> None:
    grid = np.zeros((2, 6), int)
    grid[1, 2:4] = 1024
    codes = Codes.from_array(grid, MONO)
    assert [plan.frames for plan in codes.plans] == [2, 2, 2]
    assert [chunk.n_q.tolist() for chunk in codes.chunks()] == [[[2, 2]], [[1, 1]], [[2, 2]]]


def test_streamed_header_gets_its_length() -> None:
    file = io.BytesIO()
    writer = Writer(file, MONO)
    writer.write_chunk(Chunk.of(MONO, 0, constant((1,), 2), [np.zeros((1, 2), np.uint16)]))
    writer.close(1200)
    assert Codes.read(io.BytesIO(file.getvalue())).header.n_samples == 1200


def test_npy_is_the_tokens_alone() -> None:
    codes = Codes.from_array(np.arange(12).reshape(3, 4), MONO)
    layout = layout_of(codes, "delay")
    data = b"".join(dump(codes, layout, "npy"))
    tokens = load(data)
    assert isinstance(tokens, np.ndarray)
    assert np.array_equal(tokens, interleave(codes.rows, layout))
    assert np.array_equal(np.load(io.BytesIO(data), allow_pickle=False), tokens)


def test_others_can_read_what_we_write() -> None:
    codes = Codes.from_array(np.arange(12).reshape(3, 4), MONO)
    layout = layout_of(codes, "partial-delay")
    with np.load(io.BytesIO(b"".join(dump(codes, layout, "npz"))), allow_pickle=False) as file:
        meta = json.loads(file["meta"].item())
        tokens = file["tokens"]
    assert (meta["model_id"], meta["frame_rate"], meta["n_samples"]) == ("test-1", 37.5, 4116)
    assert meta["weights_hash"] == "0123456789abcdef"
    assert meta["special"]["absent"] == 1024
    lines = b"".join(dump(codes, layout, "jsonl")).decode().splitlines()
    assert json.loads(lines[0]) == meta
    assert [json.loads(line) for line in lines[1:]] == tokens.T.tolist()


def test_little_meta_is_enough() -> None:
    meta = meta_of(Codes.from_array(np.zeros((2, 3), int), MONO), layout_of(_small(), "parallel"))
    for name in ("n_samples", "frames", "steps", "frame_rate", "special", "chunks", "tags"):
        del meta[name]
    codes = load(_jsonl(meta, [[1, 2]] * 5))
    assert isinstance(codes, Codes)
    assert codes.frames == 5
    assert codes.header.n_samples == 5 * 1176 - 588


CHUNK = {"frames": 3, "total": 6, "weights": [6], "demand": None, "part": False, "angle": 16, "begins": False}


def _small() -> Codes:
    return Codes.from_array(np.zeros((2, 3), int), MONO)


def _jsonl(meta: object, steps: list[list[int]]) -> bytes:
    return b"\n".join(json.dumps(line).encode() for line in [meta, *steps])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rvq_tokens": 2}, "version 2; this program reads version 1"),
        ({"rvq_tokens": True}, "not of type int"),
        ({"weights_hash": "xyz"}, "'xyz' is not hexadecimal"),
        ({"weights_hash": "00"}, "weights hash has 1 bytes"),
        ({"model_id": "a b"}, "model id 'a b'"),
        ({"sample_rate": 44100.0}, "sample_rate is 44100.0, not of type int"),
        ({"sample_rate": 0}, "sample_rate 0 is not in"),
        ({"coding": "mid-side"}, "1 channels do not go with mid-side"),
        ({"n_samples": 100000}, "100000 samples do not go with 3 frames"),
        ({"n_samples": "3"}, "'3' is no integer"),
        ({"pattern": "zigzag"}, "unknown pattern 'zigzag'"),
        ({"pattern": None}, "pattern is None"),
        ({"boundaries": True}, "has 1026 there"),
        ({"codebooks": 65}, "65 codebooks: must be 1 .. 64"),
        ({"codebooks": 10**12}, "must be 1 .. 64"),
        ({"codebooks": 3}, "needs"),
        ({"streams": 3}, "line 2: must be a list of 3 integers"),
        ({"streams": 0}, "0 streams: must be 1 .. 512"),
        ({"steps": 4}, "steps is 4 in its meta, but 3 in fact: cut short or altered"),
        ({"frames": 2}, "frames is 2"),
        ({"frame_rate": 75}, "frame_rate is 75"),
        ({"code_bits": 16}, "must be 1 .. 65532"),
        ({"special": {}}, "special tokens"),
        ({"chunks": [[3]]}, "is no object"),
        ({"chunks": {}}, "chunks must be a list"),
        ({"chunks": [CHUNK | {"frames": 0}]}, "a chunk of 0 frames: must be 1 .. 128"),
        ({"chunks": [CHUNK | {"frames": 2, "total": 4}]}, "1 chunks of 2 frames in all: must fit 3"),
        ({"chunks": [CHUNK | {"angle": 5}]}, "an angle other than 32 does not go with mono"),
        ({"chunks": [CHUNK | {"frames": 3.0}]}, "frames is 3.0, not of type int"),
        ({"chunks": [CHUNK | {"weights": [256]}]}, "weights .256.: must be 0 .. 255 for each coded channel"),
        ({"chunks": [CHUNK | {"weights": [1, 1]}]}, "for each coded channel"),
        ({"chunks": [CHUNK | {"total": 5}]}, "5 codes do not go with 3 frames"),
        ({"chunks": [CHUNK | {"total": -3}]}, "-3 codes do not go"),
        ({"chunks": [CHUNK | {"demand": ["12"]}]}, "demand '12': must be 3 hexadecimal digits"),
        ({"chunks": [CHUNK | {"demand": ["1_2"]}]}, "must be 3 hexadecimal digits"),
        ({"chunks": [CHUNK | {"demand": "123"}]}, "a text for each coded channel"),
        ({"side": [1, 2, 3]}, "side must be a list of pairs"),
        ({"tags": [["A", 1]]}, "pairs of text"),
        ({"tags": [["A=", "1"]]}, "tag key"),
    ],
)
def test_altered_meta_is_refused(change: dict[str, object], message: str) -> None:
    meta = {**meta_of(_small(), layout_of(_small(), "parallel")), **change}
    with pytest.raises(FormatError, match=message):
        load(_jsonl(meta, [[0, 0]] * 3))


def test_missing_meta_is_named() -> None:
    meta = meta_of(_small(), layout_of(_small(), "parallel"))
    for name in ("model_id", "weights_hash", "pattern", "sample_rate", "codebooks"):
        with pytest.raises(FormatError, match=f"lacks '{name}'"):
            load(_jsonl({k: v for k, v in meta.items() if k != name}, [[0, 0]] * 3))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[0, 1", "line 3: no JSON"),
        (b"[0]", "line 3: must be a list of 2"),
        (b"[0, 1.0]", "line 3: must be"),
        (b"[0, true]", "line 3: must be"),
        (b"[0, 65536]", "line 3: tokens are 0"),
        (b"[0, -1]", "line 3: tokens are 0"),
        (b"[0, 1025]", "value 1025 in row 1, column 1"),
        (b"[" * 100000, "line 3: no JSON"),
    ],
)
def test_bad_lines_are_named(line: bytes, message: str) -> None:
    meta = meta_of(_small(), layout_of(_small(), "parallel"))
    lines = _jsonl(meta, [[0, 0]] * 3).split(b"\n")
    lines[2] = line
    with pytest.raises(FormatError, match=message):
        load(b"\n".join(lines))


def _npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def test_npz_that_is_none() -> None:
    meta = np.array(json.dumps(meta_of(_small(), layout_of(_small(), "parallel"))))
    tokens = np.zeros((2, 3), np.int32)
    assert isinstance(load(_npz(tokens=tokens, meta=meta)), Codes)
    for arrays, message in [
        ({"meta": meta}, "tokens.npy"),
        ({"tokens": tokens}, "meta.npy"),
        ({"tokens": tokens, "meta": np.array([1])}, "meta must be a text"),
        ({"tokens": tokens, "meta": np.array("[]")}, "meta must be a JSON object"),
        ({"tokens": tokens, "meta": np.array("\ud800")}, "no JSON"),
        ({"tokens": tokens * 0.5, "meta": meta}, "must be integers"),
        ({"tokens": tokens[0], "meta": meta}, "must be integers"),
        ({"tokens": tokens - 1, "meta": meta}, "tokens from -1 to -1"),
        ({"tokens": np.array([[{}]]), "meta": meta}, "is refused"),
    ]:
        with pytest.raises(FormatError, match=message):
            load(_npz(**arrays))


def test_a_npy_header_orders_no_memory() -> None:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<u2", "fortran_order": False, "shape": (2**40, 2**10)})
    with pytest.raises(FormatError, match="should have"):
        load(file.getvalue())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("tokens.npy", file.getvalue())
        archive.writestr("meta.npy", file.getvalue())
    with pytest.raises(FormatError, match="should have"):
        load(packed.getvalue())


def test_a_npy_header_with_a_bracket_too_many_is_damage() -> None:
    """numpy tokenizes a header that it cannot read, in case Python 2 wrote it."""
    whole = bytearray(b"".join(dump(_small(), layout_of(_small(), "delay"), "npy")))
    whole[whole.index(b"order'") + 6] = ord("(")
    with pytest.raises(FormatError, match="damaged"):
        load(bytes(whole))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(FORMATS), st.data())
def test_damage_is_a_format_error(file_format: str, data: st.DataObject) -> None:
    whole = b"".join(dump(_small(), layout_of(_small(), "delay"), file_format))
    end = data.draw(st.integers(0, len(whole)))
    broken = bytearray(whole[:end])
    for at in data.draw(st.lists(st.integers(0, max(0, end - 1)), max_size=3)):
        if broken:
            broken[at] = data.draw(st.integers(0, 255))
    try:
        codes = load(bytes(broken))
    except FormatError:
        return
    if isinstance(codes, Codes):
        assert codes.codes.shape[0] == 1
        written(codes)


def test_what_is_no_token_file() -> None:
    for data in (b"", b"RIFF", b"PK", b"[]"):
        with pytest.raises(FormatError, match="no token file"):
            load(data)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((2, 2, 3), int), r"codes \[2, 2, 3\] of type uint16: must be uint16 \[1, K, T\]"),
        (np.zeros(3, int), "must be integers"),
        (np.zeros((2, 3)), "must be integers"),
        (np.full((2, 3), 1025), "must be 0 .. 1023, or 1024"),
    ],
)
def test_arrays_that_are_no_codes(codes: np.ndarray, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Codes.from_array(codes, MONO)


def test_absent_below_a_code_cannot_be_written() -> None:
    codes = Codes.from_array([[1024, 1024], [3, 3]], MONO)
    with pytest.raises(FormatError, match="frames 0 to 1: absent"):
        written(codes)
