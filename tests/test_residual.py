"""The stand-alone residual quantizer: errors fall, codes and vectors are inverse, numpy and torch agree."""

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rvqcodec.api import residual
from rvqcodec.api.residual import ResidualQuantizer, nearest


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.random.default_rng(3).uniform(-0.5, 0.5, (4000, 4))


@pytest.fixture(scope="module")
def quantizer(vectors: np.ndarray) -> ResidualQuantizer:
    return ResidualQuantizer.fit(vectors, n_q=5, codebook_size=64)


def test_docstring_examples() -> None:
    assert doctest.testmod(residual).attempted > 0
    assert doctest.testmod(residual).failed == 0


def test_the_error_falls_exponentially(vectors: np.ndarray, quantizer: ResidualQuantizer) -> None:
    errors = quantizer.errors(vectors)
    ratios = errors[1:] / errors[:-1]
    # 64 entries in 4 dimensions: on normal vectors no codebook can do better than 64 ** (-2 / 4) = 1/8
    assert (ratios < 1 / 4).all()
    assert errors[0] < np.var(vectors) / 5
    new = np.random.default_rng(4).uniform(-0.5, 0.5, (2000, 4))
    assert (np.diff(np.log(quantizer.errors(new))) < np.log(1 / 2)).all()


def test_as_good_as_published_figures() -> None:
    # Hawley's article, d = 8, cb_len = 256, K = 1, 2, 3: normal vectors, error on the training vectors
    normal = np.random.default_rng(0).normal(size=(4096, 8))
    errors = ResidualQuantizer.fit(normal, 3, 256).errors(normal)
    assert errors == pytest.approx([2.7e-1, 7.1e-2, 1.9e-2], rel=0.1)


def test_encode_is_the_nearest_entry_level_by_level(vectors: np.ndarray, quantizer: ResidualQuantizer) -> None:
    residual = vectors[:50].copy()
    codes = quantizer.encode(vectors[:50])
    for k, codebook in enumerate(quantizer.codebooks):
        distance = ((residual[:, None] - codebook[None]) ** 2).sum(2)
        assert np.array_equal(codes[k], distance.argmin(1))
        residual -= codebook[codes[k]]
    assert np.mean(residual**2) == pytest.approx(quantizer.errors(vectors[:50])[-1])
    assert np.allclose(quantizer.decode(codes), vectors[:50] - residual)


def test_fewer_codebooks_are_the_first_ones(vectors: np.ndarray, quantizer: ResidualQuantizer) -> None:
    codes = quantizer.encode(vectors)
    assert codes.shape == (5, 4000)
    assert np.array_equal(quantizer.encode(vectors, n_q=2), codes[:2])
    error = np.mean((quantizer.decode(codes[:2]) - vectors) ** 2)
    assert error == pytest.approx(quantizer.errors(vectors)[1])
    assert quantizer.decode(codes[:0]).shape == (4000, 4)


def test_same_seed_same_codebooks(vectors: np.ndarray) -> None:
    seen: list[tuple[int, float]] = []
    one = ResidualQuantizer.fit(vectors, 2, 16, seed=5, progress=lambda k, mse: seen.append((k, mse)))
    two = ResidualQuantizer.fit(vectors, 2, 16, seed=5)
    assert np.array_equal(one.codebooks, two.codebooks)
    assert [k for k, _ in seen] == [0, 1]
    assert [mse for _, mse in seen] == pytest.approx(one.errors(vectors))


def test_torch_in_torch_out(vectors: np.ndarray, quantizer: ResidualQuantizer) -> None:
    codes = quantizer.encode(torch.from_numpy(vectors))
    assert isinstance(codes, torch.Tensor)
    assert codes.dtype == torch.int64
    assert np.array_equal(codes.numpy(), quantizer.encode(vectors))
    assert np.array_equal(quantizer.decode(codes).numpy(), quantizer.decode(codes.numpy()))
    fitted = ResidualQuantizer.fit(torch.from_numpy(vectors).float(), 1, 8)
    assert fitted.codebooks.dtype == np.float32


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**32 - 1), st.booleans())
def test_any_shape(dim: int, size: int, n_q: int, seed: int, few: bool) -> None:
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 2, (size + 5, dim)).astype(np.float32) if few else rng.normal(size=(size + 5, dim))
    quantizer = ResidualQuantizer.fit(data, n_q, size, rounds=4)
    assert (quantizer.n_q, quantizer.codebook_size, quantizer.dim) == (n_q, size, dim)
    assert np.isfinite(quantizer.codebooks).all()
    codes = quantizer.encode(data)
    assert np.mean((quantizer.decode(codes) - data) ** 2) == pytest.approx(quantizer.errors(data)[-1], abs=1e-6)


def test_nearest_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    data, codebook = rng.normal(size=(101, 3)), rng.normal(size=(7, 3))
    whole = nearest(data, codebook)
    monkeypatch.setattr(residual, "_BLOCK", 20)
    assert np.array_equal(nearest(data, codebook)[0], whole[0])
    assert whole[1] == pytest.approx(((data[:, None] - codebook[None]) ** 2).sum(2).min(1))


def test_every_entry_is_used_where_vectors_differ() -> None:
    # three tight clusters and one far point: entries that nobody chooses are put to use
    rng = np.random.default_rng(1)
    data = np.concatenate([rng.normal(c, 0.01, (100, 2)) for c in (0, 10, 20)] + [np.full((1, 2), 99.0)])
    quantizer = ResidualQuantizer.fit(data, 1, 32)
    assert len(np.unique(quantizer.encode(data))) == 32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda q: ResidualQuantizer.fit(np.zeros((9, 2)), 1, 10), "9 vectors for a codebook of 10 entries"),
        (lambda q: ResidualQuantizer.fit(np.zeros(9), 1, 2), r"shape \[9\]: must be \[n, d\]"),
        (lambda q: ResidualQuantizer.fit(np.full((9, 2), np.nan), 1, 2), "NaN"),
        (lambda q: ResidualQuantizer.fit(np.zeros((9, 2)), 0, 2), "n_q = 0"),
        (lambda q: ResidualQuantizer(np.zeros((2, 3))), "must be"),
        (lambda q: q.encode(np.zeros((9, 3))), r"must be \[n, 4\]"),
        (lambda q: q.encode(np.zeros((9, 4)), n_q=6), "has 5 codebooks"),
        (lambda q: q.decode([[64]]), "codes reach from 64 to 64: must be 0 .. 63"),
        (lambda q: q.decode([[0.5]]), "must be integers"),
        (lambda q: q.decode(np.zeros((6, 2), int)), "has 5 codebooks"),
    ],
)
def test_errors_say_what_is_wrong(call: object, message: str, quantizer: ResidualQuantizer) -> None:
    with pytest.raises(ValueError, match=message):
        call(quantizer)  # type: ignore[operator]
