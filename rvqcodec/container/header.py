"""The file's first bytes: `Header`, its rules, and its form as bytes."""

import re
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from rvqcodec.container.allocation import Limits
from rvqcodec.container.facts import ModelFacts
from rvqcodec.container.payloads import CODED, PAYLOADS, PLAIN
from rvqcodec.container.shapes import TABLES_HASH, Key
from rvqcodec.container.tags import tag_problem
from rvqcodec.errors import FormatError
from rvqcodec.speakers import problem as speakers_problem
from rvqcodec.speakers import usual

MAGIC = b"\x89RVQ"
VERSION = 1
CODINGS = ("mono", "mid-side", "discrete")
MAX_CHANNELS = 8
MAX_N_Q = 64
MAX_FRAMES_PER_CHUNK = 1024
FRAMES_PER_CHUNK = 128  # unless somebody chooses another number
MAX_HEADER = 65535
UNKNOWN = (1 << 64) - 1
MAX_FIRST_FRAME = (1 << 32) - 1
MAX_BUDGET = (1 << 24) - 1
MAX_SAMPLES = 1 << 53
"""More than a thousand years; keeps every sum inside what JSON and doubles hold exactly."""

_FIXED = struct.Struct("<4sBHBBBIIHHBHHQ8s4BB")
_RECORD = struct.Struct("<cH")
_CRC = struct.Struct("<I")
MIN_HEADER = _FIXED.size + 1 + _CRC.size

_MODEL_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")

