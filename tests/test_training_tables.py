"""`rvq train tables`: what it makes is read again, codes codes, and says more the more is learned."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from safetensors.numpy import load_file

from rvqcodec.container import Allocation
from rvqcodec.container.shapes import Shape
from rvqcodec.models import cards
from rvqcodec.models.rvq44.likely import Likely
from rvqcodec.models.rvq44.payload import PayloadCoder
from rvqcodec.training.data import held_out

Invoke = Callable[..., Result]
WriteWav = Callable[..., Path]


def test_tables_from_sound(tmp_path: Path, invoke: Invoke, write_wav: WriteWav) -> None:
    rate, rng = 44100, np.random.default_rng(1)
    time = np.arange(20 * rate) / rate
    tones = sum(np.sin(2 * np.pi * f * time) for f in (220, 331, 2000)) * (np.sin(time) > 0)
    name = next(f"sound-{i}.wav" for i in range(99) if not held_out(f"sound-{i}.wav.44100.npy"))
    (tmp_path / "audio").mkdir()
    sound = 0.1 * np.stack([tones, 0.3 * tones]) + 0.01 * rng.standard_normal((2, len(time)))
    write_wav(tmp_path / "audio" / name, sound.astype(np.float32))
    command = [
        "train",
        "tables",
        "--data",
        tmp_path / "audio",
        "--cache",
        tmp_path / "cache",
        "--to",
        tmp_path / "made",
    ]
    result = invoke(*command, "--audio", 1, "--minutes", 0.1)
    assert result.code == 0, result.err
    made = tmp_path / "made" / f"{cards.find().model_id}.tables.safetensors"
    assert re.fullmatch(rf"{re.escape(str(made))} [0-9a-f]{{64}}\n", result.out)
    tensors = load_file(made)
    shipped = load_file(cards.find().path.with_name(made.name))
    assert {name: (x.shape, x.dtype) for name, x in tensors.items()} == {
        name: (x.shape, x.dtype) for name, x in shipped.items()
    }
    assert np.array_equal(tensors["entries"], shipped["entries"])
    demand = (bytes([9]) * 30, bytes([7]) * 30)
    shape = Shape(((2, 48), (1, 45)), Allocation(total=400, weights=(1, 1), demand=demand), 30, 10)
    codes = [rng.integers(0, 1024, (48, 30)).astype(np.uint16) for _ in range(2)]
    for coder in (PayloadCoder(Likely(t), paired=True) for t in (tensors, shipped)):
        data, count = coder.encode(codes, shape)
        [back] = coder.decode([(data, shape)])
        assert not isinstance(back, ValueError)
        for rows, own, n_q in zip(codes, back, shape.n_q(), strict=True):
            assert np.array_equal(own, np.where(np.arange(len(own))[:, None] < n_q, rows[: len(own)], 0))
        assert count == shape.count
    result = invoke(*command, "--audio", 1, "--minutes", 0.1)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "exists; use -f" in result.err


def test_tensors_that_do_not_fit_are_refused() -> None:
    tensors = load_file(cards.find().path.with_name(f"{cards.find().model_id}.tables.safetensors"))
    for name, change, reason in (
        ("entries", None, "tables lack entries"),
        ("entries", lambda x: x.astype(np.float32), "tables lack entries, in whole numbers"),
        ("entries", lambda x: x[:2], "entries of shape"),
        ("envelope0.first.weight", lambda x: x + np.int16(9000), "more than float32 holds"),
        ("frequencies", lambda x: x * 0, "frequencies are not"),
        ("chain0.seen", lambda x: x - np.int16(1), "not from 0 to 511"),
    ):
        changed = {n: x for n, x in tensors.items() if n != name}
        if change is not None:
            changed[name] = change(tensors[name])
        with pytest.raises(ValueError, match=reason):
            Likely(changed)
