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

import naive_coding
import numpy as np
import pytest

from rvqcodec import speakers
from rvqcodec.cli.text import as_text
from rvqcodec.codes.describe import describe
from rvqcodec.codes.verify import verify
from rvqcodec.container import Damage, Reader
from rvqcodec.container.allocation import SHARES as OURS
from rvqcodec.container.chunks import MAX_BLOCK
from rvqcodec.errors import FormatError

FORMATS = Path(__file__).resolve().parents[1] / "formats"
EXPECTED: dict[str, Any] = json.loads((FORMATS / "vectors" / "expected.json").read_text())
TABLES = naive_coding.tables(FORMATS.parent / "weights")
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


SHARES = [0] + [round(100 * 2 ** (d / 2)) for d in range(15)]


def demands_of(bits: str, frames: int) -> tuple[list[int], str]:
    """The demands of one channel, and the bits behind them."""
    k, values = int(bits[:2], 2), [int(bits[2:6], 2)]
    bits = bits[6:]
    while True:
        ones = bits.index("0")
        run = ones * 2**k + int("0" + bits[ones + 1 : ones + 1 + k], 2)
        bits = bits[ones + 1 + k :]
        values += [values[-1]] * run
        assert len(values) <= frames
        if len(values) == frames:
            return values, bits
        sign, ones = (1 if bits[0] == "1" else -1), bits[1:].index("0")
        values.append(values[-1] + sign * (ones + 1))
        assert 0 <= values[-1] <= 15
        bits = bits[ones + 2 :]


def order_of(limits: list[tuple[int, int]], weights: list[int], demands: list[list[int]]) -> list[tuple[int, int, int]]:
    """(channel, code, frame) of all codes that there could be, in the order in which they are handed out."""
    ranked = []
    for c, (first, most) in enumerate(limits):
        for t, demand in enumerate(demands[c]):
            for k in range(most if weights[c] and demand else 0):
                rank = weights[c] * SHARES[demand] * 65536 // (2 * k + 3)
                ranked.append((k >= first, 0 if k < first else -rank, k, c, t))
    return [(c, k, t) for _, _, k, c, t in sorted(ranked)]


USUAL = [0x4, 0x3, 0x7, 0x33, 0x37, 0x3F, 0x70F, 0x63F]


def speakers_of(data: bytes) -> int:
    """The channels' loudspeakers by the record `s`, or the usual ones."""
    at, end, channels = 48 + data[47], number(data, 5, 2) - 4, data[9]
    found, first = USUAL[channels - 1], at
    while at < end:
        kind, size = data[at], number(data, at + 1, 2)
        if kind == ord("s"):
            assert at == first or (data[first] == ord("f") and at == first + 7)
            assert size == 4
            found = number(data, at + 3, 4)
            assert found != USUAL[channels - 1]
            assert found < 1 << 18
            assert f"{found:b}".count("1") <= channels
        at += 3 + size
    assert at == end
    return found


Chunks = list[tuple[int, int, int, bool, list[list[int]], list[int]]]


