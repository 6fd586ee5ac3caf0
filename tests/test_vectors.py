"""The vectors of formats/: every reader's duties, checked with ours and with one written from the
specification alone.
"""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rvqcodec.cli.text import as_text
from rvqcodec.codes.describe import describe
from rvqcodec.codes.verify import verify
from rvqcodec.container import Damage, Reader
from rvqcodec.container.sharing import STEP
from rvqcodec.errors import FormatError

FORMATS = Path(__file__).resolve().parents[1] / "formats"
EXPECTED: dict[str, Any] = json.loads((FORMATS / "vectors" / "expected.json").read_text())
GOOD = [name for name in EXPECTED if not name.startswith("faulty/")]
FAULTY = [name for name in EXPECTED if name.startswith("faulty/")]


def data_of(name: str) -> bytes:
    return (FORMATS / "vectors" / name).read_bytes()


def number(data: bytes, at: int, size: int) -> int:
    return sum(byte << 8 * i for i, byte in enumerate(data[at : at + size]))


def crc(data: bytes) -> int:
    """CRC-32 without zlib: polynomial EDB88320, all ones before and after."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xEDB88320 * (value & 1)
    return value ^ 0xFFFFFFFF


def naive(data: bytes) -> tuple[int, list[tuple[int, int, list[int], int, list[int]]]]:
    """A second reader, straight from formats/rvq-1.md and with nothing of ours: samples, and every
    chunk with its codes.
    """
    assert data[:5] == b"\x89RVQ\x01"
    size, coding, channels = number(data, 5, 2), data[8], data[9]
    bits, known = data[22], number(data, 27, 8)
    assert crc(data[: size - 4]) == number(data, size - 4, 4)
    checks = data[size - 4 : size]
    at, chunks = size, []
    while data[at + 1] != ord("E"):
        assert data[at] == 0xD5
        if data[at + 1] != ord("C"):
            stop = at + 5 + number(data, at + 2, 3) + 4
        else:
            frames = number(data, at + 6, 2)
            fields = at + 8 + (coding == 1)
            balance = (data[at + 8] ^ 128) - 128 if coding == 1 else 0
            n_q = list(data[fields : fields + channels])
            payload = fields + channels
            length = -(-sum(n_q) * frames * bits // 8)
            run = "".join(f"{byte:08b}" for byte in data[payload : payload + length])
            codes = [int(run[i * bits : (i + 1) * bits], 2) for i in range(sum(n_q) * frames)]
            assert set(run[len(codes) * bits :]) <= {"0"}
            chunks.append((number(data, at + 2, 4), frames, n_q, balance, codes))
            stop = payload + length + 4
        assert crc(data[at : stop - 4]) == number(data, stop - 4, 4)
        checks += data[stop - 4 : stop]
        at = stop
    assert len(data) == at + 26
    assert number(data, at + 2, 4) == sum(chunk[1] for chunk in chunks)
    assert number(data, at + 6, 4) == len(chunks)
    assert number(data, at + 18, 4) == crc(checks)
    assert number(data, at + 22, 4) == crc(data[at : at + 22])
    n_samples = number(data, at + 10, 8)
    assert known in (n_samples, 2**64 - 1)
    return n_samples, chunks


@pytest.mark.parametrize("name", GOOD)
def test_good_files_are_read_as_expected(name: str) -> None:
    want = EXPECTED[name]
    reader = Reader(io.BytesIO(data_of(name)))
    chunks = list(reader)
    for field, value in want["header"].items():
        ours = getattr(reader.header, field)
        if field == "weights_hash":
            ours = ours.hex()
        if field == "tags":
            ours = [list(tag) for tag in ours] if isinstance(value, list) else len(ours)
        assert ours == value, field
    assert reader.end is not None
    assert (reader.end.n_samples, reader.end.frames) == (want["n_samples"], want["frames"])
    assert len(chunks) == len(want["chunks"])
    for chunk, fields in zip(chunks, want["chunks"], strict=True):
        assert not isinstance(chunk, Damage)
        assert (chunk.start_frame, chunk.frames, chunk.balance) == (
            fields["start_frame"],
            fields["frames"],
            fields["balance"],
        )
        assert list(chunk.n_q) == fields["n_q"]


@pytest.mark.parametrize("name", [name for name in GOOD if "tags-64k" not in name])
def test_a_reader_made_from_the_specification_alone_agrees(name: str) -> None:
    data = data_of(name)
    n_samples, theirs = naive(data)
    reader = Reader(io.BytesIO(data))
    ours = []
    for chunk in reader:
        assert not isinstance(chunk, Damage)
        codes = [int(code) for part in chunk.codes for code in part.reshape(-1)]
        ours.append((chunk.start_frame, chunk.frames, list(chunk.n_q), chunk.balance, codes))
    assert ours == theirs
    assert reader.n_samples == n_samples


@pytest.mark.parametrize("name", [name for name in GOOD if "marks-in-codes" not in name])
def test_codes_follow_the_formula(name: str) -> None:
    reader = Reader(io.BytesIO(data_of(name)))
    for chunk in reader:
        assert not isinstance(chunk, Damage)
        for c, codes in enumerate(chunk.codes):
            k, t = np.mgrid[0 : codes.shape[0], chunk.start_frame : chunk.start_frame + chunk.frames]
            assert np.array_equal(codes, (211 * c + 37 * k + 11 * t) % (1 << reader.header.code_bits))


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_files_are_refused_at_the_right_byte(name: str) -> None:
    want = EXPECTED[name]
    with pytest.raises(FormatError) as error:
        list(Reader(io.BytesIO(data_of(name))))
    assert error.value.position == want["position"]
    assert want["reason"] in error.value.reason
    assert "\n" not in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", list(EXPECTED))
def test_verify_and_describe_take_every_vector(name: str) -> None:
    data = data_of(name)
    assert verify(io.BytesIO(data)).ok == (name in GOOD)
    try:
        description = describe(io.BytesIO(data), list_chunks=True)
    except FormatError:
        assert name in FAULTY
    else:
        assert (not description.damage) == (name in GOOD)
        assert all(line.isprintable() for line in as_text(description))


def test_sums_cover_every_file_and_match() -> None:
    lines = (FORMATS / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = [p for p in (FORMATS / "vectors").rglob("*") if p.is_file()]
    assert sorted(sums) == sorted(p.relative_to(FORMATS).as_posix() for p in files)
    for name, digest in sums.items():
        assert hashlib.sha256((FORMATS / name).read_bytes()).hexdigest() == digest, name


def test_every_vector_has_a_paragraph() -> None:
    for name in EXPECTED:
        folder, _, file = name.partition("/")
        assert f"**{file.removesuffix('.rvq')}**" in (FORMATS / "vectors" / folder / "README.md").read_text()


def test_the_example_of_the_specification_is_the_vector() -> None:
    text = (FORMATS / "rvq-1.md").read_text()
    example = text[text.index("## Example") :].split("```")[1]
    pairs = [(int(line[:4]), line[6:30].strip()) for line in example.strip("\n").splitlines()]
    data = data_of("valid/tiny.rvq")
    assert bytes.fromhex("".join(row for _, row in pairs)) == data
    at = 0
    for position, row in pairs:
        assert position == at
        at += len(bytes.fromhex(row))


def test_the_specification_states_the_step_of_the_sharing_rule() -> None:
    text = (FORMATS / "rvq-1.md").read_text()
    assert f"10 × balance − {STEP} × n_mid ≥ −{STEP} × n_side" in text
    assert f"(a codebook is reckoned to lower its channel by {STEP / 10:g} dB; STEP = {STEP})" in " ".join(text.split())


def test_the_generator_makes_these_very_files_and_refuses_others(tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "formats"
    shutil.copytree(FORMATS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-B", str(copy / "make_vectors")]
    environment = {"PYTHONPATH": str(FORMATS.parent), "PATH": ""}
    tiny = copy / "vectors" / "valid" / "tiny.rvq"
    tiny.write_bytes(tiny.read_bytes() + b"x")
    refused = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert refused.returncode == 1
    assert "tiny.rvq" in refused.stderr
    assert tiny.read_bytes() != data_of("valid/tiny.rvq")
    tiny.unlink()
    made = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    for path in sorted(FORMATS.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            assert (copy / path.relative_to(FORMATS)).read_bytes() == path.read_bytes()
