"""What a description measures, and text that is safe to print."""

import io

import pytest
from rvqfiles import HEADER, make_file

from rvqcodec.cli.text import as_text, clock
from rvqcodec.codes.describe import as_dict, describe


def test_a_description_measures_the_file() -> None:
    data = make_file("mid-side", frames=100, total_n_q=16)
    d = describe(io.BytesIO(data))
    assert (d.n_samples, d.frames, d.n_chunks, d.total_bytes) == (HEADER.samples_in(100), 100, 13, len(data))
    assert d.payload_bytes == 16 * 10 * 100 // 8
    assert d.payload_bitrate == pytest.approx(d.payload_bytes * 8 * 44100 / d.n_samples)
    assert d.nominal_bitrate == 6000
    assert d.ratio == pytest.approx(d.n_samples * 4 / len(data))
    assert sum(x.mean for x in d.codebooks) == pytest.approx(16)
    assert all(x.least <= x.mean <= x.most for x in d.codebooks)
    assert d.codebooks[0].least < d.codebooks[0].most
    assert d.chunks == ()


def test_damage_counts_neither_as_chunk_nor_as_payload() -> None:
    data = bytearray(make_file(frames=40))
    data[100] ^= 1
    d = describe(io.BytesIO(bytes(data)), list_chunks=True)
    assert (d.n_chunks, len(d.chunks), d.frames, d.payload_bytes) == (4, 4, 40, 4 * 10 * 32 // 8)
    assert [(x.start_frame, x.frames) for x in d.damage] == [(0, 8)]
    assert as_dict(d)["damage"][0]["frames"] == 8
    assert "0.21 s lost from 0:00.000" in as_text(d)[-1]


def test_nothing_is_divided_by_a_length_of_nothing() -> None:
    d = describe(io.BytesIO(make_file(frames=0)))
    assert (d.payload_bitrate, d.total_bitrate, d.seconds, d.ratio) == (0, 0, 0, 0)
    assert any("there is no audio" in line for line in as_text(d))


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00.000"), (59.9996, "1:00.000"), (3723.5, "1:02:03.500")])
def test_times(seconds: float, text: str) -> None:
    assert clock(seconds) == text
