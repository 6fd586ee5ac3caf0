"""StreamEncoder: samples to codes, window by window.

The network always works on windows of one fixed size at fixed positions, whatever the length of the blocks pushed:
so any cutting of the input gives the same bits (on CUDA, where windows are merged: but for rounding). Memory does not
grow with the length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from rvqcodec.models.rvq44 import demand
from rvqcodec.models.rvq44.coders import Found, Searched
from rvqcodec.models.rvq44.envelope import by_frame, by_sub_frame
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.pair import PairEncoder
from rvqcodec.models.rvq44.parts import Shape
from rvqcodec.models.rvq44.workers import GROUP, Workers, merged, one_core_each
from rvqcodec.types import Codes, Samples

WINDOW = 32  # frames worked on at a time
LESS_FOR_SECOND = 2  # steps of demand: an octave of codes
ROWS = 32  # frames whose waveform codes are searched in one product, of any channels and places in a chunk


@dataclass(frozen=True)
class Analysed:
    """Frames whose waveform codes are not chosen yet; all [C, T, ...].

    heads: first codes, the envelope's or a pair's parameters; needless: frames that need none; onsets: codes of onsets
    and 1, or 0; levels: for onsets, and envelope: quantized, both with the sub-frames of a frame side by side; latents:
    what the waveform codebooks quantize. A pair's second channel has those two of some frames earlier (`pair`).
    """

    heads: Tensor
    needless: Tensor
    onsets: Tensor
    levels: Tensor
    envelope: Tensor
    latents: Tensor


class StreamEncoder:
    """Samples at the model's rate to codes (see `interface.Encoder`); `channels` are encoded side by side.

    paired: they are the main and the second channel of a pair.
    """

    def __init__(self, network: Network, channels: int, *, paired: bool = False) -> None:
        assert channels >= 1
        assert channels == 2 or not paired
        self.network, self.channels = network, channels
        self._pair = PairEncoder(network) if paired else None
        heads = network.config.envelope_codebooks
        self._heads = [heads, 1] if paired else [heads] * channels  # first codes of each channel's frames
        self._workers, self._merged = Workers(network.device), merged(network.device)
        self._coder = Searched(network.quantizers)
        self._tail = torch.zeros(channels, 2 * network.config.sub_frame, device=network.device)
        self._levels: Tensor | None = None  # of the last two sub-frames analysed
        self._coded_levels: Tensor | None = None  # of the last two coded, as a decoder knows them
        self._pending: list[Samples] = []
        self._pending_samples = 0
        self._samples = 0
        self._analysed: list[Analysed] = []  # in order; joined where they are needed
        self._frames = 0  # analysed, in all
        self._demanded: npt.NDArray[np.uint8] | None = None  # of the next frames, if they were asked for

    @property
    def ready(self) -> int:
        """Frames that wait for their codes."""
        return sum(part.onsets.shape[1] for part in self._analysed)

    def push(self, samples: Samples, *, more: bool = False) -> None:
        """Take samples float32 [C, n].

        more: further samples come without delay, so up to `GROUP` windows are waited for: faster on several cores.
        """
        self._samples += samples.shape[1]
        self._take(samples, GROUP if more else 1)

    def flush(self) -> None:
        """Make the last frames ready; in all ceil((samples + pre_skip) / hop), none for no samples."""
        config = self.network.config
        total = -(-(self._samples + config.pre_skip) // config.hop) if self._samples else 0
        self._take(np.zeros((self.channels, 0), np.float32), 1)
        while self._frames < total:
            missing = WINDOW * config.hop - self._pending_samples
            self._take(np.zeros((self.channels, missing), np.float32), 1)
        self._keep(self.ready - (self._frames - total))
        self._frames = total

    def demands(self, frames: int) -> npt.NDArray[np.uint8]:
        """How much each of the next frames asks for codes, uint8 [C, frames]."""
        self._demanded = self._demands(self._joined(frames))
        return self._demanded

    @torch.inference_mode()
    def codes(self, n_q: npt.NDArray[np.integer]) -> Codes:
        """Give the next frames n_q [C, T] codes each: uint16 [C, K, T], 0 where a frame has fewer than K."""
        frames = n_q.shape[1]
        part, wanted = self._joined(frames), torch.from_numpy(n_q.astype(np.int64))
        flags = self._heard(part, wanted.to(part.onsets.device)).long()
        demanded, self._demanded = self._demanded, None
        if demanded is None or demanded.shape != n_q.shape:
            demanded = self._demands(part)
        left = wanted - torch.tensor(self._heads)[:, None] - flags.cpu()
        details = self._details(part, demanded, left.clamp_min(0))
        rest = torch.where(flags[:, None] > 0, torch.cat([part.onsets[:, None] - 1, details[:, :-1]], 1), details)
        found = torch.zeros(self.channels, int(wanted.max()), frames, dtype=torch.int64)
        for own, heads, others, count in zip(found, part.heads.transpose(1, 2), rest, self._heads, strict=True):
            codes = torch.cat([heads[:count], others])[: len(own)]
            own[: len(codes)] = codes.cpu()
        found *= torch.arange(found.shape[1])[:, None] < wanted[:, None]
        self._drop(frames)
        return found.numpy().astype(np.uint16)

    def _heard(self, part: Analysed, n_q: Tensor) -> Tensor:
        """Which frames a decoder takes for onsets, bool [C, T]: it knows no level of a frame with too few codes."""
        size, least = self.network.config.frame_sub_frames, self.network.config.base_codebooks
        levels = part.levels.masked_fill((n_q < least)[..., None], torch.inf).flatten(1)
        flags = self.network.onset.flags(levels, self._coded_levels)
        self._coded_levels = levels[:, -size:]
        return flags & (part.onsets > 0)

    def _details(self, part: Analysed, demanded: npt.NDArray[np.uint8], wanted: Tensor) -> Tensor:
        """Waveform codes [C, K + 1, T] of all frames, `wanted` [C, T] of each.

        Frames that demand much are searched together, in products of ROWS frames; which ones does not depend on how
        many codes they get, so that a lower bitrate has the same codes.
        """
        latents = part.latents.flatten(0, 1)
        demands = torch.from_numpy(demanded).flatten().to(latents.device)
        order = demands.argsort(descending=True, stable=True)
        count = -(-len(order) // ROWS)
        rows = F.pad(latents[order], (0, 0, 0, count * ROWS - len(order))).unflatten(0, (count, ROWS))
        most = F.pad(wanted.flatten()[order.cpu()], (0, count * ROWS - len(order))).view(count, ROWS).amax(1)
        falling = most.flip(0).cummax(0).values.flip(0).tolist()
        used = sum(k > 0 for k in falling)
        shared = [i for first in range(self._workers.count) for i in range(first, used, self._workers.count)]

        def search(parts: Sequence[int]) -> Sequence[Tensor]:
            found = self._coder.details(rows[list(parts)], [falling[i] for i in parts])
            return list(found.unbind(0))

        with one_core_each():
            found = self._workers.shared(search, shared)
        codes = rows.new_zeros(count, max(falling, default=0) + 1, ROWS, dtype=torch.int64)
        for i, one in zip(shared, found, strict=True):
            codes[i, : len(one)] = one
        flat = codes.transpose(1, 2).flatten(0, 1)[: len(order)]
        ordered = torch.empty_like(flat).index_copy_(0, order, flat)
        return ordered.view(*part.onsets.shape, -1).transpose(1, 2)

    def _demands(self, part: Analysed) -> npt.NDArray[np.uint8]:
        envelope = by_sub_frame(part.envelope, self.network.config.frame_sub_frames)
        found = demand.demands(self.network, envelope, part.needless.cpu().numpy())
        if self._pair is not None:  # a second channel's errors are heard less
            found[1] = np.where(found[1] > 0, np.maximum(found[1].astype(int) - LESS_FOR_SECOND, 1), 0)
        return found

    # ---- analysis

    def _take(self, samples: Samples, group: int) -> None:
        """Collect samples; analyse the windows that are full, once there are `group` of them."""
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise ValueError(f"samples of shape {samples.shape}; expected [{self.channels}, n]")
        window = WINDOW * self.network.config.hop
        self._pending.append(samples)
        self._pending_samples += samples.shape[1]
        if self._pending_samples < window * group:
            return
        joined = np.concatenate(self._pending, 1)
        full = joined.shape[1] // window * window
        long = window * self._merged
        windows = [joined[:, start : min(start + long, full)] for start in range(0, full, long)]
        at_once = GROUP // self._merged
        for i in range(0, len(windows), at_once):
            self._run(windows[i : i + at_once])
        self._pending = [joined[:, full:].copy()]
        self._pending_samples -= full

    @torch.inference_mode()
    def _run(self, windows: Sequence[Samples]) -> None:
        """Analyse windows of samples [C, frames * hop]; the onsets need the window before, so they go in order."""
        with one_core_each():
            shapes = self._workers.shared(self._shapes, [self._with_tail(window) for window in windows])
        for shape, levels, second in shapes:
            flags = self.network.onset.flags(levels, self._levels)
            self._levels = levels[:, -2:]
            onsets = flags.long()
            if flags.any():
                onsets += self.network.onset_codes(shape, flags)
            size = self.network.config.frame_sub_frames
            heads, envelope = shape.envelope.codes.transpose(1, 2), by_frame(shape.quantized, size)
            levels = levels.unflatten(1, (-1, size))
            found = Analysed(heads, torch.zeros_like(flags), onsets, levels, envelope, shape.waveform_latent)
            if self._pair is not None and second is not None:
                found = self._with_second(found, *self._pair.push(shape, second))
            self._analysed.append(found)
            self._frames += flags.shape[1]

    def _with_tail(self, samples: Samples) -> Tensor:
        """A window with the two sub-frames before it: [C, frames * hop + 2 * sub_frame]."""
        x = torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(self._tail.device)
        x = torch.cat([self._tail, x], 1)
        self._tail = x[:, -self._tail.shape[1] :].clone()
        return x

    def _with_second(
        self, main: Analysed, codes: Tensor, needless: Tensor, envelope: Tensor, latents: Tensor
    ) -> Analysed:
        """The main channel's frames and what `PairEncoder` says of the second's."""
        heads = F.pad(codes[..., None], (0, main.heads.shape[2] - 1))
        second = (
            heads,
            needless,
            torch.zeros_like(main.onsets),
            torch.zeros_like(main.levels),
            by_frame(envelope, self.network.config.frame_sub_frames),
            latents,
        )
        return Analysed(*(torch.cat(both) for both in zip(_columns(main), second, strict=True)))

    @torch.inference_mode()
    def _shapes(self, windows: Sequence[Tensor]) -> list[tuple[Shape[Found], Tensor, Tensor | None]]:
        """What is known of windows one by one: shapes, levels for onsets [C, S], coefficients of a second channel."""
        if self._pair is None:
            return [(s, self.network.levels(s.envelope.codes), None) for s in self.network.shapes(windows, self._coder)]
        shapes = self.network.shapes([window[:1] for window in windows], self._coder)
        seconds = [self.network.analyse(window[1:])[1] for window in windows]
        return [(s, self.network.levels(s.envelope.codes), x) for s, x in zip(shapes, seconds, strict=True)]

    # ---- frames that wait

    def _joined(self, frames: int) -> Analysed:
        """The next frames, as one piece."""
        assert 0 < frames <= self.ready
        if len(self._analysed) > 1:
            columns = zip(*(_columns(part) for part in self._analysed), strict=True)
            self._analysed = [Analysed(*(torch.cat(column, 1) for column in columns))]
        return _sliced(self._analysed[0], 0, frames)

    def _keep(self, frames: int) -> None:
        self._analysed = [self._joined(frames)] if frames else []

    def _drop(self, frames: int) -> None:
        left = self.ready - frames
        self._analysed = [_sliced(self._analysed[0], frames, frames + left)] if left else []


def _columns(part: Analysed) -> tuple[Tensor, ...]:
    return part.heads, part.needless, part.onsets, part.levels, part.envelope, part.latents


def _sliced(part: Analysed, begin: int, end: int) -> Analysed:
    """Frames `begin` to `end` of a piece."""
    return Analysed(*(x[:, begin:end] for x in _columns(part)))
