"""Two channels turned by an angle, so that what they have in common lies in the first: numpy only, streaming.

    main   = ( cos * left + sin * right) / sqrt 2
    second = (-sin * left + cos * right) / sqrt 2

At 45 degrees these are (left + right) / 2 and (right - left) / 2, and in the other direction left = main - second,
right = main + second. An angle is told as an index, a step is a 64th of pi. The range begins where nobody listens:
at -45 degrees, opposite phase; so a sound that moves from the left to the right crosses no seam.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Samples = NDArray[np.float32]

ANGLES = 64
MOMENT, BANDS = 2048, 24  # samples and bands in which sound is looked at to choose an angle
LEFT, MIDDLE, RIGHT = 16, 32, 48  # indices; 0: opposite phase
GAIN = 6.0  # dB by which another angle must weaken the second channel before it is taken
KEEP = 3.0  # dB by which the angle that is in use must still be better than the middle
HEARD = 1 / 32  # of the power of both: a main channel that is weaker predicts nothing
LOST = 100.0  # dB, if no main channel predicted anything
FLOOR = 1e-3  # of the power of both: a second channel weaker than this is as good as none


def powers(samples: Samples, sample_rate: int) -> NDArray[np.float64]:
    """float32 [2, n] -> <l, l>, <r, r>, <l, r> of moments and bands, weighted as they are heard: [3, cells]."""
    count = samples.shape[1] // MOMENT
    if not count:
        return np.zeros((3, 1))
    spectra = np.fft.rfft(samples[:, : count * MOMENT].reshape(2, count, MOMENT) * np.hanning(MOMENT))
    left, right = spectra
    frequency = np.fft.rfftfreq(MOMENT, 1 / sample_rate)
    found = np.stack([np.abs(left) ** 2, np.abs(right) ** 2, (left * right.conj()).real]) / (1 + frequency / 1000) ** 2
    edges = np.unique(np.searchsorted(frequency, 700 * (10 ** (np.arange(BANDS) * (3.6 / BANDS / 2.595)) - 1)))
    cells = np.add.reduceat(found, edges[edges < len(frequency)], axis=2)
    weighted: NDArray[np.float64] = cells * (cells[0] + cells[1] + 1e-9) ** -0.5
    return weighted


def radians(index: ArrayLike) -> NDArray[np.float64]:
    """Index (fractions too) -> angle."""
    return (np.asarray(index, np.float64) - LEFT) * (np.pi / ANGLES)


def gains(index: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Index -> cosine and sine; exactly 0 where they should be, so that a silent channel stays silent."""
    angle = radians(index)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.where(np.abs(cos) < 1e-12, 0.0, cos), np.where(np.abs(sin) < 1e-12, 0.0, sin)


def choose(powers: NDArray[np.floating], previous: int = MIDDLE) -> int:
    """Index of the angle for a chunk, from powers <l, l>, <r, r>, <l, r> [3, ...] per moment and band.

    The caller weights them. The middle, unless another angle is better by GAIN: weaker in the second channel, or with
    less of the sound where the main channel is so weak that it predicts nothing. An angle once taken stays until a
    third is better by GAIN, or until it is hardly better than the middle.
    """
    left, right, both = np.asarray(powers, np.float64).reshape(3, -1)
    cells = left + right
    total = cells.sum()
    if not total > 0:
        return previous
    cos, sin = gains(np.arange(ANGLES)[:, None])
    main = cos**2 * left + sin**2 * right + 2 * cos * sin * both
    second = np.maximum(1 - main.sum(1) / total, 0)
    lost = np.where(main < HEARD * cells, cells, 0).sum(1) / total
    score = 10 * np.log10(second + FLOOR) + LOST * lost  # dB
    best = int(np.argmin(score))
    if score[best] <= min(score[previous], score[MIDDLE]) - GAIN:
        return best
    return previous if score[previous] <= score[MIDDLE] - KEEP else MIDDLE


class Rotation:
    """Turns two channels frame by frame; `back` undoes it. Where the angle changes it moves within that frame.

    The way does not depend on the samples, nor on how they are cut into blocks; the first frame has its angle from
    the start. skip: samples of the first frame that are missing from the stream (an encoder's `pre_skip`).
    """

    def __init__(self, hop: int, *, back: bool = False, skip: int = 0) -> None:
        self.hop, self.back = hop, back
        move = np.sin(np.pi / 2 * (np.arange(hop) + 0.5) / hop) ** 2
        self._move = move
        self._angle: int | None = None
        self._angles: list[int] = []  # of frames that are not complete
        self._at = skip  # position in the first of them
        self._held: Samples = np.zeros((2, 0), np.float32)

    def push(self, samples: Samples, angles: ArrayLike = ()) -> Samples:
        """float32 [2, n], n may be 0, and the indices of further frames [T] -> what can be turned, float32 [2, m].

        Samples wait until the angle of their frame is known; angles may come before their samples.
        """
        self._angles += [int(a) for a in np.asarray(angles, np.int64).reshape(-1)]
        held = np.concatenate([self._held, samples], 1)
        done = 0
        out = [np.zeros((2, 0), np.float32)]
        while self._angles and done < held.shape[1]:
            n = min(self.hop - self._at, held.shape[1] - done)
            out.append(self._turned(held[:, done : done + n]))
            done += n
            self._at += n
            if self._at == self.hop:
                self._angle, self._at = self._angles.pop(0), 0
        self._held = held[:, done:].copy()
        return np.concatenate(out, 1)

    def flush(self) -> Samples:
        """What is left, by the last angle that is known (the middle if none ever was): float32 [2, m]."""
        last = self._angles[-1] if self._angles else MIDDLE if self._angle is None else self._angle
        frames = -(-(self._held.shape[1] + self._at) // self.hop)
        return self.push(np.zeros((2, 0), np.float32), [last] * frames)

    def _turned(self, samples: Samples) -> Samples:
        """Samples within the frame that is being worked on, from position `_at` on."""
        angle = self._angles[0]
        before = angle if self._angle is None else self._angle
        place = self._move[self._at : self._at + samples.shape[1]]
        cos, sin = gains(angle if before == angle else before + (angle - before) * place)
        scale = np.sqrt(2.0) if self.back else np.sqrt(0.5)
        c, s = (cos * scale).astype(np.float32), (sin * scale).astype(np.float32)
        a, b = samples
        return np.stack([c * a - s * b, s * a + c * b] if self.back else [c * a + s * b, c * b - s * a])
