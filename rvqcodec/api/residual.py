"""A residual quantizer for any array of vectors: k-means, level by level, on what the levels before left.

numpy in, numpy out; torch tensors are taken too and answered with torch tensors. Nothing here knows of audio:
`vectors` are [n, d], `codes` [K, n], as everywhere in this project the codebooks come first.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.floating[Any]]
_BLOCK = 1 << 22  # distances held at once (entries): 16 MB of float32


def nearest(vectors: Vectors, codebook: Vectors) -> tuple[npt.NDArray[np.int64], Vectors]:
    """The nearest entry of codebook [size, d] to each of vectors [n, d], squared distance: [n] each."""
    # |x - c|^2 = |x|^2 - 2 x.c + |c|^2; |x|^2 does not change the order
    bias = (codebook**2).sum(1)
    index = np.empty(len(vectors), np.int64)
    rows = max(1, _BLOCK // len(codebook))
    for first in range(0, len(vectors), rows):
        part = vectors[first : first + rows]
        index[first : first + rows] = np.argmin(bias - 2 * (part @ codebook.T), axis=1)
    return index, ((vectors - codebook[index]) ** 2).sum(1)


def kmeans(vectors: Vectors, size: int, *, rounds: int = 25, rng: np.random.Generator) -> Vectors:
    """`size` centroids of vectors [n, d]: Lloyd's rounds from randomly chosen vectors; returns [size, d].

    A centroid that no vector chose starts again at one of the vectors that are worst served. Stops early when
    a round gains less than one part in 10,000. ValueError if there are fewer vectors than centroids.
    """
    if len(vectors) < size:
        raise ValueError(f"{len(vectors)} vectors for a codebook of {size} entries: give at least {size}")
    codebook: Vectors = vectors[rng.choice(len(vectors), size, replace=False)].copy()
    before = np.inf
    for _ in range(rounds):
        index, distance = nearest(vectors, codebook)
        count = np.bincount(index, minlength=size)
        used = count > 0
        order = np.argsort(index, kind="stable")
        starts = np.cumsum(count) - count
        sums = np.add.reduceat(vectors[order], starts[used], axis=0)
        codebook[used] = sums / count[used, None].astype(vectors.dtype)
        unused = np.flatnonzero(~used)
        if len(unused):
            worst = np.argsort(distance)[::-1][: len(unused)]
            worst = worst[distance[worst] > 0]
            codebook[unused[: len(worst)]] = vectors[worst]
        error = float(distance.sum())
        if not len(unused) and error > before * (1 - 1e-4):
            break
        before = error
    return codebook


class ResidualQuantizer:
    """`n_q` codebooks; each quantizes what is left when the entries chosen before it are subtracted.

    >>> import numpy as np
    >>> vectors = np.random.default_rng(0).normal(size=(2000, 8))
    >>> quantizer = ResidualQuantizer.fit(vectors, n_q=4, codebook_size=64)
    >>> codes = quantizer.encode(vectors)
    >>> codes.shape
    (4, 2000)
    >>> bool(np.mean((quantizer.decode(codes) - vectors) ** 2) < 0.06)
    True
    """

    def __init__(self, codebooks: npt.ArrayLike) -> None:
        """`codebooks`: [K, size, d], any floating type; kept as they are."""
        self.codebooks: Vectors = _numpy(codebooks)
        if self.codebooks.ndim != 3 or 0 in self.codebooks.shape:
            raise ValueError(f"codebooks of shape {list(self.codebooks.shape)}: must be [n_q, size, d]")

    @classmethod
    def fit(
        cls,
        vectors: npt.ArrayLike,
        n_q: int,
        codebook_size: int,
        *,
        rounds: int = 25,
        seed: int = 0,
        progress: Callable[[int, float], None] | None = None,
    ) -> "ResidualQuantizer":
        """Train `n_q` codebooks of `codebook_size` entries on vectors [n, d], n >= codebook_size, finite.

        The same vectors and seed give the same codebooks. `progress(k, mse)` is called after each codebook
        with its number and the mean squared error per component that is left.
        """
        residual = _vectors(vectors).copy()
        if n_q < 1 or codebook_size < 1:
            raise ValueError(f"n_q = {n_q}, codebook_size = {codebook_size}: both must be at least 1")
        if not np.isfinite(residual).all():
            raise ValueError("vectors hold NaN or infinite values: remove them first")
        rng = np.random.default_rng(seed)
        codebooks = []
        for k in range(n_q):
            codebook = kmeans(residual, codebook_size, rounds=rounds, rng=rng)
            residual -= codebook[nearest(residual, codebook)[0]]
            codebooks.append(codebook)
            if progress is not None:
                progress(k, float(np.mean(residual**2)))
        return cls(np.stack(codebooks))

    @property
    def n_q(self) -> int:
        return int(self.codebooks.shape[0])

    @property
    def codebook_size(self) -> int:
        return int(self.codebooks.shape[1])

    @property
    def dim(self) -> int:
        return int(self.codebooks.shape[2])

    def encode(self, vectors: Any, n_q: int | None = None) -> Any:
        """vectors [n, d] to codes int64 [n_q, n]; `n_q` uses only the first codebooks (default: all)."""
        residual = _vectors(vectors, self.dim).astype(self.codebooks.dtype)
        codes = np.empty((self._count(n_q), len(residual)), np.int64)
        for k in range(len(codes)):
            codes[k] = nearest(residual, self.codebooks[k])[0]
            residual -= self.codebooks[k][codes[k]]
        return _like(vectors, codes)

    def decode(self, codes: Any) -> Any:
        """codes [n_q, n], n_q up to the number of codebooks, to vectors [n, d]: sums of the entries named."""
        grid = _numpy(codes)
        if grid.ndim != 2 or grid.dtype.kind not in "iu":
            raise ValueError(f"codes {list(grid.shape)} of type {grid.dtype}: must be integers [n_q, n]")
        if grid.size and not 0 <= grid.min() <= grid.max() < self.codebook_size:
            last = self.codebook_size - 1
            raise ValueError(f"codes reach from {grid.min()} to {grid.max()}: must be 0 .. {last}")
        vectors = np.zeros((grid.shape[1], self.dim), self.codebooks.dtype)
        for k in range(self._count(len(grid))):
            vectors += self.codebooks[k][grid[k]]
        return _like(codes, vectors)

    def errors(self, vectors: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Mean squared error per component after 1, 2, .. n_q codebooks for vectors [n, d]: float64 [n_q]."""
        residual = _vectors(vectors, self.dim).astype(self.codebooks.dtype)
        result = np.empty(self.n_q)
        for k, codebook in enumerate(self.codebooks):
            residual -= codebook[nearest(residual, codebook)[0]]
            result[k] = np.mean(residual.astype(np.float64) ** 2)
        return result

    def _count(self, n_q: int | None) -> int:
        if n_q is None:
            return self.n_q
        if not 0 <= n_q <= self.n_q:
            raise ValueError(f"n_q = {n_q}: this quantizer has {self.n_q} codebooks")
        return n_q


def _numpy(values: Any) -> npt.NDArray[Any]:
    if hasattr(values, "detach"):  # a torch tensor, without importing torch for those who have none
        values = values.detach().cpu().numpy()
    return np.asarray(values)


def _like(given: Any, result: npt.NDArray[Any]) -> Any:
    if not hasattr(given, "detach"):
        return result
    import torch

    return torch.from_numpy(result).to(given.device)


def _vectors(values: Any, dim: int | None = None) -> Vectors:
    array = _numpy(values)
    if array.ndim != 2 or (dim is not None and array.shape[1] != dim):
        raise ValueError(f"vectors of shape {list(array.shape)}: must be [n, {dim or 'd'}]")
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)
