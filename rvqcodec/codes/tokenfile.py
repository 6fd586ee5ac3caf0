"""Token files: .npz, .npy and JSON lines to `Codes` and back, nothing pickled, everything checked; no torch.

    .npz    arrays `tokens` uint16 [R, S] and `meta`, a JSON object as text
    .jsonl  `meta` on the first line, then a list of R tokens for each step; where R is 1, of C * K steps a line
    .npy    `tokens` alone: the reader has to know the rest

docs/tokens.md says what stands in `meta`; the patterns are those of formats/patterns.md.
"""

import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rvqcodec.codes.grid import Codes, Plan
from rvqcodec.codes.tokens import Layout, Tokens, deinterleave, interleave
from rvqcodec.container import MAX_CHANNELS, MAX_N_Q, Allocation, Header
from rvqcodec.container.allocation import MAX_WEIGHT
from rvqcodec.container.headerrules import check_header
from rvqcodec.container.payloads import PLAIN
from rvqcodec.errors import FormatError

VERSION = 1
FORMATS = ("npz", "npy", "jsonl")
ENDINGS = {f".{name}": name for name in FORMATS}
MAX_BYTES = 1 << 31  # of tokens or meta, unpacked: days of audio; a file must not order more memory
MAX_STREAMS = MAX_CHANNELS * MAX_N_Q
T = TypeVar("T")


def layout_of(codes: Codes, pattern: str, *, boundaries: bool = False) -> Layout:
    """The pattern laid over these codes."""
    return Layout(pattern, codes.n_q, channels=len(codes.codes), codebook_size=codes.absent, boundaries=boundaries)


def meta_of(codes: Codes, layout: Layout) -> dict[str, Any]:
    """What goes along with the tokens, ready for JSON."""
    header, special = codes.header, layout.special
    return {
        "rvq_tokens": VERSION,
        "model_id": header.model_id,
        "weights_hash": header.weights_hash.hex(),
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "speakers": header.speakers,
        "n_samples": header.n_samples,
        "first_frame": header.first_frame,
        "codec": header.codec,
        "tables": header.tables.hex(),
        "budget": header.budget,
        "coding": header.coding,
        "model_rate": header.model_rate,
        "hop": header.hop,
        "pre_skip": header.pre_skip,
        "frame_rate": codes.frame_rate,
        "code_bits": header.code_bits,
        "total_n_q": header.total_n_q,
        "frames_per_chunk": header.frames_per_chunk,
        "pattern": layout.pattern,
        "boundaries": layout.boundaries,
        "codebooks": layout.n_q,
        "frames": codes.frames,
        "streams": layout.streams,
        "steps": layout.steps(codes.frames),
        "special": {n: getattr(special, n) for n in ("absent", "empty", "start", "end", "vocabulary")},
        "first": header.first,
        "most": header.most,
        "side": header.side,
        "chunks": [_meta_of_plan(plan) for plan in codes.plans],
        "tags": [list(tag) for tag in header.tags],
    }


def dump(codes: Codes, layout: Layout, file_format: str) -> Iterator[bytes]:
    """The bytes of a token file, in pieces."""
    tokens = interleave(codes.rows, layout)
    meta = json.dumps(meta_of(codes, layout))
    if file_format == "jsonl":
        yield meta.encode() + b"\n"
        flat = tokens.T.reshape(-1)
        most = layout.rows * 1024
        for first in range(0, flat.size, most):
            part = flat[first : first + most].tolist()
            lines = (part[at : at + layout.rows] for at in range(0, len(part), layout.rows))
            yield "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
        return
    file = io.BytesIO()
    if file_format == "npy":
        np.save(file, tokens, allow_pickle=False)
    else:
        np.savez_compressed(file, tokens=tokens, meta=np.array(meta))
    yield file.getvalue()


def load(data: bytes, *, strict: bool = True) -> Codes | Tokens:
    """The codes in a token file of any of the formats; of .npy, which says no more, the tokens.

    `strict` as for `tokens.deinterleave`. Errors: FormatError.
    """
    if data[:6] == b"\x93NUMPY":
        return _tokens(_array(data, "tokens"))
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        tokens, meta = _from_npz(data)
    elif data[:1] == b"{":
        tokens, meta = _from_jsonl(data)
    else:
        raise FormatError("this is no token file: neither .npz nor .npy nor JSON lines with an object first", 0)
    return _codes(tokens, meta, strict=strict)


