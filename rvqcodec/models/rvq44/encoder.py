"""StreamEncoder: samples to codes, window by window.

The engine always works on windows of one fixed size at fixed positions, whatever the length of the blocks pushed:
so any cutting of the input gives the same bits (on CUDA, where windows are merged: but for rounding). Memory does not
grow with the length.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from rvqcodec.models import threads
from rvqcodec.models.rvq44 import demand
from rvqcodec.models.rvq44.engine import ROWS, Engine, Window
from rvqcodec.models.rvq44.pairing import PairEncoder
from rvqcodec.models.rvq44.tables import Doubles, Floats
from rvqcodec.types import Codes, Samples

Integers = npt.NDArray[np.int64]

WINDOW = 32  # frames analysed at a time
GROUP = 16  # windows at most that are analysed together
LESS_FOR_SECOND = 2  # steps of demand: an octave of codes


@dataclass(frozen=True)
class Analysed:
    """Frames whose waveform codes are not chosen yet; all [C, T, ...].

    heads: first codes, the envelope's or a pair's parameters; needless: frames that need none; onsets: codes of onsets
    and 1, or 0; levels: for onsets, and envelope: quantized, both with the sub-frames of a frame side by side; latents:
    what the waveform codebooks quantize. A pair's second channel has those two of some frames earlier (`pairing`).
    """

    heads: Integers
    needless: npt.NDArray[np.bool_]
    onsets: Integers
    levels: Doubles
    envelope: Floats
    latents: Floats

    @property
    def frames(self) -> int:
        return len(self.onsets[0])

    def columns(self) -> list[npt.NDArray[Any]]:
        return [getattr(self, field.name) for field in fields(self)]

    def cut(self, begin: int, end: int) -> "Analysed":
        """Frames `begin` to `end`."""
        return Analysed(*(x[:, begin:end] for x in self.columns()))


def joined(parts: Sequence[Analysed], axis: int) -> Analysed:
    """Parts that follow one another (axis 1), or channels of the same frames (0)."""
    columns = zip(*(part.columns() for part in parts), strict=True)
    return Analysed(*(np.concatenate(column, axis) for column in columns))


class StreamEncoder:
    """Samples at the model's rate to codes (see `interface.Encoder`); `channels` are encoded side by side.

    paired: they are the main and the second channel of a pair.
    """

    def __init__(self, engine: Engine, channels: int, *, paired: bool = False) -> None:
        assert channels >= 1
        assert channels == 2 or not paired
        config = engine.config
        self.engine, self.config, self.channels = engine, config, channels
        self._pair = PairEncoder(engine.scales, engine.stereo_table) if paired else None
        heads = config.envelope_codebooks
        self._heads = np.array([heads, 1] if paired else [heads] * channels)  # first codes of each channel's frames
        self._tail = np.zeros((channels, 2 * config.sub_frame), np.float32)
        self._levels: Doubles | None = None  # of the last two sub-frames analysed
        self._coded_levels: Doubles | None = None  # of the last two coded, as a decoder knows them
        self._pending: list[Samples] = []
        self._pending_samples = 0
        self._samples = 0
        self._analysed: list[Analysed] = []  # in order; joined where they are needed
        self._frames = 0  # analysed, in all
        self._demanded: npt.NDArray[np.uint8] | None = None  # of the next frames, if they were asked for

    @property
    def ready(self) -> int:
        """Frames that wait for their codes."""
        return sum(part.frames for part in self._analysed)

    def push(self, samples: Samples, *, more: bool = False) -> None:
        """Take samples float32 [C, n].

        more: further samples come without delay, so up to `GROUP` windows are waited for: faster on several cores.
        """
        self._samples += samples.shape[1]
        self._take(samples, GROUP if more else 1)

    def flush(self) -> None:
        """Make the last frames ready; in all ceil((samples + pre_skip) / hop), none for no samples."""
        config = self.config
        total = -(-(self._samples + config.pre_skip) // config.hop) if self._samples else 0
        self._take(np.zeros((self.channels, 0), np.float32), 1)
        while self._frames < total:
            missing = WINDOW * config.hop - self._pending_samples
            self._take(np.zeros((self.channels, missing), np.float32), 1)
        left = self.ready - (self._frames - total)
        self._analysed = [self._next(left)] if left else []
        self._frames = total

    def demands(self, frames: int) -> npt.NDArray[np.uint8]:
        """How much each of the next frames asks for codes, uint8 [C, frames]."""
        with threads.one_blas_thread():
            self._demanded = self._demands(self._next(frames))
        return self._demanded

    def codes(self, n_q: npt.NDArray[np.integer]) -> Codes:
        """Give the next frames n_q [C, T] codes each: uint16 [C, K, T], 0 where a frame has fewer than K."""
        with threads.one_blas_thread():
            found = self._codes(self._next(n_q.shape[1]), n_q.astype(np.int64))
        self._drop(n_q.shape[1])
        return found

    def _codes(self, part: Analysed, wanted: Integers) -> Codes:
        flags = self._heard(part, wanted)
        demanded, self._demanded = self._demanded, None
        if demanded is None or demanded.shape != wanted.shape:
            demanded = self._demands(part)
        left = wanted - self._heads[:, None] - flags
        details = self._details(part.latents, demanded, np.maximum(left, 0))
        later = np.concatenate([part.onsets[:, None] - 1, details[:, :-1]], 1)
        rest = np.where(flags[:, None], later, details)
        found = np.zeros((self.channels, int(wanted.max()), part.frames), np.uint16)
        for own, heads, others, count in zip(found, part.heads, rest, self._heads, strict=True):
            codes = np.concatenate([heads.T[:count], others])[: len(own)]
            own[: len(codes)] = codes
        found *= np.arange(found.shape[1])[:, None] < wanted[:, None]
        return found

    def _heard(self, part: Analysed, n_q: Integers) -> npt.NDArray[np.bool_]:
        """Which frames a decoder takes for onsets, bool [C, T]: it knows no level of a frame with too few codes."""
        size, least = self.config.frame_sub_frames, self.config.base_codebooks
        levels = np.where((n_q < least)[..., None], np.inf, part.levels).reshape(len(n_q), -1)
        flags = self.engine.onsets.flags(levels, self._coded_levels)
        self._coded_levels = levels[:, -size:]
        return flags & (part.onsets > 0)

    def _details(self, latents: Floats, demanded: npt.NDArray[np.uint8], wanted: Integers) -> Integers:
        """Waveform latents [C, T, L] -> codes [C, K + 1, T] of all frames, `wanted` [C, T] of each.

        Frames that demand much are searched together, in products of ROWS frames; which ones does not depend on how
        many codes they get, so that a lower bitrate has the same codes.
        """
        order = np.argsort(-demanded.astype(np.int64).ravel(), kind="stable")
        count = -(-len(order) // ROWS)
        rows = np.zeros((count * ROWS, latents.shape[2]), np.float32)
        rows[: len(order)] = latents.reshape(len(order), -1)[order]
        most = np.zeros(count * ROWS, np.int64)
        most[: len(order)] = wanted.ravel()[order]
        falling = np.maximum.accumulate(most.reshape(count, ROWS).max(1)[::-1])[::-1].tolist()
        used = sum(k > 0 for k in falling)
        found = self.engine.details(np.split(rows, count)[:used], falling[:used])
        codes = np.zeros((count, ROWS, max(falling, default=0) + 1), np.int64)
        for group, one in zip(codes, found, strict=False):
            group[:, : len(one)] = one.T
        ordered = np.empty((len(order), codes.shape[2]), np.int64)
        ordered[order] = codes.reshape(-1, codes.shape[2])[: len(order)]
        by_channel: Integers = ordered.reshape(*wanted.shape, -1).transpose(0, 2, 1)
        return by_channel

    def _demands(self, part: Analysed) -> npt.NDArray[np.uint8]:
        envelopes = [one.reshape(-1, self.config.bands) for one in part.envelope]
        found = demand.demands(self.engine.scales, envelopes, part.needless)
        if self._pair is not None:  # a second channel's errors are heard less
            found[1] = np.where(found[1] > 0, np.maximum(found[1].astype(int) - LESS_FOR_SECOND, 1), 0)
        return found

    # ---- analysis

    def _take(self, samples: Samples, group: int) -> None:
        """Collect samples; analyse the windows that are full, once there are `group` of them."""
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise ValueError(f"samples of shape {samples.shape}; expected [{self.channels}, n]")
        window, merged = WINDOW * self.config.hop, self.engine.windows_in_one
        self._pending.append(samples)
        self._pending_samples += samples.shape[1]
        if self._pending_samples < window * group:
            return
        whole = np.concatenate(self._pending, 1, dtype=np.float32)
        full, long = whole.shape[1] // window * window, window * merged
        windows = [whole[:, start : min(start + long, full)] for start in range(0, full, long)]
        at_once = max(1, GROUP // merged)
        with threads.one_blas_thread():
            for i in range(0, len(windows), at_once):
                self._run(windows[i : i + at_once])
        self._pending = [whole[:, full:].copy()]
        self._pending_samples -= full

    def _run(self, windows: Sequence[Samples]) -> None:
        """Analyse windows of samples [C, frames * hop]; the onsets need the window before, so they go in order."""
        for window in self.engine.analyse([self._with_tail(x) for x in windows], paired=self._pair is not None):
            found = self._main(window)
            if self._pair is not None and window.second is not None:
                found = joined([found, self._second(self._pair, window)], 0)
            self._analysed.append(found)
            self._frames += found.frames

    def _with_tail(self, samples: Samples) -> Samples:
        """A window with the two sub-frames before it: [C, frames * hop + 2 * sub_frame]."""
        x = np.concatenate([self._tail, samples], 1)
        self._tail = x[:, -self._tail.shape[1] :]
        return x

    def _main(self, window: Window) -> Analysed:
        """All channels, or the main one of a pair."""
        onsets, size = self.engine.onsets, self.config.frame_sub_frames
        flags = onsets.flags(window.levels, self._levels)
        self._levels = window.levels[:, -2:]
        codes = np.zeros(flags.shape, np.int64)
        for c in np.flatnonzero(flags.any(1)):
            codes[c] = onsets.codes(window.coefficients[c], window.quantized[c], self.engine.scales, flags[c])
        shape = (len(flags), flags.shape[1], -1)
        levels, envelope = window.levels.reshape(*flags.shape, size), window.quantized.reshape(shape)
        return Analysed(window.heads, np.zeros(flags.shape, np.bool_), codes, levels, envelope, window.latents)

    def _second(self, pair: PairEncoder, window: Window) -> Analysed:
        """The second channel of a pair."""
        assert window.second is not None
        main, second = window.coefficients[0, 1:], window.second[1:]
        codes, needless, envelope, latents = pair.push(window.quantized[0], main, second)
        frames, size = len(codes), self.config.frame_sub_frames
        heads = np.zeros((1, frames, window.heads.shape[2]), np.int64)
        heads[0, :, 0] = codes
        silent, no_levels = np.zeros((1, frames), np.int64), np.zeros((1, frames, size))
        return Analysed(heads, needless[None], silent, no_levels, envelope.reshape(1, frames, -1), latents[None])

    # ---- frames that wait

    def _next(self, frames: int) -> Analysed:
        """The next frames, as one piece."""
        assert 0 < frames <= self.ready
        if len(self._analysed) > 1:
            self._analysed = [joined(self._analysed, 1)]
        return self._analysed[0].cut(0, frames)

    def _drop(self, frames: int) -> None:
        left = self.ready - frames
        self._analysed = [self._analysed[0].cut(frames, frames + left)] if left else []
