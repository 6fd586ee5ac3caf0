"""The second channel by parameters: what of it the main channel predicts, and how much is unlike it.

    second = alpha * main + rho * unlike(main)        per band, in the MDCT domain

Both channels are turned beforehand (`codec.rotation`). Two numbers a band and frame, atan alpha and atan rho, are the
sum of the entries that the last codes name, weighted DECAY^age, over MEMORY frames: one code of the table a frame, each
of which goes on refining the ones before. So nothing depends on where a frame stands in a file, and after MEMORY frames
nothing on what came before. Entry 0 is zero: a second channel that is silent stays exactly silent.

The parameters of a frame are those that the codes up to AHEAD frames later give. A decoder's network lags by that much
anyway, and the encoder knows what is coming.

Shapes: T frames, S sub-frames, B bands, F coefficients.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvqcodec.models.rvq44.tables import Floats
from rvqcodec.models.rvq44.timing import MEMORY

Codes = NDArray[np.uint16]

DECAY = 0.75
AHEAD = 4  # frames
STEEPEST = 1.45  # radians: alpha and rho reach 8.2
NEARLY = 1e-5  # of both powers: a main channel that is weaker predicts nothing
FLOOR = 1e-9  # of a coefficient's power
SPREAD = np.array([1, 2, 3, 2, 1], np.float32) / 9  # over neighbouring frames, before parameters are taken
WEIGHT = 0.35  # exponent of a band's share of the power: what its errors count
WIDTH, DELAY = 16, 2  # of the encoder's search: chains, and frames before a code is decided
BLOCK = 64  # entries that are compared at a time
HEARD = 0.4  # exponent of the sensitivity: 0.5 would be for absolute errors, 1 for squared ones
COHERENT = 0.12  # of coherence, as bad as a decibel
LIMIT, SOFT = 1.3, 2e-3  # of parameters (radians) and powers, beyond which the sensitivity grows no more


def covariances(main: Floats, second: Floats, band_weights: Floats, sub_frames: int) -> Floats:
    """MDCT coefficients [S, F], band weights [F, B] -> <main, main>, <main, second>, <second, second>: [3, T, B]."""
    products = np.stack([main * main, main * second, second * second]) @ band_weights
    powers: Floats = products.reshape(3, -1, sub_frames, band_weights.shape[1]).sum(2)
    return powers


def sensitivity(values: Floats) -> Floats:
    """Parameters [T, 2 B] -> how much moving each by a radian is heard, squared: [T, 2 B].

    In the level difference and the coherence of main - second and main + second, a decibel being worth COHERENT.
    """
    angle, width = np.split(values, 2, 1)
    alpha, rho = np.tan(np.clip(angle, -LIMIT, LIMIT)), np.tan(np.clip(width, 0, LIMIT))
    left, right = ((1 + sign * alpha) ** 2 + rho**2 + SOFT for sign in (-1, 1))
    middle = np.sqrt(left * right)
    coherence = (1 - alpha**2 - rho**2) / middle
    level = 10 / np.log(10) * 2
    by_alpha = level * ((1 + alpha) / right + (1 - alpha) / left)
    by_rho = level * rho * (1 / right - 1 / left)
    coherence_by_alpha = -2 * alpha / middle - coherence * ((1 + alpha) / right - (1 - alpha) / left)
    coherence_by_rho = -2 * rho / middle - coherence * rho * (1 / right + 1 / left)
    heard = [by_alpha**2 + (coherence_by_alpha / COHERENT) ** 2, by_rho**2 + (coherence_by_rho / COHERENT) ** 2]
    return np.concatenate([heard[0] * (1 + alpha**2) ** 2, heard[1] * (1 + rho**2) ** 2], 1)


def parameters(powers: Floats) -> tuple[Floats, Floats]:
    """Covariances [3, T, B] (smoothed by the caller) -> atan alpha and atan rho side by side, weights.

    Both [T, 2 B]. Weights of squared errors: by a band's share of the frame's power, and by `sensitivity`.
    """
    main, across, second = powers
    total = 2 * (main + second)  # of left and right
    main = main + NEARLY * total + FLOOR
    alpha = across / main
    rho = np.sqrt(np.maximum(second / main - alpha * alpha, 0))
    # What rounding leaves of a second channel that is silent must not wake it.
    silent = second <= 1e-9 * total
    values = np.concatenate([np.where(silent, 0, np.arctan(alpha)), np.where(silent, 0, np.arctan(rho))], 1)
    values = np.clip(values, -STEEPEST, STEEPEST).astype(np.float32)
    share = ((total + 1e-7) / (total + 1e-7).sum(1, keepdims=True)) ** WEIGHT
    weights = np.concatenate([share, share], 1) * sensitivity(values) ** HEARD
    return values, (weights / weights.mean(1, keepdims=True)).astype(np.float32)


class Analysis:
    """Covariances of frames, in a stream, to `parameters`; lags by two frames."""

    def __init__(self) -> None:
        self._powers: Floats | None = None

    def push(self, powers: Floats) -> tuple[Floats, Floats]:
        """[3, T, B] -> values and weights [T', 2 B] of the frames whose neighbours are known."""
        half = len(SPREAD) // 2
        if self._powers is None:  # nothing lies before the first frame
            self._powers = np.zeros((3, half, powers.shape[2]), np.float32)
        held = np.concatenate([self._powers, powers], 1)
        count = max(0, held.shape[1] - 2 * half)
        smooth = np.zeros((3, count, powers.shape[2]), np.float32)
        for i, share in enumerate(SPREAD):
            smooth += share * held[:, i : i + count]
        self._powers = held[:, count:]
        return parameters(smooth)


class StereoEncoder:
    """Parameters to codes, closed loop: several chains of codes at a time, each frame's decided DELAY frames later.

    A code is known once the covariances of its own frame are: SPREAD's two frames and DELAY lie within AHEAD.
    table: float32 [1024, 2 B], entry 0 zero.
    """

    def __init__(self, table: Floats, *, width: int = WIDTH) -> None:
        self._table, self._width = table, width
        self._across, self._squares = np.ascontiguousarray(table.T), table * table
        self._analysis = Analysis()
        self._states = np.zeros((1, table.shape[1]), np.float32)
        self._cost = np.zeros(1, np.float32)
        self._open = np.zeros((1, 0), np.int64)  # codes of each chain that are not decided
        self._steps = 0

    def push(self, powers: Floats) -> Codes:
        """Covariances [3, T, B] of further frames -> their codes [T]; the first time T is 3 or more."""
        codes = self._coded(*self._analysis.push(powers))
        assert len(codes) == powers.shape[1]
        return codes

    def _coded(self, values: Floats, weights: Floats) -> Codes:
        done: list[int] = []
        if not self._steps and len(values):  # the codes of the first frames all work for the first parameters
            values = np.concatenate([np.repeat(values[:1], AHEAD, 0), values])
            weights = np.concatenate([np.repeat(weights[:1], AHEAD, 0), weights])
        for value, weight in zip(values, weights, strict=True):  # one by one: the same bits for any blocks
            done += self._step(value * _rise(self._steps), weight)
            self._steps += 1
        return np.array(done, np.uint16)

    def _step(self, value: Floats, weight: Floats) -> list[int]:
        """Goes on from all chains by the cheapest entries; the code that is decided, if any is."""
        left = value - np.float32(DECAY) * self._states
        heard = left * weight
        cost = (-2 * heard) @ self._across
        cost += self._squares @ weight
        cost += (self._cost + (heard * left).sum(1))[:, None]
        size, flat = len(self._table), cost.ravel()
        best = cheapest(cost, self._width)
        chain, code = best // size, best % size
        self._cost = flat[best] - flat[best[0]]
        self._states = np.float32(DECAY) * self._states[chain] + self._table[code]
        self._open = np.concatenate([self._open[chain], code[:, None]], 1)
        if self._open.shape[1] <= DELAY:
            return []
        decided = int(self._open[0, 0])
        same = self._open[:, 0] == decided
        self._cost, self._states, self._open = self._cost[same], self._states[same], self._open[same, 1:]
        return [decided]


def cheapest(cost: Floats, count: int) -> NDArray[np.int64]:
    """Costs [chains, entries] -> flat indices of the `count` least, least first; as a sort, in a tenth of its time.

    Only the least of every BLOCK-th entry are compared first, then all of the entries that these stand for.
    """
    flat = cost.ravel()
    if cost.shape[1] % BLOCK or len(flat) // BLOCK <= count:
        everything: NDArray[np.int64] = np.argsort(flat, kind="stable")[:count]
        return everything
    least = cost.reshape(len(cost), -1, BLOCK).min(1).ravel()
    columns = np.sort(np.argpartition(least, count - 1)[:count])
    first = columns // BLOCK * cost.shape[1] + columns % BLOCK
    places = (first[:, None] + np.arange(0, cost.shape[1], BLOCK)).ravel()
    found: NDArray[np.int64] = places[np.argsort(flat[places], kind="stable")[:count]]
    return found


def _rise(frame: int) -> Any:
    """What the weights of all codes up to a stream's frame add up to, against those of an endless stream."""
    return np.float32(1 - DECAY ** (frame + 1))


class StereoDecoder:
    """Codes to parameters: float32 only rounds, everything else is looked up. table: float32 [1024, 2 B]."""

    def __init__(self, table: Floats) -> None:
        self._table = table
        self._entries = np.zeros((MEMORY - 1, table.shape[1]), np.float32)
        self._frames = 0

    def push(self, codes: Codes) -> Floats:
        """Codes [T] -> atan alpha and atan rho side by side [T, 2 B], for frames AHEAD before those of the codes.

        Where the stream begins in the middle of a sound, a mean of the few codes that are known stands for all.
        """
        entries = np.concatenate([self._entries, self._table[codes.astype(np.int64)]])
        weights = (np.float32(DECAY) ** np.arange(MEMORY - 1, -1, -1)).astype(np.float32)
        values = np.zeros((len(codes), entries.shape[1]), np.float32)
        for i, weight in enumerate(weights):
            values += weight * entries[i : i + len(codes)]
        for t in range(self._frames, min(MEMORY, self._frames + len(codes))):
            values[t - self._frames] /= _rise(t)
        self._entries = entries[len(codes) :]
        self._frames += len(codes)
        return values


def by_sub_frame(before: Floats, values: Floats) -> Floats:
    """Parameters of the frame before [2 B] and of frames [T, 2 B] -> of sub-frames [S, 2 B], halfway and there."""
    halfway = 0.5 * (np.concatenate([before[None], values[:-1]]) + values)
    return np.stack([halfway, values], 1).reshape(-1, values.shape[1])


def spread(values: Floats, bands: Floats) -> tuple[Floats, Floats]:
    """Parameters of sub-frames [S, 2 B], bands to coefficients [B, F] -> alpha and rho of each coefficient [S, F]."""
    alpha, rho = (half @ bands for half in np.split(values, 2, 1))
    return np.tan(np.clip(alpha, -STEEPEST, STEEPEST)), np.tan(np.clip(rho, 0, STEEPEST))