def _codes(tokens: Tokens, meta: dict[str, Any], *, strict: bool) -> Codes:
    version = _field(meta, "rvq_tokens", int)
    if version != VERSION:
        raise FormatError(f"token file of version {version}; this program reads version {VERSION}")
    header = _header(meta)
    codebooks = _field(meta, "codebooks", int)
    if not 1 <= codebooks <= MAX_N_Q:
        raise FormatError(f"token file: {codebooks} codebooks: must be 1 .. {MAX_N_Q}")
    layout = Layout(
        _field(meta, "pattern", str),
        codebooks,
        channels=header.coded_channels,
        codebook_size=1 << header.code_bits,
        boundaries=_field(meta, "boundaries", bool),
    )
    codes = deinterleave(tokens, layout, strict=strict)
    same: dict[str, float] = {
        "steps": tokens.shape[1],
        "frames": codes.shape[1],
        "streams": layout.streams,
        "frame_rate": header.facts.frame_rate,
    }
    for name, here in same.items():
        said = meta.get(name, here)
        if said != here:
            raise FormatError(f"token file: {name} is {said!r} in its meta, but {here} in fact: cut short or altered?")
    special = {n: getattr(layout.special, n) for n in ("absent", "empty", "start", "end", "vocabulary")}
    if meta.get("special", special) != special:
        raise FormatError(f"token file: special tokens {meta['special']!r}: must be {special!r}")
    chunks = meta.get("chunks")
    plans = None
    if chunks is not None:
        if not isinstance(chunks, list):
            raise FormatError("token file: chunks must be a list")
        plans = [_plan(chunk, header) for chunk in chunks]
    grid = codes.reshape(header.coded_channels, layout.n_q, codes.shape[1])
    return Codes.from_array(grid, header, plans=plans)


def _meta_of_plan(plan: Plan) -> dict[str, Any]:
    found = plan.allocation
    return {
        "frames": plan.frames,
        "total": found.total,
        "weights": list(found.weights),
        "demand": None if found.demand is None else [row.hex()[1::2] for row in found.demand],
        "part": found.part,
        "angle": plan.angle,
        "begins": plan.begins,
    }


