"""How many codes a chunk has whose payload is coded, so that a bitrate is filled: as many as fit its bytes.

A rule of encoders, not of the format: trimming by it gives what encoding gives, for the codes of a chunk come in one
order, and the bytes that the first of them take only grow.
"""

from __future__ import annotations

from dataclasses import replace

from rvqcodec.codes import bitrate
from rvqcodec.container import Chunk, Header
from rvqcodec.container.chunks import LENGTH_SIZE, fitting
from rvqcodec.container.payloads import CODED, PLAIN

FILLING = 4
"""Codes of a frame and coded channel that coding may make room for: what it saves, it saves on the first few."""


def coded(header: Header, tables: bytes, budget: int) -> Header:
    """The header of the same codes, coded by these tables. budget: of chunks, in bits per second (0: none)."""
    header = replace(header, codec=CODED, tables=tables, budget=budget)
    return replace(header, total_n_q=most_n_q(header)) if budget else header


def plain(header: Header) -> Header:
    """The header of the same codes, packed."""
    return replace(header, codec=PLAIN, tables=b"", budget=0)


def least_n_q(header: Header) -> int:
    """Codes a frame that the header's budget holds if they are packed."""
    return bitrate.total_n_q(header.budget, header.coded_channels, header.facts)


def most_n_q(header: Header) -> int:
    """The most codes a frame that the header's budget is filled with.

    Where not even the first codes of all frames fit, it is not filled: what a decoder makes of later codes depends on
    them, so that they must be all or not at all.
    """
    least = least_n_q(header)
    if least < sum(first for first, _ in header.limits):
        return least
    return min(least + FILLING * header.coded_channels, sum(most for _, most in header.limits))


def filled(header: Header, chunk: Chunk, size: int | None = None) -> Chunk:
    """What is left of a chunk to fit the header's budget. size: bytes to fit instead, of a part of a chunk."""
    facts = header.facts
    if size is None:
        size = header.budget * chunk.frames * facts.hop // (8 * facts.model_rate)
    least = min(chunk.allocation.total, least_n_q(header) * chunk.frames)
    return fitting(header, chunk, size - LENGTH_SIZE, least)
