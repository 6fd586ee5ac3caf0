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

    entries [size, dim]; inward [L + dims decided before, dim]: projects a latent and takes off what the decided codes
    stand for; coupling [dims open, dim]: the same for open codes; distances: entries as columns, -2 * entries over
    their powers [dim + 1, size], or, where errors are weighted, entries and their squares [dim, size].
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

    def stage(self, k: int) -> Stage:
        """Of codebook k; made when it is first needed, for few may be wanted."""
        found = self._stages.get(k)
        if found is None:
            found = self._stages[k] = self._made(k)
        return found

    def _made(self, k: int) -> Stage:
        into, entries = self._tensor(k, "project_in.weight"), self._tensor(k, "entries")
        first = max(0, k - self.ahead)  # codebooks before it are decided
        couplings = [-(into @ self._tensor(j, "project_out.weight")).T for j in range(k)]
        powers = (entries**2).sum(1)
        distances = entries.T if self.weigh else np.concatenate([-2 * entries.T, powers[None]])
        return Stage(
            entries,
            np.concatenate([into.T, *couplings[:first]]),
            np.concatenate([np.zeros((0, len(into)), np.float32), *couplings[first:]]),
            np.ascontiguousarray(distances),
            np.ascontiguousarray((entries**2).T) if self.weigh else None,
        )

    def _tensor(self, k: int, part: str) -> Floats:
        return self._weights[f"{self._name}.codebooks.{k}.{part}"]

    def encode(self, latents: Floats, n_q: int) -> Integers:
        """latents [n, L] -> codes [n_q, n]. The same n gives the same bits, whatever n_q."""
        n, width = latents.shape
        last = min(len(self.dims), n_q + self.ahead) if n_q else 0
        known = np.empty((n, width + sum(self.dims[: max(0, last - self.ahead)])), np.float32)
        known[:, :width] = latents  # and behind it the entries that are decided
        weight = self.weigh(latents) if self.weigh else None
        cost = np.zeros((n, 1), np.float32)
        entries = np.zeros((n, 0), np.float32)  # open ones of every chain, side by side
        open_codes = np.zeros((n, 1, 0), np.int64)
        frames = np.arange(n)[:, None]
        decided: list[Integers] = []
        for k in range(last):
            stage, chains = self.stage(k), cost.shape[1]
            encoded = known[:, : len(stage.inward)] @ stage.inward
            if entries.shape[1]:
                encoded = encoded[:, None] + (entries @ stage.coupling).reshape(n, chains, -1)
            cost, parent, code = self._best(stage, encoded.reshape(n, chains, -1), cost, weight)
            rows = (parent + frames * chains).ravel()
            open_codes = np.concatenate([open_codes[frames, parent], code[..., None]], 2)
            done = open_codes.shape[2] > self.ahead
            kept = entries.take(rows, 0)[:, self.dims[k - self.ahead] if done and self.ahead else 0 :]
            entries = np.concatenate([kept, stage.entries.take(code.ravel(), 0)], 1)
            if done:
                chosen = open_codes[:, :1, 0]
                cost = np.where(open_codes[:, :, 0] == chosen, cost, np.float32(np.inf))
                open_codes = open_codes[:, :, 1:]
                self._note(known, width, chosen[:, 0], len(decided))
                decided.append(chosen[:, 0])
        decided += list(open_codes[:, 0].T)
        return np.stack(decided[:n_q]) if n_q else np.zeros((0, n), np.int64)

    def _note(self, known: Floats, width: int, chosen: Integers, k: int) -> None:
        """Put the entries that codebook k's codes name behind what is known, if a later stage looks there."""
        begin = width + sum(self.dims[:k])
        if begin < known.shape[1]:
            known[:, begin : begin + self.dims[k]] = self.stage(k).entries[chosen]

    def _best(
        self, stage: Stage, encoded: Floats, cost: Floats, weight: Floats | None
    ) -> tuple[Floats, Integers, Integers]:
        """encoded [n, chains, dim], cost [n, chains], weight [n, dim] -> three arrays [n, width].

        The `width` cheapest continuations, sorted: cost, index of the chain extended, code. With orthonormal directions
        |c|^2 - 2 e.c is what entry c adds to the squared distance.
        """
        n, chains, dim = encoded.shape
        if weight is None or stage.squares is None:
            x = np.empty((n * chains, dim + 1), np.float32)
            x[:, :dim] = encoded.reshape(n * chains, dim)
            x[:, dim] = 1
            distance = _apart(x @ stage.distances, chains)
        else:
            weighted: Floats = (encoded * (-2 * weight)[:, None]).reshape(n * chains, dim)
            distance = _apart(weighted @ stage.distances, chains)
            distance += (weight @ stage.squares)[:, None]
        return cheapest(distance, cost, self.width)


def _apart(x: Floats, chains: int) -> Floats:
    """[n * chains, D] -> [n, chains, D]."""
    return x.reshape(-1, chains, x.shape[1])


def cheapest(distance: Floats, cost: Floats, count: int) -> tuple[Floats, Integers, Integers]:
    """distance [n, chains, size], cost [n, chains] -> the `count` least sums of both, sorted: sum, chain, entry.

    The least of each block of entries is found first, with few large operations, then only the winning blocks are
    searched: block b of a chain has the entries b, b + BLOCKS, ...
    """
    n, chains, size = distance.shape
    if size % BLOCKS or chains * BLOCKS < count:
        total = (distance + cost[..., None]).reshape(n, -1)
        place = np.argsort(total, 1, kind="stable")[:, :count]
        return np.take_along_axis(total, place, 1), place // size, place % size
    least = distance.reshape(n * chains, size)
    while least.shape[1] > BLOCKS and least.shape[1] % (2 * BLOCKS) == 0:
        half = least.shape[1] // 2
        least = np.minimum(least[:, :half], least[:, half:])
    if least.shape[1] > BLOCKS:
        least = least.reshape(n * chains, -1, BLOCKS).min(1)
    _, near = least_of((least.reshape(n, chains, BLOCKS) + cost[..., None]).reshape(n, -1), count)
    chain = near // BLOCKS
    first = near + chain * (size - BLOCKS) + np.arange(0, n * chains * size, chains * size)[:, None]
    few = distance.reshape(-1).take(first[..., None] + np.arange(0, size, BLOCKS))
    few += np.take_along_axis(cost, chain, 1)[..., None]
    found, place = least_of(few.reshape(n, -1), count)
    of_block, block = place % few.shape[2], place // few.shape[2]
    near = np.take_along_axis(near, block, 1)
    return found, near // BLOCKS, near % BLOCKS + of_block * BLOCKS


def least_of(values: Floats, count: int) -> tuple[Floats, Integers]:
    """values [n, m], which are used up -> the `count` least of each row, sorted, and where they are [n, count].

    One after the other: argmin is many times faster than a sort, and of equal ones takes the first.
    """
    n, m = values.shape
    flat, rows = values.reshape(-1), np.arange(0, n * m, m)
    places, found = np.empty((n, count), np.int64), np.empty((n, count), np.float32)
    for i in range(count):
        place = values.argmin(1)
        places[:, i] = place
        place += rows
        found[:, i] = flat.take(place)
        flat[place] = np.inf
    return found, places