def _plan(meta: Any, header: Header) -> Plan:
    """A chunk's plan from its meta; what it says of codes is checked when they are written."""
    if not isinstance(meta, dict):
        raise FormatError(f"token file: chunk {meta!r} is no object")
    frames, weights, rows = _field(meta, "frames", int), _field(meta, "weights", list), meta.get("demand")
    if not 1 <= frames <= header.frames_per_chunk:
        raise FormatError(f"token file: a chunk of {frames} frames: must be 1 .. {header.frames_per_chunk}")
    if len(weights) != header.coded_channels or not all(0 <= _integer(w, "weights") <= MAX_WEIGHT for w in weights):
        raise FormatError(f"token file: weights {weights!r}: must be 0 .. {MAX_WEIGHT} for each coded channel")
    demand = None
    if rows is not None:
        if not isinstance(rows, list) or len(rows) != len(weights):
            raise FormatError("token file: demand must be a text for each coded channel")
        demand = tuple(_demand(row, frames if weight else 0) for row, weight in zip(rows, weights, strict=True))
    total = _field(meta, "total", int)
    found = Allocation(total=total, weights=tuple(weights), demand=demand, part=_field(meta, "part", bool))
    if not 0 <= total <= found.capacity(header.limits, frames) or total % (frames // found.columns(frames)):
        raise FormatError(f"token file: {total} codes do not go with {frames} frames")
    return Plan(frames, found, _field(meta, "angle", int), _field(meta, "begins", bool))


def _demand(text: Any, frames: int) -> bytes:
    """Demands from a hexadecimal digit for each frame."""
    if not isinstance(text, str) or len(text) != frames or not set(text) <= set("0123456789abcdef"):
        raise FormatError(f"token file: demand {text!r}: must be {frames} hexadecimal digits")
    return bytes(int(digit, 16) for digit in text)


def _hash(value: Any, name: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except (ValueError, TypeError):
        raise FormatError(f"token file: {name} {value!r} is not hexadecimal") from None


def _header(meta: dict[str, Any]) -> Header:
    weights_hash = _hash(_field(meta, "weights_hash", str), "weights_hash")
    tags = _pairs(meta.get("tags", []), "tags")
    if not all(isinstance(text, str) for tag in tags for text in tag):
        raise FormatError("token file: tags must be pairs of text")
    n_samples, side, speakers = meta.get("n_samples"), meta.get("side"), meta.get("speakers")
    if side is not None:
        ((first, most),) = _pairs([side], "side")
        side = (_integer(first, "side"), _integer(most, "side"))
    header = Header(
        sample_rate=_field(meta, "sample_rate", int),
        channels=_field(meta, "channels", int),
        coding=_field(meta, "coding", str),
        model_id=_field(meta, "model_id", str),
        weights_hash=weights_hash,
        model_rate=_field(meta, "model_rate", int),
        hop=_field(meta, "hop", int),
        code_bits=_field(meta, "code_bits", int),
        total_n_q=_field(meta, "total_n_q", int),
        frames_per_chunk=_field(meta, "frames_per_chunk", int),
        pre_skip=_field(meta, "pre_skip", int),
        n_samples=None if n_samples is None else _integer(n_samples, "n_samples"),
        tags=tuple((key, value) for key, value in tags),
        first=_integer(meta.get("first", 0), "first"),
        most=_integer(meta.get("most", MAX_N_Q), "most"),
        side=side,
        first_frame=_integer(meta.get("first_frame", 0), "first_frame"),
        speakers=None if speakers is None else _integer(speakers, "speakers"),
        codec=_integer(meta.get("codec", PLAIN), "codec"),
        tables=_hash(meta.get("tables", ""), "tables"),
        budget=_integer(meta.get("budget", 0), "budget"),
    )
    check_header(header)
    return header


def _from_jsonl(data: bytes) -> tuple[Tokens, dict[str, Any]]:
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    meta = _object(lines[0])
    streams = _field(meta, "streams", int)
    if not 1 <= streams <= MAX_STREAMS:
        raise FormatError(f"token file: {streams} streams: must be 1 .. {MAX_STREAMS}")
    parts = [np.zeros(0, np.uint16)]
    for first in range(1, len(lines), 1024):
        parts.append(_steps(lines[first : first + 1024], first + 1, streams))
    return np.concatenate(parts).reshape(-1, streams).T, meta


def _steps(lines: list[bytes], number: int, streams: int) -> Tokens:
    """The tokens of lines, the first of which has that number: one after the other, whole steps on each line."""
    flat: list[int] = []
    for line in lines:
        step = _json(line, f"line {number}")
        if not isinstance(step, list) or len(step) % streams or not set(map(type, step)) <= {int}:
            raise FormatError(f"token file, line {number}: must be a list of {streams} integers, or whole steps")
        if step and not 0 <= min(step) <= max(step) < 65536:
            raise FormatError(f"token file, line {number}: tokens are 0 .. 65535")
        flat += step
        number += 1
    return np.array(flat, np.uint16)


def _from_npz(data: bytes) -> tuple[Tokens, dict[str, Any]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {}
            for name in ("tokens", "meta"):
                info = archive.getinfo(f"{name}.npy")
                if info.file_size > MAX_BYTES:
                    raise FormatError(f"token file: {name} has {info.file_size} bytes, more than {MAX_BYTES}")
                parts[name] = archive.read(info)
    except KeyError as error:
        raise FormatError(f"token file: {error.args[0]}; it needs the arrays tokens and meta") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise FormatError(f"token file: the .npz is damaged: {error}") from None
    meta = _array(parts["meta"], "meta")
    if meta.shape != () or meta.dtype.kind != "U":
        raise FormatError("token file: meta must be a text of its own, a JSON object")
    return _tokens(_array(parts["tokens"], "tokens")), _object(meta.item().encode("utf-8", "surrogatepass"))


def _array(data: bytes, name: str) -> npt.NDArray[Any]:
    """An array from the bytes of a .npy file, sizes checked before anything is made; never of objects."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version[0]}.{version[1]} of .npy")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (ValueError, EOFError, OSError, SyntaxError, TypeError, tokenize.TokenError) as error:
        raise FormatError(f"token file: array {name} is damaged: {error}") from None
    if dtype.hasobject or dtype.itemsize == 0:
        raise FormatError(f"token file: array {name} of type {dtype} is refused")
    size = dtype.itemsize
    for n in shape:
        size *= n
    if size != len(data) - file.tell():
        raise FormatError(f"token file: array {name} should have {size} bytes and has {len(data) - file.tell()}")
    array: npt.NDArray[Any] = np.frombuffer(data, dtype, offset=file.tell())
    return array.reshape(shape, order="F" if fortran else "C")


def _tokens(array: npt.NDArray[Any]) -> Tokens:
    if array.ndim != 2 or array.dtype.kind not in "iu":
        raise FormatError(f"tokens {list(array.shape)} of type {array.dtype}: must be integers [R, S]")
    if array.size and not 0 <= array.min() <= array.max() < 65536:
        raise FormatError(f"token file: tokens from {array.min()} to {array.max()}: must be 0 .. 65535")
    return array.astype(np.uint16)


def _object(text: bytes) -> dict[str, Any]:
    value = _json(text, "meta")
    if not isinstance(value, dict):
        raise FormatError("token file: meta must be a JSON object")
    return value


def _json(text: bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"token file, {where}: no JSON: {error}") from None


def _field(meta: dict[str, Any], name: str, kind: type[T]) -> T:
    if name not in meta:
        raise FormatError(f"token file: its meta lacks {name!r}")
    value = meta[name]
    if type(value) is not kind:
        raise FormatError(f"token file: {name} is {value!r}, not of type {kind.__name__}")
    return value


def _integer(value: Any, name: str) -> int:
    if type(value) is not int:
        raise FormatError(f"token file: {name}: {value!r} is no integer")
    return value


def _pairs(value: Any, name: str) -> list[tuple[Any, Any]]:
    if not isinstance(value, list) or not all(isinstance(v, list) and len(v) == 2 for v in value):
        raise FormatError(f"token file: {name} must be a list of pairs")
    return [(a, b) for a, b in value]
