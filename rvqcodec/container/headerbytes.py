"""A header as bytes and back: fixed fields, model id, records (`records`), checksum."""

import struct
import zlib

from rvqcodec.container.header import CODINGS, Header
from rvqcodec.container.headerrules import CODEC_AT, LIMITS_AT, MODEL_ID_AT, check_header, unknown_codec
from rvqcodec.container.payloads import PAYLOADS
from rvqcodec.container.records import pack_records, parse_records, records_of, size_of
from rvqcodec.errors import FormatError

MAGIC = b"\x89RVQ"
VERSION = 1
MAX_HEADER = 65535
UNKNOWN = (1 << 64) - 1

_FIXED = struct.Struct("<4sBHBBBIIHHBHHQ8s4BB")
_CRC = struct.Struct("<I")
MIN_HEADER = _FIXED.size + 1 + _CRC.size


def pack_header(header: Header) -> bytes:
    """The header as bytes. Raises FormatError when it breaks a rule or does not fit 65,535 bytes."""
    check_header(header)
    model_id = header.model_id.encode("ascii")
    records = records_of(header)
    size = _FIXED.size + len(model_id) + size_of(records) + _CRC.size
    if size > MAX_HEADER:
        raise FormatError(f"header: tags make it {size} bytes long, more than {MAX_HEADER}; leave some out")
    data = _FIXED.pack(
        MAGIC, VERSION, size, header.codec, CODINGS.index(header.coding), header.channels, header.sample_rate,
        header.model_rate, header.hop, header.pre_skip, header.code_bits, header.total_n_q,
        header.frames_per_chunk, UNKNOWN if header.n_samples is None else header.n_samples,
        header.weights_hash, header.first, header.most, *(header.side or (0, 0)), len(model_id),
    )  # fmt: skip
    data += model_id + pack_records(records)
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
        raise FormatError(unknown_codec(codec), CODEC_AT)
    if coding >= len(CODINGS):
        raise FormatError(f"header: channel coding {coding} is unknown", 8)
    if CODINGS[coding] != "mid-side" and (side_first or side_most):
        raise FormatError(f"header: a side channel does not go with {CODINGS[coding]} coding", LIMITS_AT + 2)
    records_at = _FIXED.size + id_size
    if not id_size or records_at + _CRC.size > len(data):
        raise FormatError(f"header: model id of {id_size} bytes does not fit", MODEL_ID_AT)
    records = parse_records(data, records_at, len(data) - _CRC.size, codec, channels)
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
