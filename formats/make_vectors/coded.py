"""The vectors of codec 1: codes that the shipped tables say are likely, or else they would all be packed."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from parts import Vector, codes, join, packed, patched, plan, resealed

from rvqcodec.codes import filling
from rvqcodec.container import Allocation, Chunk, Header, coders
from rvqcodec.container.allocation import constant
from rvqcodec.container.chunks import pack_codes, shape_of
from rvqcodec.container.headerbytes import pack_header
from rvqcodec.container.rangecoder import RangeDecoder
from rvqcodec.models import cards, coding
from rvqcodec.models.rvq44.payload import decoding


class Dice(RangeDecoder):
    """Bytes without end, by a formula: what is decoded of them are likely codes."""

    def __init__(self, data: bytes) -> None:
        number, made = data[0] + 1, bytearray()
        for _ in range(1 << 14):
            number = number * 48271 % 2147483647
            made.append(number >> 8 & 255)
        super().__init__(bytes(made))

    def finish(self) -> None:
        pass


def header_of(channels: int, total_n_q: int) -> Header:
    card = cards.find("rvq44-5")
    header = Header.of(card.facts, sample_rate=44100, channels=channels, total_n_q=total_n_q, frames_per_chunk=8)
    return filling.coded(header, coding.tables_hash(card.model_id, card.weights_hash), 0)


def likely(header: Header, start: int, frames: int, wanted: Allocation, angle: int = 32) -> bytes:
    """A chunk of likely codes."""
    shape = shape_of(header, wanted, frames)
    assert shape.coder is not None
    before, decoding.RangeDecoder = decoding.RangeDecoder, Dice  # type: ignore[misc]
    try:
        [found] = coders.coder(shape.coder).decode([(bytes([start]), shape)])
    finally:
        decoding.RangeDecoder = before  # type: ignore[misc]
    assert not isinstance(found, ValueError)
    made = Chunk.of(header, start, wanted, [np.asarray(rows) for rows in found], angle)
    return packed(header, start, frames, wanted, pack_codes(header, made), angle)


def file(header: Header, parts: list[bytes], frames: int) -> bytes:
    header = replace(header, n_samples=header.samples_in(frames))
    return join(pack_header(header), parts, frames=frames, n_samples=header.n_samples or 0)


def coded() -> Iterator[Vector]:
    """Files that every reader of codec 1 must read."""
    mono, stereo, three = header_of(1, 9), header_of(2, 12), header_of(3, 20)
    v = "coded"
    parts = [
        likely(mono, 0, 8, plan(mono, 0, 8)),
        likely(mono, 8, 8, plan(mono, 8, 8)),
        likely(mono, 16, 3, plan(mono, 16, 3)),
    ]
    yield Vector(v, "coded-mono", file(mono, parts, 19), "Three chunks, each coded by itself.")
    parts = [likely(stereo, i, 8, plan(stereo, i, 8), 20 + i) for i in (0, 8)]
    yield Vector(
        v, "coded-mid-side", file(stereo, parts, 16), "The second channel has a chain of first codes and no envelope."
    )
    parts = [likely(three, 0, 8, plan(three, 0, 8)), likely(three, 8, 8, plan(three, 8, 8, (3, 0, 1)))]
    yield Vector(v, "coded-discrete", file(three, parts, 16), "Channels side by side, one of them silent at times.")
    same = constant((6,), 8)
    yield Vector(
        v, "coded-constant", file(mono, [likely(mono, 0, 8, same)], 8), "No demands: contexts take them for 12."
    )
    wanted = plan(mono, 0, 8)
    unlikely = Chunk.of(mono, 0, wanted, codes(mono, 0, 8))
    yield Vector(
        v, "coded-packed", file(mono, [packed(mono, 0, 8, wanted, pack_codes(mono, unlikely))], 8),
        "Unlikely codes, packed as with codec 0, because that is no longer. A naive reader decodes them.",
    )  # fmt: skip


def faulty_coded() -> Iterator[Vector]:
    """Wrong in what codec 1 adds, for a reader without tables too."""
    f, mono = "faulty", header_of(1, 9)
    head = replace(mono, n_samples=mono.samples_in(8))
    data, part = pack_header(head), likely(mono, 0, 8, plan(mono, 0, 8))
    at = data.index(b"c\x07\x00")

    def of(new_head: bytes, new_part: bytes = part) -> bytes:
        return join(new_head, [new_part], frames=8, n_samples=head.n_samples or 0)

    yield Vector(
        f, "tables-missing", of(resealed(data, at, b"x")), "Codec 1 without the record of its tables.", 7, "tables",
    )  # fmt: skip
    short = patched(data, at, b"c\x06\x00" + data[at + 3 : at + 9] + data[at + 10 :])[:-1]
    short = resealed(patched(short, 5, (len(short)).to_bytes(2, "little")), 0, data[:1])
    yield Vector(f, "tables-short", of(short), "A record of the tables of six bytes.", at, "tables are not 7 bytes")
    late = patched(data, at, b"a\x00\x00" + data[at:]) + bytes(0)
    late = resealed(patched(late, 5, (len(late)).to_bytes(2, "little")), 0, data[:1])
    yield Vector(f, "tables-late", of(late), "The record of the tables behind another one.", at + 3, "tables are not")
    wanted = plan(mono, 0, 8)
    longer = packed(mono, 0, 8, wanted, bytes((10 * wanted.total + 7) // 8 + 1))
    yield Vector(
        f, "payload-long", of(data, longer), "A payload longer than packed codes.",
        len(data) + len(longer) - 4 - (10 * wanted.total + 7) // 8 - 1, "is longer than",
    )  # fmt: skip
