"""Search: latents to codes by the M algorithm, several chains of entries at a time instead of the nearest entry only.

Source: Jelinek & Anderson, 1971, with the decision delayed by a fixed number of codebooks: a code depends on the latent
and on the codebooks up to `ahead` beyond its own, never on how many are kept. So the codes of a low bitrate are the
first ones of a high bitrate, as with the nearest entry. `network.search` is the same in torch.

Chains of a frame share the codes that are decided, so what these take from later projections is found once a frame;
only the few open codes are told apart by chain. No product's size depends on how many codes are wanted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rvqcodec.models.rvq44.cpu.weights import Weights
from rvqcodec.models.rvq44.tables import Floats

Integers = NDArray[np.int64]

BLOCKS = 32  # of a chain's entries: `cheapest` looks at the least of each first


@dataclass(frozen=True)
class Stage:
    """What the search needs of a codebook.

    entries [size, dim]; inward [dim, L + dims decided before]: projects a latent and takes off what the decided codes
    stand for; coupling [dim, dims open]: the same for open codes; distances: -2 * entries beside their powers
    [size, dim + 1], or, where errors are weighted, entries [size, dim] and their squares.
    """

    entries: Floats
    inward: Floats
    coupling: Floats
    distances: Floats
    squares: Floats | None


class Search:
    """Finds codes for the codebooks of a quantizer.

    width: chains that are followed; ahead: codebooks looked at before a decision; weigh: from latents [n, L] to weights
    of their squared errors, for codebooks that see them without projection.
    """

    def __init__(
        self,
        weights: Weights,
        name: str,
        *,
        width: int,
        ahead: int,
        weigh: Callable[[Floats], Floats] | None = None,
    ) -> None:
        """name: of the quantizer's tensors."""
        assert width > 1
        assert ahead >= 0
        self.width, self.ahead, self.weigh = width, ahead, weigh
        self.dims = weights.dims(name)
        self._weights, self._name = weights, name
        self._stages: dict[int, Stage] = {}
        self._outs: dict[int, Floats] = {}

    def stage(self, k: int) -> Stage:
        """Of codebook k; made when it is first needed, for few may be wanted."""
        found = self._stages.get(k)
        if found is None:
            found = self._stages[k] = self._made(k)
        return found

    def _made(self, k: int) -> Stage:
        into, entries = self._tensor(k, "project_in.weight"), self._tensor(k, "entries")
        first = max(0, k - self.ahead)  # codebooks before it are decided
        couplings = [-(into @ self._out(j)) for j in range(k)]
        squares = entries**2
        distances = entries if self.weigh else np.concatenate([-2 * entries, squares.sum(1, keepdims=True)], 1)
        return Stage(
            entries,
            np.concatenate([into, *couplings[:first]], 1),
            np.concatenate([np.zeros((len(into), 0), np.float32), *couplings[first:]], 1),
            distances,
            squares if self.weigh else None,
        )

    def _out(self, k: int) -> Floats:
        """What entries of codebook k become [L, dim]: every later stage asks for it."""
        found = self._outs.get(k)
        if found is None:
            found = self._outs[k] = self._tensor(k, "project_out.weight")
        return found

    def _tensor(self, k: int, part: str) -> Floats:
        return self._weights[f"{self._name}.codebooks.{k}.{part}"]

    def encode(self, latents: Floats, n_q: int) -> Integers:
        """latents [n, L] -> codes [n_q, n]. The same n gives the same bits, whatever n_q.

        Chains stand side by side as columns, first the best ones of all latents: so distances are compared row by row.
        """
        n, width = latents.shape
        last = min(len(self.dims), n_q + self.ahead) if n_q else 0
        known = np.empty((width + sum(self.dims[: max(0, last - self.ahead)]), n), np.float32)
        known[:width] = latents.T  # and below it the entries that are decided
        weight = self.weigh(latents).T if self.weigh else None
        cost = np.zeros((1, n), np.float32)  # [chains, n]
        entries = np.zeros((n, 0), np.float32)  # open ones of every chain, side by side [chains * n, dims]
        opened: list[Integers] = []  # open codes [chains * n], oldest first
        decided: list[Integers] = []
        for k in range(last):
            stage = self.stage(k)
            encoded = (stage.inward @ known[: stage.inward.shape[1]])[:, None]
            if entries.shape[1]:
                encoded = encoded + (stage.coupling @ entries.T).reshape(-1, *cost.shape)
            cost, columns, code = cheapest(self._distance(stage, encoded, weight), cost, self.width)
            opened = [*(codes.take(columns) for codes in opened), code]
            begin = 0
            if len(opened) > self.ahead:
                codes = opened.pop(0).reshape(-1, n)
                cost[codes != codes[0]] = np.inf
                begin = self.dims[len(decided)]
                self._note(known, width, codes[0], len(decided))
                decided.append(codes[0])
            entries = np.concatenate([entries.take(columns, 0)[:, begin:], stage.entries.take(code, 0)], 1)
        decided += [codes[:n] for codes in opened]
        return np.stack(decided[:n_q]) if n_q else np.zeros((0, n), np.int64)

    def _note(self, known: Floats, width: int, chosen: Integers, k: int) -> None:
        """Put the entries that codebook k's codes name below what is known, if a later stage looks there."""
        begin = width + sum(self.dims[:k])
        if begin < len(known):
            known[begin : begin + self.dims[k]] = self.stage(k).entries.take(chosen, 0).T

    def _distance(self, stage: Stage, encoded: Floats, weight: Floats | None) -> Floats:
        """encoded [dim, chains, n], weight [dim, n] -> what each entry adds to the squared distance [size, chains * n].

        With orthonormal directions entry c adds |c|^2 - 2 e.c.
        """
        dim, chains, n = encoded.shape
        if weight is None or stage.squares is None:
            x = np.empty((dim + 1, chains * n), np.float32)
            x[:dim] = encoded.reshape(dim, -1)
            x[dim] = 1
            plain: Floats = stage.distances @ x
            return plain
        weighted: Floats = stage.distances @ (encoded * (-2 * weight)[:, None]).reshape(dim, -1)
        by_chain = weighted.reshape(-1, chains, n)
        by_chain += (stage.squares @ weight)[:, None]
        return weighted


