"""Token patterns: vectors, a second implementation in plain loops, exact inverses, clear errors."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvqcodec.codes.tokens import PATTERNS, Layout, SpecialTokens, deinterleave, interleave, pad_batch
from rvqcodec.errors import FormatError

FOLDER = Path(__file__).parent.parent / "formats" / "patterns"
layouts = st.builds(
    Layout,
    st.sampled_from(PATTERNS),
    st.integers(1, 33),
    channels=st.integers(1, 3),
    codebook_size=st.sampled_from([1, 2, 1024, 65532]),
    boundaries=st.booleans(),
)


def by_hand(codes: np.ndarray, layout: Layout) -> list[list[int]]:
    """Lists the tokens of each step in the words of formats/patterns.md; shares no code with the package."""
    (rows, frames), n_q = codes.shape, layout.n_q
    size = layout.codebook_size
    coarse = [r for r in range(rows) if r % n_q == 0]
    fine = [r for r in range(rows) if r % n_q]
    steps: list[dict[int, int]] = []
    if layout.pattern == "flatten":
        order = sorted(range(rows), key=lambda r: (r % n_q, r // n_q))
        steps = [{0: int(codes[r, t])} for t in range(frames) for r in order]
    elif layout.pattern in ("coarse-first", "partial-flatten"):
        first = [{r: int(codes[r, t]) for r in coarse} for t in range(frames)]
        second = [{r: int(codes[r, t]) for r in fine} for t in range(frames)] if fine else []
        if layout.pattern == "coarse-first":
            steps = first + second
        else:
            steps = [s for pair in zip(first, second, strict=True) for s in pair] if fine else first
    else:
        delay = {"parallel": lambda k: 0, "delay": lambda k: k, "partial-delay": lambda k: min(k, 1)}[layout.pattern]
        steps = [{} for _ in range(frames + delay(n_q - 1))] if frames else []
        for r in range(rows):
            for t in range(frames):
                steps[t + delay(r % n_q)][r] = int(codes[r, t])
    streams = 1 if layout.pattern == "flatten" else rows
    table = [[step.get(r, size + 1) for r in range(streams)] for step in steps]
    if layout.boundaries:
        table = [[size + 2] * streams, *table, [size + 3] * streams]
    return [[step[r] for step in table] for r in range(streams)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_vectors(pattern: str) -> None:
    data = json.loads((FOLDER / f"{pattern}.json").read_text())
    assert data["pattern"] == pattern
    assert len(data["cases"]) >= 8
    for case in data["cases"]:
        layout = Layout(
            pattern,
            case["n_q"],
            channels=case["channels"],
            codebook_size=case["codebook_size"],
            boundaries=case["boundaries"],
        )
        codes = np.array(case["codes"], np.uint16).reshape(layout.rows, case["frames"])
        tokens = np.array(case["tokens"], np.uint16).reshape(layout.streams, case["steps"])
        assert interleave(codes, layout).tolist() == case["tokens"] == by_hand(codes, layout), case["name"]
        assert deinterleave(tokens, layout).tolist() == case["codes"], case["name"]
        assert layout.steps(case["frames"]) == case["steps"]


def test_generator_refuses_to_overwrite(tmp_path: Path) -> None:
    run = [sys.executable, str(FOLDER / "make.py"), str(tmp_path)]
    subprocess.run(run, check=True)
    for pattern in PATTERNS:
        assert (tmp_path / f"{pattern}.json").read_bytes() == (FOLDER / f"{pattern}.json").read_bytes()
    (tmp_path / "delay.json").write_text("mine")
    again = subprocess.run(run, capture_output=True, text=True)
    assert again.returncode == 1
    assert "delay.json" in again.stderr
    assert (tmp_path / "delay.json").read_text() == "mine"


@settings(max_examples=50, deadline=None)
@given(layouts, st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_any_shape_comes_back(layout: Layout, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, layout.special.absent + 1, (layout.rows, frames)).astype(np.uint16)
    tokens = interleave(codes, layout)
    assert tokens.shape == (layout.streams, layout.steps(frames))
    assert tokens.dtype == np.uint16
    assert tokens.tolist() == by_hand(codes, layout)
    assert layout.frames(tokens.shape[1]) == frames
    back = deinterleave(tokens, layout)
    assert back.dtype == np.uint16
    assert np.array_equal(back, codes)


@settings(max_examples=50, deadline=None)
@given(layouts, st.integers(0, 200))
def test_every_number_of_steps_is_one_number_of_frames_or_refused(layout: Layout, steps: int) -> None:
    lengths = {layout.steps(frames): frames for frames in range(steps + 1)}
    if steps in lengths:
        assert layout.frames(steps) == lengths[steps]
    else:
        with pytest.raises(FormatError, match=f"^{steps} steps: "):
            layout.frames(steps)


@settings(max_examples=25, deadline=None)
@given(layouts, st.integers(1, 12), st.data())
def test_a_changed_special_token_is_found(layout: Layout, frames: int, data: st.DataObject) -> None:
    tokens = interleave(np.zeros((layout.rows, frames), int), layout)
    gaps = np.argwhere(tokens >= layout.special.empty)
    if len(gaps):
        stream, step = data.draw(st.sampled_from(gaps.tolist()))
        tokens[stream, step] = 0
        with pytest.raises(FormatError, match=f"token 0 at stream {stream}, step {step}: pattern {layout.pattern}"):
            deinterleave(tokens, layout)
        assert not deinterleave(tokens, layout, strict=False).any()


def test_special_tokens_follow_the_codes() -> None:
    special = SpecialTokens(1024)
    assert (special.absent, special.empty, special.start, special.end) == (1024, 1025, 1026, 1027)
    assert special.vocabulary == 1028


def test_a_batch_is_padded_with_empty() -> None:
    layout = Layout("delay", 2, codebook_size=1024)
    sequences = [interleave(np.full((2, n), 7), layout) for n in (3, 0, 1)]
    batch, steps = pad_batch(sequences, layout)
    assert batch.shape == (3, 2, 4)
    assert steps.tolist() == [4, 0, 2]
    for row, sequence, n in zip(batch, sequences, steps, strict=True):
        assert np.array_equal(row[:, :n], sequence)
        assert (row[:, n:] == 1025).all()
    assert pad_batch([], layout)[0].shape == (0, 2, 0)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[1, 2]], r"shape \[1, 2\]: the layout needs \[2, frames\]"),
        ([[1.0], [2.0]], "float64: must be integers"),
        ([[1], [1025]], "value 1025 in row 1, column 0: codes are 0 .. 1023, 1024 is absent"),
        ([[-1], [3]], "value -1 in row 0"),
    ],
)
def test_codes_that_are_none(codes: list[list[int]], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        interleave(codes, Layout("delay", 2, codebook_size=1024))


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([[1, 2, 3]], r"tokens \[1, 3\]: pattern delay needs \[2, steps\]"),
        ([[1], [1025]], "1 steps: no number of frames"),
        ([[1, 1025], [1025, 1026]], "value 1026 in row 1, column 0: a code"),
        ([[1, 5], [1025, 2]], "token 5 at stream 0, step 1: pattern delay has 1025 there"),
    ],
)
def test_tokens_that_no_codes_give(tokens: list[list[int]], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        deinterleave(tokens, Layout("delay", 2, codebook_size=1024))


def test_layouts_that_make_no_sense() -> None:
    with pytest.raises(FormatError, match="unknown pattern 'zigzag': choose one of parallel, flatten"):
        Layout("zigzag", 4, codebook_size=1024)
    for wrong in ({"n_q": 0}, {"n_q": 1, "channels": 0}, {"n_q": 1, "codebook_size": 65533}):
        with pytest.raises(FormatError):
            Layout("delay", **({"codebook_size": 1024} | wrong))