def naive(data: bytes) -> tuple[int, Chunks]:
    """A second reader, straight from formats/rvq-1.md and with nothing of ours: samples, and of every chunk its first
    frame, frames, angle, whether it begins, the numbers of codes, and these channel by channel, codebook by codebook.
    """
    assert data[:5] == b"\x89RVQ\x01"
    size, codec, coding, channels = number(data, 5, 2), data[7], data[8], data[9]
    bits, known = data[22], number(data, 27, 8)
    limits = [(data[43], data[44])] * channels
    if coding == 1:
        limits[1] = (data[45], data[46])
    assert crc(data[: size - 4]) == number(data, size - 4, 4)
    checks = data[size - 4 : size]
    at, chunks = size, []
    while data[at + 1] != ord("E"):
        assert data[at] == 0xD5
        if data[at + 1] != ord("C"):
            stop = at + 5 + number(data, at + 2, 3) + 4
        else:
            frames, total, flags = number(data, at + 6, 2), number(data, at + 8, 3), data[at + 11]
            fields = at + 12 + (coding == 1)
            angle = data[at + 12] if coding == 1 else 32
            assert flags in (0, 1, 2, 4, 5, 6)
            weights = list(data[fields : fields + channels])
            packed = fields + channels + (5 if codec else 2)
            payload = packed + number(data, fields + channels, 2)
            rest = "".join(f"{byte:08b}" for byte in data[packed:payload])
            same = flags & 1 == 1
            demands = []
            for weight in weights:
                row = [1] if same else [0] * frames
                if weight and not same:
                    row, rest = demands_of(rest, frames)
                demands.append(row)
            assert len(rest) < 8
            assert set(rest) <= {"0"}
            places = order_of(limits, weights, demands)[: total // frames if same else total]
            if same:
                places = [(c, k, t) for c, k, _ in places for t in range(frames)]
            assert len(places) == total
            length = -(-total * bits // 8)
            if codec and number(data, packed - 3, 3) < length:
                length = number(data, packed - 3, 3)
                wanted = [[12 * (w > 0)] * frames for w in weights] if same else demands
                found = naive_coding.decode(TABLES, data[payload : payload + length], places, wanted, coding == 1)
            else:
                run = "".join(f"{byte:08b}" for byte in data[payload : payload + length])
                found = {place: int(run[i * bits : (i + 1) * bits], 2) for i, place in enumerate(places)}
                assert set(run[total * bits :]) <= {"0"}
            n_q = [[sum((c, k, t) in found for k in range(64)) for t in range(frames)] for c in range(channels)]
            numbers = number(data, at + 2, 4), frames, angle, bool(flags & 4), n_q
            chunks.append((*numbers, [found[place] for place in sorted(found)]))
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
        if field in ("weights_hash", "tables"):
            ours = ours.hex()
        if field == "tags":
            ours = [list(tag) for tag in ours] if isinstance(value, list) else len(ours)
        if field == "side" and ours:
            ours = list(ours)
        assert ours == value, field
    assert reader.end is not None
    assert (reader.end.n_samples, reader.end.frames) == (want["n_samples"], want["frames"])
    assert len(chunks) == len(want["chunks"])
    for chunk, fields in zip(chunks, want["chunks"], strict=True):
        assert not isinstance(chunk, Damage)
        assert (chunk.start_frame, chunk.frames, chunk.angle, chunk.begins) == (
            fields["start_frame"],
            fields["frames"],
            fields["angle"],
            fields.get("begins", False),
        )
        assert list(chunk.allocation.weights) == fields["weights"]
        assert [" ".join(map(str, row)) for row in chunk.n_q.tolist()] == fields["n_q"]


@pytest.mark.parametrize("name", [name for name in GOOD if "tags-64k" not in name])
def test_a_reader_made_from_the_specification_alone_agrees(name: str) -> None:
    data = data_of(name)
    n_samples, theirs = naive(data)
    reader = Reader(io.BytesIO(data))
    ours = []
    for chunk in reader:
        assert not isinstance(chunk, Damage)
        present = [np.arange(len(part))[:, None] < n for part, n in zip(chunk.codes, chunk.n_q, strict=True)]
        codes = [int(code) for part, where in zip(chunk.codes, present, strict=True) for code in part[where]]
        numbers = chunk.start_frame, chunk.frames, chunk.angle, chunk.begins, chunk.n_q.tolist()
        ours.append((*numbers, codes))
    assert ours == theirs
    assert reader.n_samples == n_samples
    assert reader.header.layout == speakers_of(data)


@pytest.mark.parametrize("name", [name for name in GOOD if name.startswith("coded/")])
def test_likely_codes_are_the_expected_ones(name: str) -> None:
    digest = hashlib.sha256()
    for chunk in Reader(io.BytesIO(data_of(name))):
        assert not isinstance(chunk, Damage)
        for rows in chunk.codes:
            digest.update(rows.astype("<u2").tobytes())
    assert digest.hexdigest() == EXPECTED[name]["codes_sha256"]


@pytest.mark.parametrize("name", [n for n in GOOD if "marks-in-codes" not in n and not n.startswith("coded/")])
def test_codes_follow_the_formula(name: str) -> None:
    reader = Reader(io.BytesIO(data_of(name)))
    for chunk in reader:
        assert not isinstance(chunk, Damage)
        for c, codes in enumerate(chunk.codes):
            k, t = np.mgrid[0 : codes.shape[0], chunk.start_frame : chunk.start_frame + chunk.frames]
            wanted = (211 * c + 37 * k + 11 * t) % (1 << reader.header.code_bits)
            assert np.array_equal(codes, np.where(k < chunk.n_q[c], wanted, 0))


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


def test_the_specification_states_the_rule() -> None:
    text = " ".join((FORMATS / "rvq-1.md").read_text().split())
    assert ", ".join(f"{share:,}" for share in SHARES) in text
    assert tuple(SHARES) == OURS
    assert f"{MAX_BLOCK:,} bytes" in text
    assert ", ".join(f"{mask:X}" for mask in speakers.USUAL) + " in hexadecimal" in text


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