def cheapest(distance: Floats, cost: Floats, count: int) -> tuple[Floats, Integers, Integers]:
    """distance [size, chains * n], cost [chains, n] -> the `count` least sums of both for each of n, sorted [count, n].

    And of each the column that it extends, and the entry [count * n]. The least of each block of entries is found
    first, with few large operations, then only the winning blocks are searched: block b has the entries b, b + BLOCKS,
    ...
    """
    (size, columns), (chains, n) = distance.shape, cost.shape
    frames = np.arange(n)
    if size % BLOCKS or chains * BLOCKS < count:
        total = np.ascontiguousarray((distance.reshape(size, chains, n) + cost).transpose(2, 1, 0))
        found, place = least_of(total.reshape(n, -1), min(count, chains * size))
        return found, (place // size * n + frames).ravel(), (place % size).ravel()
    least = np.minimum.reduce(distance.reshape(-1, BLOCKS, columns), 0)
    sums = np.empty((n, chains, BLOCKS), np.float32)
    np.add(least.reshape(BLOCKS, chains, n).transpose(2, 1, 0), cost.T[..., None], out=sums)
    _, near = least_of(sums.reshape(n, -1), count)
    column, block = near // BLOCKS * n + frames, near % BLOCKS
    places = (block * columns + column).T[..., None] + np.arange(0, size * columns, BLOCKS * columns)
    few = distance.reshape(-1).take(places)
    few += cost.reshape(-1).take(column).T[..., None]
    found, place = least_of(few.reshape(n, -1), count)
    winner, of_block = place // few.shape[2] * n + frames, place % few.shape[2]
    return found, column.take(winner.ravel()), (block.take(winner) + of_block * BLOCKS).ravel()


def least_of(values: Floats, count: int) -> tuple[Floats, Integers]:
    """values [n, m], which are used up -> the `count` least of each row, sorted, and their places [count, n].

    One after the other: argmin is many times faster than a sort, and of equal ones takes the first.
    """
    n, m = values.shape
    assert values.flags.c_contiguous
    flat, rows = values.reshape(-1), np.arange(0, n * m, m)
    places, found = np.empty((count, n), np.int64), np.empty((count, n), np.float32)
    for i in range(count):
        values.argmin(1, out=places[i])
        at = places[i] + rows
        found[i] = flat.take(at)
        if i + 1 < count:
            flat[at] = np.inf
    return found, places
