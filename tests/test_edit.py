"""Trim, cut and join on readers and writers: exact codes, exact lengths, also where the length is not
known before.
"""

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rvqfiles import CHANNELS, HEADER, make_chunks, make_file, make_header, write

from rvqcodec.codes.edit import Edited, Joiner, cut, cut_frames, trim
from rvqcodec.container import Chunk, Reader
from rvqcodec.container.allocation import constant
from rvqcodec.errors import BitrateError, FormatError, RvqError

CODINGS = st.sampled_from(sorted(CHANNELS))


def trimmed(data: bytes, total: int) -> bytes:
    out = io.BytesIO()
    trim(Reader(io.BytesIO(data)), out, total)
    return out.getvalue()


def piece(data: bytes, first: int, last: int | None) -> bytes:
    out = io.BytesIO()
    cut(Reader(io.BytesIO(data)), out, first, last)
    return out.getvalue()


def frames_of(data: bytes, first: int, last: int | None) -> bytes:
    out = io.BytesIO()
    cut_frames(Reader(io.BytesIO(data)), out, first, last)
    return out.getvalue()


def joined(*files: bytes) -> tuple[bytes, list[float], Edited]:
    out = io.BytesIO()
    joiner = Joiner([Reader(io.BytesIO(f)).header for f in files], [f"{i}.rvq" for i in range(len(files))], out)
    for file in files:
        joiner.append(Reader(io.BytesIO(file)))
    done = joiner.close()
    assert done.total_bytes == len(out.getvalue())
    return out.getvalue(), joiner.gaps, done


def flat(data: bytes) -> tuple[list[tuple[tuple[int, ...], int]], list[NDArray[np.uint16]], int]:
    """What every frame has: codes of each channel and angle, then the codes; and the samples."""
    reader = Reader(io.BytesIO(data))
    shapes, codes = [], []
    for chunk in reader:
        assert isinstance(chunk, Chunk)
        for t in range(chunk.frames):
            n_q = tuple(chunk.n_q[:, t].tolist())
            shapes.append((n_q, chunk.angle))
            codes.append(np.concatenate([c[:n, t] for c, n in zip(chunk.codes, n_q, strict=True)]))
    assert reader.end is not None
    return shapes, codes, reader.end.n_samples


def same_frames(ours: bytes, theirs: bytes, first: int, last: int) -> bool:
    a, b = flat(ours), flat(theirs)
    return a[0] == b[0][first:last] and all(np.array_equal(x, y) for x, y in zip(a[1], b[1][first:last], strict=True))


