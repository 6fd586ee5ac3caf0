"""Stereo turned by an angle: there and back, any cutting, how the angle is chosen and how it moves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rvqcodec.codec import rotation
from rvqcodec.codec.rotation import ANGLES, KEEP, LEFT, MIDDLE, MOMENT, RIGHT, Rotation, choose
from rvqcodec.codec.turning import Turner
from rvqcodec.container import Header

HOP, SKIP, RATE = 1176, 588, 44100
MANY = settings(max_examples=25, deadline=None)
Samples = NDArray[np.float32]


def noise(n: int, *gains: float, seed: int = 0) -> Samples:
    """One noise in all channels, so loud in each; without gains two noises."""
    made = np.random.default_rng(seed).normal(0, 0.1, (1 if gains else 2, n))
    return (made * np.array(gains)[:, None] if gains else made).astype(np.float32)


def at(angle: float, n: int, seed: int = 0) -> Samples:
    """A noise that is turned by the index of an angle."""
    cos, sin = rotation.gains(angle)
    return noise(n, float(cos), float(sin), seed=seed)


def chosen(samples: Samples, before: int = MIDDLE) -> int:
    return choose(rotation.powers(samples, RATE), before)


def cut(samples: Samples, cuts: list[int]) -> list[Samples]:
    return np.split(samples, sorted(c % (samples.shape[1] + 1) for c in cuts), axis=1)


# ---- rotation


@pytest.mark.parametrize("blocks", [[20000], [1, 999, 7000, 12000]])
def test_there_and_back_is_the_identity(blocks: list[int]) -> None:
    x, angles = noise(20000), [32, 32, 16, 16, 60, 0, 0, 48, 48, 32, 32, 31, 31, 31, 31, 31, 31, 31]
    there, back = Rotation(HOP, skip=SKIP), Rotation(HOP, back=True, skip=SKIP)
    out = []
    for i, piece in enumerate(np.split(x, np.cumsum(blocks)[:-1], axis=1)):
        known = angles if i == 0 else ()
        out.append(back.push(there.push(piece, known), known))
    out += [back.push(there.flush()), back.flush()]
    assert np.abs(np.concatenate(out, 1) - x).max() < 1e-6


@MANY
@given(cuts=st.lists(st.integers(0, 10_000), max_size=8), late=st.integers(0, 8))
def test_any_cutting_turns_the_same(cuts: list[int], late: int) -> None:
    """Also where angles come after their samples."""
    x, angles = noise(10_000), [32, 20, 20, 48, 48, 48, 0, 0, 1]
    whole = Rotation(HOP)
    expected = np.concatenate([whole.push(x, angles), whole.flush()], 1)
    pieces = Rotation(HOP)
    out = [pieces.push(piece, angles[:late] if i == 0 else ()) for i, piece in enumerate(cut(x, cuts))]
    out += [pieces.push(x[:, :0], angles[late:]), pieces.flush()]
    assert np.array_equal(np.concatenate(out, 1), expected)


@pytest.mark.parametrize(("gains", "angle"), [((1, 1), MIDDLE), ((1, 0), LEFT), ((0, 1), RIGHT), ((1, -1), 0)], ids=str)
def test_nothing_is_left_in_the_second_channel(gains: tuple[int, int], angle: int) -> None:
    x = noise(3 * MOMENT, *gains)
    assert chosen(x) == angle
    frames = [angle] * 6
    main, second = Rotation(HOP).push(x, frames)
    assert np.abs(second).max() <= (0 if angle else 1e-8)
    back = Rotation(HOP, back=True).push(np.stack([main, 0 * main]), frames)
    assert not back[[i for i, gain in enumerate(gains) if gain == 0]].any()


def test_the_middle_is_middle_and_side() -> None:
    x = noise(3000)
    turned = Rotation(HOP).push(x, [MIDDLE] * 3)
    assert np.allclose(turned, np.stack([x[0] + x[1], x[1] - x[0]]) / 2, rtol=0, atol=1e-8)


def test_the_angle_moves_within_a_frame_without_a_jump() -> None:
    turned = Rotation(HOP).push(np.ones((2, 3 * HOP), np.float32), [LEFT, RIGHT, RIGHT])
    assert np.abs(np.diff(turned)).max() < 0.005
    assert np.ptp(turned[0, HOP : 2 * HOP]) > 0.2
    assert np.ptp(turned[0, :HOP]) == np.ptp(turned[0, 2 * HOP :]) == 0


def test_samples_wait_for_their_angle_and_the_last_one_holds() -> None:
    x, turner = noise(3 * HOP), Rotation(HOP)
    assert turner.push(x).shape == (2, 0)
    assert turner.push(x[:, :0], [LEFT]).shape == (2, HOP)
    assert np.allclose(turner.flush()[1], x[1, HOP:] * np.sqrt(0.5), atol=1e-7)
    never = Rotation(HOP)
    never.push(x)
    assert np.allclose(never.flush()[0], x.sum(0) / 2, atol=1e-7)  # the middle


# ---- the choice


def test_the_middle_unless_another_angle_is_much_better() -> None:
    wide = noise(40_000)
    assert chosen(wide) == MIDDLE
    assert chosen(noise(40_000, 1, 0.8) + 0.3 * wide) == MIDDLE  # 3 degrees off, and wide
    voice = noise(40_000, 0.94, 0.34)  # 20 degrees right of the left
    angle = chosen(voice)
    assert abs(np.degrees(rotation.radians(angle)) - 20) < 2
    assert chosen(voice, angle + 1) == angle + 1


def test_an_angle_is_left_later_than_it_is_taken() -> None:
    """The more ambience around a panned sound, the less it pays to turn: not by one limit, but by two."""
    taken, kept = [], []
    for level in np.linspace(0.05, 0.6, 23):
        x = at(40, 60_000) + np.float32(level) * noise(60_000, seed=1)
        taken.append(chosen(x) != MIDDLE)
        kept.append(chosen(x, 40) != MIDDLE)
    assert taken == sorted(taken, reverse=True)
    assert kept == sorted(kept, reverse=True)
    assert 0 < sum(taken) < sum(kept) < len(kept)


def test_no_angle_stays_that_is_no_better_than_the_middle() -> None:
    x = noise(60_000, 1, 1) + 0.02 * noise(60_000, seed=1)
    assert all(chosen(x, angle) == MIDDLE for angle in range(0, ANGLES, 4))
    assert KEEP > 0


def test_silence_and_moments_too_short_keep_the_angle() -> None:
    for n in (0, 10, MOMENT - 1):
        assert chosen(noise(n, 1, 0), 20) == 20
    assert chosen(np.zeros((2, 40_000), np.float32), 20) == 20


# ---- Turner


def header(frames: int) -> Header:
    return Header(
        sample_rate=RATE, channels=2, coding="mid-side", model_id="test", weights_hash=bytes(8), model_rate=RATE,
        hop=HOP, code_bits=10, total_n_q=16, frames_per_chunk=frames, pre_skip=SKIP,
    )  # fmt: skip


MOVING = np.concatenate([at(angle, 8 * HOP, seed=angle) for angle in (LEFT, LEFT, 20, MIDDLE, RIGHT, 60)], axis=1)


def turned(pieces: list[Samples], frames: int = 5) -> tuple[Samples, list[int]]:
    """The pieces turned, and the angle of each of their chunks."""
    turner = Turner(header(frames))
    done = np.concatenate([*(turner.push(piece) for piece in pieces), turner.flush()], 1)
    chunks = -(-(done.shape[1] + SKIP) // (frames * HOP))
    return done, [turner.angle(chunk) for chunk in range(chunks)]


@MANY
@given(cuts=st.lists(st.integers(0, MOVING.shape[1]), max_size=8))
def test_any_cutting_gives_the_same_samples_and_angles(cuts: list[int]) -> None:
    expected, angles = turned([MOVING])
    assert expected.shape == MOVING.shape
    assert {LEFT, RIGHT, 60} <= set(angles)
    found, same = turned(cut(MOVING, cuts))
    assert np.array_equal(found, expected)
    assert same == angles


def test_turner_is_undone_by_the_angles_of_its_chunks() -> None:
    done, angles = turned([MOVING])
    back = Rotation(HOP, back=True, skip=SKIP)
    found = np.concatenate([back.push(done, np.repeat(angles, 5)), back.flush()], 1)
    assert np.abs(found - MOVING).max() < 1e-6


def test_turner_gives_no_chunk_before_its_angle() -> None:
    turner = Turner(header(5))
    first = 5 * HOP - SKIP
    assert turner.push(MOVING[:, : first - 1]).shape == (2, 0)
    assert turner.push(MOVING[:, first - 1 : first]).shape == (2, first)
    assert turner.angle(0) == turner.angle(7) == LEFT  # of a chunk that only holds what the network adds
    assert turner.flush().shape == (2, 0)


@pytest.mark.parametrize("n", [0, 1, 1000, 3 * HOP])
def test_turner_of_short_recordings(n: int) -> None:
    done, angles = turned([noise(n)])
    assert done.shape == (2, n)
    assert set(angles) <= {MIDDLE}
    assert Turner(header(5)).flush().shape == (2, 0)