_CODEC_AT = 7
_RULES: tuple[tuple[str, int, int, int], ...] = (
    # field, where it stands, least, most
    ("channels", 9, 1, MAX_CHANNELS),
    ("sample_rate", 10, 1000, 768000),
    ("model_rate", 14, 1000, 768000),
    ("hop", 18, 1, 65535),
    ("pre_skip", 20, 0, 65535),
    ("code_bits", 22, 1, 16),
    ("total_n_q", 23, 1, MAX_CHANNELS * MAX_N_Q),
    ("frames_per_chunk", 25, 1, MAX_FRAMES_PER_CHUNK),
)
_N_SAMPLES_AT = 27
_LIMITS_AT = 43
_MODEL_ID_AT = 47
_BUDGET = 3  # bytes
_LEADING = b"fsc"


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a decoder must know before the first chunk; everything but `tags` is needed to decode.

    `n_samples` counts samples per channel at `sample_rate` (None: not known when the header was written).
    `frames_per_chunk` is the most frames that a chunk has. `total_n_q` is the most codes that a frame has in the mean
    over its chunk, over all coded channels. In each coded channel a frame gets its first `first` codes before the
    demand for more counts, and never more than `most`; `side` is this pair for the second channel of mid-side coding
    (None: the same; always None with other codings). `first_frame` is not 0 in a part of a recording: the frame at
    which it stood there, for the decoder's noise. `weights_hash` is the first 8 bytes of the sha256 of the weights
    that define the codes. `codec` chooses the payload of chunks (`payloads.PAYLOADS`). `speakers` is the mask of the
    channels' loudspeakers, as in `rvqcodec.speakers` (None: the usual one of so many channels). With codec 1 `tables`
    is the first 4 bytes of the sha256 of the tables that codes are coded with, and `budget` the most that a chunk's
    payload takes, in bits per second (0: as much as its codes take).
    """

    sample_rate: int
    channels: int
    coding: str
    model_id: str
    weights_hash: bytes
    model_rate: int
    hop: int
    code_bits: int
    total_n_q: int
    frames_per_chunk: int
    pre_skip: int
    n_samples: int | None = None
    first_frame: int = 0
    tags: tuple[tuple[str, str], ...] = ()
    codec: int = PLAIN
    first: int = 1
    most: int = MAX_N_Q
    side: tuple[int, int] | None = None
    speakers: int | None = None
    tables: bytes = b""
    budget: int = 0

    def __post_init__(self) -> None:
        # One form for each header, so that one that was read equals the one that was written.
        side = (self.side or (self.first, self.most)) if self.coding == "mid-side" else None
        object.__setattr__(self, "side", side)
        if 1 <= self.channels <= MAX_CHANNELS and self.speakers == usual(self.channels):
            object.__setattr__(self, "speakers", None)

    @classmethod
    def of(
        cls,
        facts: ModelFacts,
        *,
        sample_rate: int,
        channels: int,
        total_n_q: int | None = None,
        frames_per_chunk: int = FRAMES_PER_CHUNK,
        n_samples: int | None = None,
        tags: tuple[tuple[str, str], ...] = (),
        speakers: int | None = None,
    ) -> "Header":
        """The header of a model's codes: one channel alone, two turned if the model codes pairs, else each by itself.

        total_n_q: None for one codebook a channel, where the codes themselves will tell how many there are.
        """
        return cls(
            sample_rate=sample_rate,
            channels=channels,
            coding="mono" if channels == 1 else "mid-side" if channels == 2 and facts.pairs else "discrete",
            model_id=facts.model_id,
            weights_hash=facts.weights_hash,
            model_rate=facts.model_rate,
            hop=facts.hop,
            code_bits=facts.code_bits,
            total_n_q=channels if total_n_q is None else total_n_q,
            frames_per_chunk=frames_per_chunk,
            pre_skip=facts.pre_skip,
            n_samples=n_samples,
            tags=tags,
            first=facts.first_n_q,
            most=facts.max_n_q,
            side=facts.side,
            speakers=speakers,
        )

    @property
    def facts(self) -> ModelFacts:
        """What the file says of its model."""
        return ModelFacts(
            model_id=self.model_id,
            weights_hash=self.weights_hash,
            model_rate=self.model_rate,
            hop=self.hop,
            pre_skip=self.pre_skip,
            code_bits=self.code_bits,
            max_n_q=self.most,
            first_n_q=self.first,
            side=self.side if self.side != (self.first, self.most) else None,
            pairs=not (self.coding == "discrete" and self.channels == 2),
        )

    @property
    def limits(self) -> Limits:
        """(first, most) of each coded channel."""
        if self.side is not None:
            return ((self.first, self.most), self.side)
        return ((self.first, self.most),) * self.channels

    @property
    def layout(self) -> int:
        """The mask of the loudspeakers, whether the file says it or it is the usual one."""
        return usual(self.channels) if self.speakers is None else self.speakers

    @property
    def coder(self) -> Key | None:
        """Who codes the codes; None where they are packed."""
        if self.codec != CODED:
            return None
        return Key(self.model_id, self.weights_hash, self.tables, self.coding == "mid-side")

    @property
    def coded_channels(self) -> int:
        """How many channels are coded: as many as the audio has, mixed or not."""
        return self.channels

    def model_samples(self, n_samples: int) -> int:
        """Samples at the model's rate that `n_samples` at the file's sample rate become."""
        return -(-n_samples * self.model_rate // self.sample_rate)

    def frames_for(self, n_samples: int) -> int:
        """Frames that `n_samples` samples (at the file's sample rate) take; 0 for 0."""
        return -(-(self.model_samples(n_samples) + self.pre_skip) // self.hop) if n_samples else 0

    def samples_in(self, frames: int) -> int:
        """The most samples (at the file's sample rate) that take no more than `frames` frames."""
        return max(0, frames * self.hop - self.pre_skip) * self.sample_rate // self.model_rate

    def seconds(self, frames: int) -> float:
        """The length of `frames` frames."""
        return frames * self.hop / self.model_rate


def valid_model_id(text: str) -> bool:
    """Whether a header can carry a model id."""
    return _MODEL_ID.fullmatch(text) is not None


def check_header(header: Header) -> None:
    """Raises FormatError for the first rule that a header breaks, with the position where that field
    stands.
    """
    if header.codec not in PAYLOADS:
        raise FormatError(_unknown_codec(header.codec), _CODEC_AT)
    for name, position, least, most in _RULES:
        value = getattr(header, name)
        if not least <= value <= most:
            raise FormatError(f"header: {name} {value} is not in {least} to {most}", position)
    if header.coding not in CODINGS:
        raise FormatError(f"header: channel coding {header.coding!r} is none of {', '.join(CODINGS)}", 8)
    wanted = {"mono": (1, 1), "mid-side": (2, 2), "discrete": (2, MAX_CHANNELS)}[header.coding]
    if not wanted[0] <= header.channels <= wanted[1]:
        raise FormatError(f"header: {header.channels} channels do not go with {header.coding} coding", 9)
    for i, (first, most) in enumerate(header.limits[:2] if header.side else header.limits[:1]):
        if not (1 <= most <= MAX_N_Q and 0 <= first <= most):
            raise FormatError(
                f"header: {first} first codes of at most {most} are not 0 to {MAX_N_Q}, rising", _LIMITS_AT + 2 * i
            )
    capacity = sum(most for _, most in header.limits)
    if header.total_n_q > capacity:
        raise FormatError(f"header: total_n_q {header.total_n_q} is over {capacity}, the most of all channels", 23)
    if header.n_samples is not None and not 0 <= header.n_samples <= MAX_SAMPLES:
        raise FormatError(f"header: n_samples {header.n_samples} is over {MAX_SAMPLES}", _N_SAMPLES_AT)
    if not 0 <= header.first_frame <= MAX_FIRST_FRAME:
        raise FormatError(f"header: first frame {header.first_frame} is over {MAX_FIRST_FRAME}")
    problem = None if header.speakers is None else speakers_problem(header.speakers, header.channels)
    if problem:
        raise FormatError(f"header: {problem}")
    if len(header.tables) != (TABLES_HASH if header.codec == CODED else 0):
        size = len(header.tables)
        raise FormatError(f"header: {size} bytes of the tables' hash do not go with codec {header.codec}", _CODEC_AT)
    if not 0 <= header.budget <= (MAX_BUDGET if header.codec == CODED else 0):
        raise FormatError(f"header: a budget of {header.budget} bits per second does not go with codec {header.codec}")
    if len(header.weights_hash) != 8:
        raise FormatError(f"header: weights hash has {len(header.weights_hash)} bytes, not 8", 35)
    if not valid_model_id(header.model_id):
        raise FormatError(
            f"header: model id {header.model_id!a} is not 1 to 32 letters, digits, '.', '_' or '-'",
            _MODEL_ID_AT,
        )
    for key, value in header.tags:
        problem = tag_problem(key, value)
        if problem:
            raise FormatError(f"header: {problem}")


def _unknown_codec(codec: int) -> str:
    return f"header: codec {codec} is unknown; this program reads codec {', '.join(map(str, PAYLOADS))}"


def pack_header(header: Header) -> bytes:
    """The header as bytes. Raises FormatError when it breaks a rule or does not fit 65,535 bytes."""
    check_header(header)
    model_id = header.model_id.encode("ascii")
    records = [(b"t", f"{key}={value}".encode()) for key, value in header.tags]
    if header.codec == CODED:
        records.insert(0, (b"c", header.tables + header.budget.to_bytes(_BUDGET, "little")))
    if header.speakers is not None:
        records.insert(0, (b"s", header.speakers.to_bytes(4, "little")))
    if header.first_frame:
        records.insert(0, (b"f", header.first_frame.to_bytes(4, "little")))
    size = _FIXED.size + len(model_id) + sum(_RECORD.size + len(body) for _, body in records) + _CRC.size
    if size > MAX_HEADER:
        raise FormatError(f"header: tags make it {size} bytes long, more than {MAX_HEADER}; leave some out")
    data = _FIXED.pack(
        MAGIC, VERSION, size, header.codec, CODINGS.index(header.coding), header.channels, header.sample_rate,
        header.model_rate, header.hop, header.pre_skip, header.code_bits, header.total_n_q,
        header.frames_per_chunk, UNKNOWN if header.n_samples is None else header.n_samples,
        header.weights_hash, header.first, header.most, *(header.side or (0, 0)), len(model_id),
    )  # fmt: skip
    data += model_id + b"".join(_RECORD.pack(kind, len(body)) + body for kind, body in records)
    return data + _CRC.pack(zlib.crc32(data))


def header_size(start: bytes) -> int:
    """Header length in bytes, from the first 7 bytes. FormatError if there are fewer.

    Looks at nothing but magic, version and length, in this order, so that later versions may change all
    the rest.
    """
    if start[:4] != MAGIC[: len(start[:4])] or not start:
        raise FormatError("this is no .rvq file: it does not begin with 89 52 56 51" if start else "empty file", 0)
    if len(start) > 4 and start[4] != VERSION:
        raise FormatError(f"version {start[4]} of the format is unknown; this program reads version {VERSION}", 4)
    if len(start) < 7:
        raise FormatError("file ends inside the header", len(start))
    size = int.from_bytes(start[5:7], "little")
    if size < MIN_HEADER:
        raise FormatError(f"header: length {size} is less than {MIN_HEADER}", 5)
    return size


def parse_header(data: bytes) -> Header:
    """A header from its bytes, all of them (`header_size`). Raises FormatError with a position."""
    if len(data) < MIN_HEADER or len(data) != header_size(data[:7]):
        raise FormatError("file ends inside the header", len(data))
    if _CRC.unpack(data[-4:])[0] != zlib.crc32(data[:-4]):
        raise FormatError("header: checksum is wrong", len(data) - 4)
    (_, _, _, codec, coding, channels, sample_rate, model_rate, hop, pre_skip, code_bits, total_n_q,
     frames_per_chunk, n_samples, weights_hash, first, most, side_first, side_most,
     id_size) = _FIXED.unpack_from(data)  # fmt: skip
    if codec not in PAYLOADS:  # before all else: what follows may mean something else
        raise FormatError(_unknown_codec(codec), _CODEC_AT)
    if coding >= len(CODINGS):
        raise FormatError(f"header: channel coding {coding} is unknown", 8)
    if CODINGS[coding] != "mid-side" and (side_first or side_most):
        raise FormatError(f"header: a side channel does not go with {CODINGS[coding]} coding", _LIMITS_AT + 2)
    records_at = _FIXED.size + id_size
    if not id_size or records_at + _CRC.size > len(data):
        raise FormatError(f"header: model id of {id_size} bytes does not fit", _MODEL_ID_AT)
    records = _parse_records(data, records_at, len(data) - _CRC.size, codec, channels)
    header = Header(
        sample_rate=sample_rate,
        channels=channels,
        coding=CODINGS[coding],
        model_id=data[_FIXED.size : records_at].decode("latin-1"),
        weights_hash=weights_hash,
        model_rate=model_rate,
        hop=hop,
        code_bits=code_bits,
        total_n_q=total_n_q,
        frames_per_chunk=frames_per_chunk,
        pre_skip=pre_skip,
        n_samples=None if n_samples == UNKNOWN else n_samples,
        codec=codec,
        first=first,
        most=most,
        side=(side_first, side_most),
        **records,
    )
    check_header(header)
    return header


def _parse_records(data: bytes, position: int, end: int, codec: int, channels: int) -> dict[str, Any]:
    """The header's fields that records hold; those that are there."""
    found: dict[str, Any] = {}
    tags: list[tuple[str, str]] = []
    leading, order = position, b""  # where the records end that have their place before all others, and their kinds
    while position < end:
        if position + _RECORD.size > end:
            raise FormatError("header: ends inside a record", position)
        kind, size = _RECORD.unpack_from(data, position)
        body = data[position + _RECORD.size : position + _RECORD.size + size]
        if position + _RECORD.size + size > end:
            raise FormatError(f"header: record of {size} bytes is longer than the header", position + 1)
        # One way to write each header: these at the front, in this order, and left out where they go without saying.
        first = position == leading and kind in _LEADING[_LEADING.index(order[-1:]) + 1 if order else 0 :]
        if kind == b"t":
            tags.append(_parse_tag(body, position))
        elif kind == b"f":
            found["first_frame"] = int.from_bytes(body, "little")
            if size != 4 or not found["first_frame"] or not first:
                raise FormatError("header: the first frame is not 4 bytes, 0, or not the first record", position)
        elif kind == b"s":
            if not first:
                raise FormatError("header: the loudspeakers come behind another record", position)
            found["speakers"] = _parse_speakers(body, position, channels)
        elif kind == b"c" and codec == CODED:
            if size != TABLES_HASH + _BUDGET or not first:
                raise FormatError("header: the tables are not 7 bytes, or come behind another record", position)
            found["tables"] = body[:TABLES_HASH]
            found["budget"] = int.from_bytes(body[TABLES_HASH:], "little")
        elif not b"a" <= kind <= b"z":
            # Lower-case records may be skipped; all else changes what the file means.
            raise FormatError(f"header: feature {kind.decode('latin-1')!a} is needed and unknown", position)
        position += _RECORD.size + size
        if first:
            leading, order = position, order + kind
    return found | {"tags": tuple(tags)}


def _parse_speakers(body: bytes, position: int, channels: int) -> int:
    speakers = int.from_bytes(body, "little")
    if len(body) != 4:
        raise FormatError(f"header: loudspeakers of {len(body)} bytes, not 4", position)
    problem = speakers_problem(speakers, channels)
    if 1 <= channels <= MAX_CHANNELS and speakers == usual(channels):
        problem = f"loudspeakers {speakers:#x} go without saying"  # one way to write each header
    if problem:
        raise FormatError(f"header: {problem}", position)
    return speakers


def _parse_tag(body: bytes, position: int) -> tuple[str, str]:
    try:
        key, equals, value = body.decode("utf-8").partition("=")
    except UnicodeDecodeError:
        raise FormatError("header: tag is not valid UTF-8", position) from None
    problem = tag_problem(key, value) if equals else "tag has no '='"
    if problem:
        raise FormatError(f"header: {problem}", position)
    return key, value