@settings(max_examples=40, deadline=None)
@given(
    coding=CODINGS, total=st.integers(3, 64), lower=st.integers(1, 64), frames=st.integers(0, 30), known=st.booleans()
)
def test_trimming_gives_what_encoding_at_the_lower_rate_gives(
    coding: str, total: int, lower: int, frames: int, known: bool
) -> None:
    """An encoder takes the first codebooks of a fixed sequence, as many as the rule says: so do we, twice."""
    total = min(total, 32 * CHANNELS[coding])
    header = make_header(coding, total_n_q=total)
    if coding == "discrete" and lower < 3:
        with pytest.raises(BitrateError):
            trimmed(write(header, [], 0), lower)
        return
    lower = min(lower, total)
    n_samples = max(0, header.samples_in(frames) - 3)
    frames = header.frames_for(n_samples)
    header = replace(header, n_samples=n_samples if known else None)
    sequence = np.random.default_rng(frames).integers(0, 1024, (3, 32, frames)).astype(np.uint16)

    def encode(n_q: int) -> bytes:
        chunks = []
        for chunk in make_chunks(replace(header, total_n_q=n_q), frames):
            end = chunk.start_frame + chunk.frames
            codes = sequence[: len(chunk.codes), :, chunk.start_frame : end]
            chunks.append(Chunk.of(header, chunk.start_frame, chunk.allocation, list(codes), chunk.angle))
        return write(replace(header, total_n_q=n_q), chunks, n_samples)

    assert trimmed(encode(total), lower) == encode(lower)
    assert trimmed(trimmed(encode(total), (total + lower + 1) // 2), lower) == encode(lower)


def test_trimming_to_more_changes_nothing() -> None:
    data = make_file("mid-side")
    assert trimmed(data, 64) == data


def test_trimming_keeps_silence_and_fewer_codebooks() -> None:
    header = replace(make_header("mid-side", total_n_q=8), n_samples=HEADER.samples_in(16))
    codes = [np.ones((2, 8), np.uint16)] * 2
    silent = Chunk.of(header, 0, constant((0, 0), 8), codes)
    few = Chunk.of(header, 8, constant((2, 0), 8), codes)
    data = trimmed(write(header, [silent, few], HEADER.samples_in(16)), 4)
    chunks = [chunk for chunk in Reader(io.BytesIO(data)) if isinstance(chunk, Chunk)]
    assert [chunk.n_q.max(1).tolist() for chunk in chunks] == [[0, 0], [2, 0]]


@settings(max_examples=50, deadline=None)
@given(
    coding=CODINGS,
    rate=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000]),
    frames=st.integers(1, 40),
    short=st.integers(0, 100),
    span=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    known=st.booleans(),
    open_end=st.booleans(),
)
def test_a_cut_is_the_frames_and_exact_to_the_sample(
    coding: str, rate: int, frames: int, short: int, span: tuple[float, float], known: bool, open_end: bool
) -> None:
    data = make_file(coding, frames, known=known, short=short, sample_rate=rate)
    reader = Reader(io.BytesIO(data))
    list(reader)
    assert reader.end is not None
    header, n = reader.header, reader.end.n_samples
    first = min(int(span[0] * n), n - 1)
    last = None if open_end else first + 1 + int(span[1] * (n - first) * 1.2)
    result = piece(data, first, last)
    at = first * header.model_rate // rate // header.hop
    start = -(-at * header.hop * rate // header.model_rate)
    assert start <= first < start + header.hop * rate / header.model_rate + 1
    _, codes, length = flat(result)
    assert same_frames(result, data, at, at + len(codes))
    wanted = (n if last is None else min(last, n)) - start
    assert abs(length - wanted) <= max(1, rate // header.model_rate + 1)
    if rate == header.model_rate:
        assert length == wanted
    if known and last is not None and last < n:
        assert length == wanted
    assert (Reader(io.BytesIO(result)).header.n_samples is not None) == known


@pytest.mark.parametrize("known", [True, False])
def test_nothing_to_cut_is_an_error(known: bool) -> None:
    data = make_file(known=known)
    n = HEADER.samples_in(20)
    for first in (n, n + 1, n + 588, 10**9):
        with pytest.raises(RvqError, match=r"keep|ends before"):
            piece(data, first, None)
    with pytest.raises(RvqError, match="only the codec's delay"):
        frames_of(make_file(known=known, short=700), 19, None)
    for span in ((20, None), (30, 40), (5, 5), (6, 5)):
        with pytest.raises(RvqError, match=r"frames|ends before"):
            frames_of(data, *span)


@settings(max_examples=50, deadline=None)
@given(
    coding=CODINGS,
    rate=st.sampled_from([8000, 16000, 44100, 48000, 192000]),
    cuts=st.lists(st.integers(1, 29), max_size=3, unique=True),
    known=st.booleans(),
    short=st.integers(0, 200),
)
def test_pieces_cut_by_frames_join_to_the_same_codes_and_length(
    coding: str, rate: int, cuts: list[int], known: bool, short: int
) -> None:
    data = make_file(coding, 30, known=known, sample_rate=rate, short=short * rate // 44100)
    edges = [0, *sorted(cuts), None]
    result, gaps, done = joined(*(frames_of(data, a or 0, b) for a, b in pairwise(edges)))
    before, after = flat(data), flat(result)
    assert after[0] == before[0]
    assert all(np.array_equal(x, y) for x, y in zip(after[1], before[1], strict=True))
    assert abs(after[2] - before[2]) <= (0 if rate in (44100, 48000) else 1)
    assert done.n_samples == after[2]
    assert len(gaps) == len(cuts)
    if all(cut % 8 == 0 for cut in cuts) and rate == 44100:
        assert result == data


def test_a_part_knows_where_it_began() -> None:
    """Its noise goes on as in the whole; what is joined to a part begins where the part does."""
    data = make_file(frames=60)
    once = frames_of(data, 20, 50)
    twice = piece(once, 5 * HEADER.hop, None)
    assert [Reader(io.BytesIO(f)).header.first_frame for f in (data, once, twice)] == [0, 20, 25]
    assert Reader(io.BytesIO(joined(once, data)[0])).header.first_frame == 20
    assert Reader(io.BytesIO(trimmed(twice, 1))).header.first_frame == 25
    assert same_frames(twice, data, 25, 50)


def test_whole_files_join_with_all_their_samples() -> None:
    one, two, three = (make_file("mid-side", f, short=s, seed=f) for f, s in ((20, 100), (9, 0), (1, 500)))
    result, gaps, done = joined(one, two, three)
    assert flat(result)[1][20].tolist() == flat(two)[1][0].tolist()
    n = HEADER.samples_in
    assert gaps == pytest.approx([(588 + 100) / 44100, 588 / 44100])
    assert done.n_samples == (n(20) - 100) + 688 + n(9) + 588 + (n(1) - 500)
    assert done.frames == 30
    empty, _, nothing = joined(make_file(frames=0), make_file(frames=0))
    assert nothing.n_samples == 0
    assert empty == make_file(frames=0)
    result, gaps, done = joined(make_file(frames=0), make_file(frames=5), make_file(frames=0, known=False))
    assert (gaps, done.n_samples, done.frames) == ([], n(5), 5)


def test_joining_takes_the_larger_limits_and_the_first_tags() -> None:
    one = make_file(total_n_q=2, frames_per_chunk=4, tags=(("A", "1"),))
    two = make_file(total_n_q=7, frames_per_chunk=8, tags=(("B", "2"),))
    header = Reader(io.BytesIO(joined(one, two)[0])).header
    assert (header.total_n_q, header.frames_per_chunk, header.tags) == (7, 8, (("A", "1"),))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model_id": "test-2"}, "model id"), ({"weights_hash": bytes(8)}, "weights hash"),
        ({"sample_rate": 48000}, "sample rate"), ({"hop": 588}, "hop"),
        ({"coding": "mid-side", "channels": 2}, "channels"),
        ({"code_bits": 9}, "code bits"), ({"pre_skip": 0}, "pre skip"), ({"model_rate": 48000}, "model rate"),
    ],
)  # fmt: skip
def test_files_that_do_not_agree_are_not_joined(changes: dict[str, object], what: str) -> None:
    other = replace(HEADER, **changes)  # type: ignore[arg-type]
    out = io.BytesIO()
    with pytest.raises(RvqError, match=rf"two.rvq has {what}"):
        Joiner([HEADER, other], ["one.rvq", "two.rvq"], out)
    assert not out.getvalue()


def test_damage_stops_every_edit() -> None:
    data = bytearray(make_file())
    data[120] ^= 1
    bad = bytes(data)
    with pytest.raises(FormatError, match="damaged"):
        trimmed(bad, 2)
    with pytest.raises(FormatError, match="damaged"):
        piece(bad, 0, None)
    with pytest.raises(FormatError, match="damaged"):
        joined(bad, bad)
    with pytest.raises(FormatError, match="cut short"):
        trimmed(bad[:58], 2)


def test_a_cut_reads_only_what_it_needs() -> None:
    data = bytearray(make_file(frames=40))
    data[70] ^= 1
    data[-5] ^= 1
    reader = Reader(io.BytesIO(bytes(data)))
    n = reader.header.hop
    assert flat(piece(bytes(data), 16 * n, 24 * n - 588))[2] == 8 * n - 588


def test_shares_of_the_test_files_vary() -> None:
    """Else the tests above show less than they say."""
    shapes = {n_q for n_q, _ in flat(make_file("mid-side", 40))[0]}
    assert len(shapes) > 2
    assert len({n_q[0] for n_q in shapes} | {n_q[1] for n_q in shapes}) > 3


def test_edits_keep_the_layout_and_never_mix_two() -> None:
    quad, discrete = (make_file("discrete", channels=4, total_n_q=8, speakers=mask) for mask in (0x603, 0))
    for data in (trimmed(quad, 4), piece(quad, 3000, 9000), frames_of(quad, 3, 9), joined(quad, quad)[0]):
        assert Reader(io.BytesIO(data)).header.layout == 0x603
    with pytest.raises(RvqError, match=r"has channel layout discrete, .* has quad\(side\): they must agree"):
        joined(quad, discrete)
