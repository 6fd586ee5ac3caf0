"""Windows of codes to sound: lines of stages that several threads can work on, one line a channel or pair."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rvqcodec.models import threads
from rvqcodec.models.rvq44.cpu.blocks import Block, Chain
from rvqcodec.models.rvq44.cpu.head import Head, Overlap
from rvqcodec.models.rvq44.cpu.lookup import Lookup
from rvqcodec.models.rvq44.cpu.pair import PairDecoder
from rvqcodec.models.rvq44.cpu.weights import Weights
from rvqcodec.models.rvq44.delay import Delay
from rvqcodec.models.rvq44.engine import Counts
from rvqcodec.models.rvq44.onsets import Integers, Onsets
from rvqcodec.models.rvq44.scales import Scales
from rvqcodec.models.rvq44.tables import Doubles, Floats
from rvqcodec.models.rvq44.timing import WAIT
from rvqcodec.types import Codes, Samples

STAGES = 4  # of the blocks: several threads can work on one channel


class Decoding:
    """What all streams of a model share."""

    def __init__(self, weights: Weights, scales: Scales, onsets: Onsets, stereo_table: Floats) -> None:
        c = weights.config
        self.config, self.scales, self.onsets, self.stereo_table = c, scales, onsets, stereo_table
        self.lookup, self.head = Lookup(weights, scales, onsets), Head(weights, scales)
        self.blocks = [Block(weights, f"decoder_net.{i}") for i in range(c.decoder_blocks)]
        self.inward = np.ascontiguousarray(weights["decoder_in.weight"].T)
        self.n_q = weights["decoder_n_q.weight"] + weights["decoder_in.bias"]


@dataclass(frozen=True)
class Passing:
    """A window between stages: what goes through the blocks, and what goes around them."""

    x: Floats
    codes: Codes  # of a pair's second channel [K, T]
    counts: Counts  # of them [T]
    n_q: Counts
    onset: Integers
    coded: Floats
    envelope: Floats


class Line:
    """A stream of one channel, or of a pair. Gives sound [1 or 2, S, sub_frame] for every window."""

    def __init__(self, shared: Decoding, *, channel: int, paired: bool, first: int) -> None:
        """channel: of the recording; first: position of the first sub-frame that is pushed."""
        c = shared.config
        self._shared, self._channel, self.lag = shared, channel, c.decoder_blocks * c.block_future
        self._levels: Doubles | None = None  # of the two sub-frames before
        self._position = first - self.lag  # of the next sub-frame that leaves the blocks
        self._rows: list[Delay[Floats]] = [Delay(self.lag) for _ in range(2)]
        self._frames: list[Delay[Integers]] = [Delay(self.lag // c.frame_sub_frames) for _ in range(2)]
        bounds = [len(shared.blocks) * i // STAGES for i in range(STAGES + 1)]
        self._chains = [
            Chain(shared.blocks[a:b], c.block_past, c.block_future, -a * c.block_future)
            for a, b in itertools.pairwise(bounds)
        ]
        self._pair: PairDecoder | None = None
        self._overlap = Overlap(c.sub_frame)  # of a pair's second channel, or of the only one
        self._before = np.zeros((1 + paired, 1, c.onset_coefficient), np.float32)  # bass of the sub-frame before
        if paired:
            self._pair = PairDecoder(shared.scales, shared.stereo_table, shared.lookup.waveform, shared.head.missing)
            self.lag += WAIT * c.frame_sub_frames
        self._late_envelope: Delay[Floats] = Delay(WAIT * c.frame_sub_frames)  # of a pair's main channel
        self._late_onset: Delay[Integers] = Delay(WAIT)

    def stages(self) -> list[Callable[[Any], Any]]:
        """What a window goes through, in this order."""
        middle = [self._through(chain) for chain in self._chains]
        return [self._begin, *middle, self._finish]

    def _begin(self, window: tuple[Codes, Counts]) -> Passing:
        """Codes [1 or 2, K, T], n_q [1 or 2, T]."""
        shared, (codes, counts) = self._shared, window
        codes = codes[:, : counts.max()]
        looked, self._levels = shared.lookup.window(codes[0], counts[0], self._levels)
        features = np.concatenate([looked.remainder, looked.envelope, looked.coefficients], 1)
        x = features @ shared.inward
        x += shared.n_q[np.repeat(counts[0], shared.config.frame_sub_frames)]
        coded, envelope = self._rows[0].push(looked.coefficients), self._rows[1].push(looked.envelope)
        n_q, onset = self._frames[0].push(counts[0]), self._frames[1].push(looked.onset)
        return Passing(x, codes[-1], counts[-1], n_q, onset, coded, envelope)

    def _through(self, chain: Chain) -> Callable[[Passing], Passing]:
        return lambda passing: replace(passing, x=chain(passing.x))

    def _finish(self, passing: Passing) -> Samples:
        shared, first = self._shared, self._position
        self._position += len(passing.x)
        made = shared.head.coefficients(passing.x, passing.coded, passing.envelope, first, self._channel)
        made *= shared.scales.each(passing.n_q > 0)[:, None]
        envelope, onset = passing.envelope, passing.onset
        if self._pair is None:
            coefficients, sound = made[None], self._overlap(made)[None]
        else:
            main, second, main_sound = self._pair.push(made, envelope, passing.codes, passing.counts)
            coefficients, sound = np.stack([main, second]), np.stack([main_sound, self._overlap(second)])
            envelope, onset = self._late_envelope.push(envelope), self._late_onset.push(onset)
        return self._shaped(sound, coefficients, envelope, onset)

    def _shaped(self, sound: Samples, coefficients: Floats, envelope: Floats, onset: Integers) -> Samples:
        """Sound [C, S, sub_frame], its coefficients, the main channel's envelope and onsets -> [C, S * sub_frame].

        Treble is what the bass leaves of the sound: few coefficients to transform.
        """
        onsets, c = self._shared.onsets, self._shared.config
        bass, self._before = self._before, coefficients[:, -1:, : c.onset_coefficient].copy()
        samples = sound.reshape(len(sound), -1)
        flagged = np.flatnonzero(onset)
        if len(flagged):
            reference = onsets.reference(self._shared.scales.amplitude(envelope))[flagged]
            change: Floats | None = None
            for own, made, before in zip(samples, coefficients, bass, strict=True):
                low = np.concatenate([before, made[:, : c.onset_coefficient]])
                frames = own.reshape(-1, c.hop)
                treble = frames[flagged] - onsets.samples(low, 0, c.onset_coefficient).reshape(-1, c.hop)[flagged]
                if change is None:  # the gains of the main channel are those of both
                    change = onsets.gains(onset[flagged] - 1, reference, treble) - 1
                frames[flagged] += change * treble
        return samples


class Synthesis:
    """Streams of all channels; see `engine.Synthesis`."""

    def __init__(self, shared: Decoding, channels: int, *, paired: bool, first: int) -> None:
        if paired:
            self._lines, self._width = [Line(shared, channel=0, paired=True, first=first)], 2
        else:
            self._lines = [Line(shared, channel=i, paired=False, first=first) for i in range(channels)]
            self._width = 1
        self.lag = self._lines[0].lag

    def __call__(self, windows: Sequence[tuple[Codes, Counts]]) -> list[Samples]:
        rows = [slice(i * self._width, (i + 1) * self._width) for i in range(len(self._lines))]
        items = [[(codes[own], counts[own]) for codes, counts in windows] for own in rows]
        found = threads.pipeline([line.stages() for line in self._lines], items)
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]
