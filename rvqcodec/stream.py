"""StreamEncoder and StreamDecoder: push blocks of any length, flush; numpy in and out.

The network always works on windows of one fixed size at fixed positions, whatever the length of the blocks pushed:
so any cutting of the input gives the same bits. Memory does not grow with the length.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rvqcodec.config import SUB_FRAMES
from rvqcodec.layers import FUTURE, PAST, Block, Correction, overlap_add
from rvqcodec.model import Synthesis, by_frame, by_sub_frame
from rvqcodec.workers import Workers

if TYPE_CHECKING:
    from rvqcodec.model import Codec

Samples = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint16]

WINDOW = 32  # frames that the encoder works on at a time
DECODER_WINDOW = 64  # and the decoder, whose products of matrices are faster if they are larger
GROUP = 16  # windows at most that are worked on together, in several threads


def frames_for(samples: int, *, hop: int, pre_skip: int) -> int:
    """How many frames carry this many samples per channel."""
    return -(-(samples + pre_skip) // hop) if samples else 0


def lookahead(codec: "Codec") -> int:
    """Algorithmic delay in samples: how far beyond a sample the input must be known before it can be put out.

    A decoder block sees one sub-frame ahead, an encoder or envelope block too; both latents are coded in frames of
    two sub-frames, and the transform's window overlaps the next sub-frame.
    """
    c = codec.config
    lags = [c.decoder_blocks * FUTURE, c.encoder_blocks * FUTURE, c.envelope_blocks * FUTURE]
    worst = 0
    for parity in range(SUB_FRAMES):
        sub = parity
        for lag in lags[:2]:  # the two places where a whole frame must be complete
            sub += lag
            sub += (SUB_FRAMES - 1 - sub) % SUB_FRAMES
        worst = max(worst, sub + lags[2] - parity)
    return (worst + 2) * c.sub_frame


def in_bf16(block: Block) -> Block:
    """A copy of the block with its products of matrices, and what is between them, in bf16; the rest is float32."""
    half = copy.deepcopy(block)
    half.widen.bfloat16()
    half.narrow.bfloat16()
    half.widen.register_forward_pre_hook(_as_bf16)
    return half


def _as_bf16(_: nn.Module, inputs: tuple[Any, ...]) -> Any:
    return inputs[0].bfloat16()


class _Chain:
    """A row of blocks with their pasts; lags its input by one sub-frame a block."""

    def __init__(self, blocks: Iterable[nn.Module], channels: int, like: Tensor) -> None:
        self.blocks = [block for block in blocks if isinstance(block, Block)]
        self.lag = len(self.blocks) * FUTURE
        self.pasts = [like.new_zeros(channels, PAST + FUTURE, block.bias.numel()) for block in self.blocks]

    def push(self, x: Tensor, first: int) -> Tensor:
        """x [C, S, D], the position of its first sub-frame -> output [C, S, D] from position first - lag on."""
        if first < 0:
            x = x.clone()
            x[:, :-first] = 0
        for i in range(len(self.blocks)):
            x = self.step(i, x, first)
        return x

    def step(self, index: int, x: Tensor, first: int) -> Tensor:
        """The part of `push` that one block does; x is what the block before gave."""
        y, self.pasts[index] = self.blocks[index].step(x, self.pasts[index], first - (index + 1) * FUTURE)
        return y


class _CorrectionChain(_Chain):
    """A network that corrects a classical analysis, in a stream; lags by one sub-frame a block."""

    def __init__(self, net: Correction, channels: int, like: Tensor) -> None:
        super().__init__(net.blocks, channels, like)
        self.net = net
        self._bases = _Delay(self.lag)

    def correct(self, base: Tensor, x: Tensor, first: int) -> Tensor:
        """base [C, S, outputs] and x [C, S, inputs] from position `first` on -> corrected, from first - lag on."""
        base = self._bases.push(base)
        if self.net.widen is None or self.net.narrow is None:
            return base
        return base + self.net.narrow(self.push(self.net.widen(x), first))


class _Delay:
    """Holds back the last `count` rows along time of what is pushed; zeros come out first."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.held: Tensor | None = None

    def push(self, x: Tensor) -> Tensor:
        """x [C, S, ...] -> the same shape, `count` rows later."""
        if self.count == 0:
            return x
        if self.held is None:
            self.held = x.new_zeros(x.shape[0], self.count, *x.shape[2:])
        both = torch.cat([self.held, x], 1)
        self.held = both[:, x.shape[1] :]
        return both[:, : x.shape[1]]


class StreamEncoder:
    """Samples at the model's rate to codes.

    channels: coded channels, encoded side by side; n_q: codebooks wanted of each (0 to max_n_q); group: windows that
    are waited for, 1 to `GROUP`: more are faster, on several cores, where the samples are at hand.
    """

    def __init__(self, codec: "Codec", channels: int, n_q: int, *, group: int = 1) -> None:
        config = codec.config
        assert 0 <= n_q <= config.max_n_q
        assert channels >= 1
        assert 1 <= group <= GROUP
        self.codec, self.channels, self.n_q, self.group = codec, channels, n_q, group
        like = codec.envelope_mean
        self._workers = Workers(like.device)
        self._envelope_search = codec.envelope_quantizer.search()
        self._waveform_search = codec.waveform_quantizer.search()
        self._envelope_chain = _CorrectionChain(codec.envelope_net, channels, like)
        self._encoder_chain = _CorrectionChain(codec.encoder_net, channels, like)
        lag = self._envelope_chain.lag
        assert lag % SUB_FRAMES == 0, "the envelope must lag by whole frames"
        self._envelopes, self._coefficients = _Delay(lag), _Delay(lag)
        odd = self._encoder_chain.lag % SUB_FRAMES
        self._latents = _Delay(odd)
        self._shape_codes = _Delay((self._encoder_chain.lag + odd) // SUB_FRAMES)
        self._lag = (lag + self._encoder_chain.lag + odd) // SUB_FRAMES  # frames
        self._tail = like.new_zeros(channels, config.sub_frame)
        self._pending: list[Samples] = []
        self._pending_samples = 0
        self._windows = 0
        self._samples = 0
        self._frames = 0

    def push(self, samples: Samples) -> Codes:
        """samples float32 [C, n] -> the codes that became known, uint16 [C, n_q, T], T may be 0."""
        self._samples += samples.shape[1]
        return self._take(samples)

    def flush(self) -> Codes:
        """The remaining codes; in all ceil((samples + pre_skip) / hop) frames, none for no samples."""
        config = self.codec.config
        total = frames_for(self._samples, hop=config.hop, pre_skip=config.sub_frame)
        before, self.group = self._frames, 1
        done = [self._take(np.zeros((self.channels, 0), np.float32))]
        while self._frames < total:
            missing = WINDOW * config.hop - self._pending_samples
            done.append(self._take(np.zeros((self.channels, missing), np.float32)))
        return np.concatenate(done, -1)[..., : total - before]

    def _take(self, samples: Samples) -> Codes:
        """Collect samples; run the windows that are full, once there are `group` of them."""
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise ValueError(f"samples of shape {samples.shape}; expected [{self.channels}, n]")
        window = WINDOW * self.codec.config.hop
        self._pending.append(samples)
        self._pending_samples += samples.shape[1]
        out: list[Codes] = [np.zeros((self.channels, self.n_q, 0), np.uint16)]
        if self._pending_samples >= window * self.group:
            joined = np.concatenate(self._pending, 1)
            full = joined.shape[1] // window * window
            windows = [joined[:, start : start + window] for start in range(0, full, window)]
            for i in range(0, len(windows), GROUP):
                out += self._run(windows[i : i + GROUP])
            self._pending = [joined[:, full:].copy()]
            self._pending_samples -= full
        codes = np.concatenate(out, -1)
        self._frames += codes.shape[2]
        return codes

    @torch.inference_mode()
    def _run(self, windows: list[Samples]) -> list[Codes]:
        """Windows of samples [C, WINDOW * hop] -> the codes of each, uint16 [C, n_q, up to WINDOW].

        What hangs on the window before goes in order, and is quick; the rest goes in threads.
        """
        shared = self._workers.shared
        with self._workers.one_core_each():
            classical = shared(self._classical, [self._overlapped(window) for window in windows])
            shapes = shared(self._shapes, [self._corrected(*parts) for parts in classical])
            return shared(self._codes, [self._latent(*parts) for parts in shapes])

    def _overlapped(self, samples: Samples) -> tuple[int, Tensor]:
        """Position of the window's first sub-frame, and its frames [C, S, 2 sub_frame]."""
        first = self._windows * WINDOW * SUB_FRAMES
        self._windows += 1
        x = torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(self._tail.device)
        x = torch.cat([self._tail, x], 1)
        self._tail = x[:, -self.codec.config.sub_frame :].clone()
        return first, self.codec.frames(x)

    @torch.inference_mode()
    def _classical(self, windows: Sequence[tuple[int, Tensor]]) -> list[tuple[int, Tensor, Tensor]]:
        """... and the envelope and the coefficients of these frames."""
        codec = self.codec
        return [(first, codec.envelope(frames), codec.coefficients(frames)) for first, frames in windows]

    def _corrected(self, first: int, envelope: Tensor, coefficients: Tensor) -> tuple[int, Tensor, Tensor, Tensor]:
        """... and before them the envelope's latent, which the envelope and the coefficients now lag with."""
        corrected = by_frame(self._envelope_chain.correct(envelope, envelope, first))
        lag = self._envelope_chain.lag
        return first - lag, corrected, self._envelopes.push(envelope), self._coefficients.push(coefficients)

    @torch.inference_mode()
    def _shapes(self, windows: Sequence[tuple[int, Tensor, Tensor, Tensor]]) -> list[tuple[int, Tensor, Tensor]]:
        """The envelope's codes of each window [C, K, T], and what the encoder network gets."""
        codec, count = self.codec, self.codec.config.envelope_codebooks
        latents = torch.cat([latent for _, latent, _, _ in windows])
        codes = self._envelope_search.encode(latents, count, len(windows)).split(self.channels)
        n_q = torch.full((self.channels, latents.shape[1]), count, device=latents.device)
        found = []
        for (first, _, envelope, coefficients), own in zip(windows, codes, strict=True):
            quantized = by_sub_frame(codec.envelope_quantizer.decode(own, n_q))
            found.append((first, own, codec.encoder_features(envelope, quantized, coefficients)))
        return found

    def _latent(self, first: int, codes: Tensor, features: Tensor) -> tuple[int, Tensor, Tensor]:
        """The waveform's latent [C, T, ...], and before it the envelope's codes, which now lag with it."""
        latent = self._latents.push(self._encoder_chain.correct(self.codec.analysed(features), features, first))
        frame = (first + self._envelope_chain.lag) // SUB_FRAMES
        return frame, self._shape_codes.push(codes.transpose(1, 2)).transpose(1, 2), by_frame(latent)

    @torch.inference_mode()
    def _codes(self, windows: Sequence[tuple[int, Tensor, Tensor]]) -> list[Codes]:
        """All codes of each window [C, n_q, T], without what lies before the recording's first frame."""
        n_q = max(0, self.n_q - self.codec.config.envelope_codebooks)
        fine = self._waveform_search.encode(torch.cat([latent for _, _, latent in windows]), n_q, len(windows))
        done = []
        for (frame, shape_codes, _), codes in zip(windows, fine.split(self.channels), strict=True):
            both = torch.cat([shape_codes[:, : self.n_q], codes], 1)
            done.append(both[..., max(0, self._lag - frame) :].cpu().numpy().astype(np.uint16))
        return done


@dataclass(frozen=True)
class _Window:
    """A window on its way through the decoder: x [C, S, D] begins at position `first`, less a block's lag each."""

    first: int
    x: Tensor
    envelope: Tensor
    used: Tensor


class StreamDecoder:
    """Codes to samples at the model's rate.

    start_frame: absolute position of the first frame that will be pushed (for the noise); what comes before it is
    taken as silence, so a reader that seeks begins `context` frames early and drops their samples. bf16: the blocks'
    products of matrices are in bf16, from weights that are cast here, once. group: windows that are waited for, 1 to
    `GROUP`: more are faster, on several cores, where the codes are at hand.
    """

    def __init__(
        self, codec: "Codec", channels: int, *, start_frame: int = 0, bf16: bool = False, group: int = 1
    ) -> None:
        config = codec.config
        assert 1 <= group <= GROUP
        self.codec, self.channels, self.group = codec, channels, group
        like = codec.envelope_mean
        self._workers = Workers(like.device)
        blocks = [block for block in codec.decoder_net if isinstance(block, Block)]
        self._chain = _Chain([in_bf16(block) for block in blocks] if bf16 else blocks, channels, like)
        assert self._chain.lag % SUB_FRAMES == 0, "the decoder must lag by whole frames"
        between = [partial(self._block, i) for i in range(len(blocks))]
        self._steps: list[Callable[[Any], Any]] = [self._begin, *between, self._head, self._end]
        self._envelopes, self._used = _Delay(self._chain.lag), _Delay(self._chain.lag)
        self._tail = like.new_zeros(channels, config.sub_frame)
        self._start = start_frame * SUB_FRAMES
        self._windows = 0
        self._pending = np.zeros((channels, config.max_n_q + 1, 0), np.uint16)  # last row: n_q of the frame
        self._frames = 0
        self._samples = 0

    @staticmethod
    def context(codec: "Codec") -> int:
        """Frames before a position that the sound at this position depends on."""
        return -(-(codec.config.decoder_blocks * PAST + 1) // SUB_FRAMES)

    def push(self, codes: Codes, n_q: int | Sequence[int] | npt.NDArray[np.integer]) -> Samples:
        """codes uint16 [C, K, T], n_q per channel (rows from n_q on are ignored) -> float32 [C, n], n may be 0.

        The raw output begins with one sub-frame (`pre_skip`) before the recording's first sample.
        """
        config = self.codec.config
        if codes.ndim != 3 or codes.shape[0] != self.channels:
            raise ValueError(f"codes of shape {codes.shape}; expected [{self.channels}, K, T]")
        counts = np.broadcast_to(np.asarray(n_q, np.uint16), (self.channels,))
        if counts.max(initial=0) > min(codes.shape[1], config.max_n_q):
            raise ValueError(f"n_q {counts.tolist()}; the codes have {codes.shape[1]} rows of {config.max_n_q}")
        if codes.size and codes.max() >= config.codebook_size:
            raise ValueError(f"code {codes.max()}; codes are below {config.codebook_size}")
        rows = np.zeros((self.channels, config.max_n_q + 1, codes.shape[2]), np.uint16)
        kept = min(codes.shape[1], config.max_n_q)
        rows[:, :kept] = codes[:, :kept]
        rows[:, -1] = counts[:, None]
        self._frames += codes.shape[2]
        return self._take(rows)

    def flush(self) -> Samples:
        """The rest; in all frames * hop samples."""
        config = self.codec.config
        total, before = self._frames * config.hop, self._samples
        self.group = 1
        done = [self._take(np.zeros((self.channels, config.max_n_q + 1, 0), np.uint16))]
        while self._samples < total:
            missing = DECODER_WINDOW - self._pending.shape[2]
            done.append(self._take(np.zeros((self.channels, config.max_n_q + 1, missing), np.uint16)))
        return np.concatenate(done, 1)[:, : total - before]

    def _take(self, rows: Codes) -> Samples:
        """Collect frames; run the windows that are full, once there are `group` of them."""
        self._pending = np.concatenate([self._pending, rows], 2)
        full = self._pending.shape[2] // DECODER_WINDOW
        if full < self.group:
            return np.zeros((self.channels, 0), np.float32)
        windows = [self._pending[..., i * DECODER_WINDOW : (i + 1) * DECODER_WINDOW] for i in range(full)]
        out: list[Samples] = [np.zeros((self.channels, 0), np.float32)]
        with self._workers.one_core_each():
            for i in range(0, full, GROUP):
                out += self._workers.in_a_row(self._steps, windows[i : i + GROUP])
        self._pending = self._pending[..., full * DECODER_WINDOW :].copy()
        samples = np.concatenate(out, 1)
        self._samples += samples.shape[1]
        return samples

    @torch.inference_mode()
    def _begin(self, rows: Codes) -> _Window:
        """A window of codes with their n_q [C, max_n_q + 1, frames] -> what the blocks get."""
        codec, config = self.codec, self.codec.config
        first = self._windows * DECODER_WINDOW * SUB_FRAMES
        self._windows += 1
        codes = torch.from_numpy(rows.astype(np.int64)).to(self._tail.device)
        n_q = codes[:, -1]
        most = int(n_q.max())
        split = config.envelope_codebooks
        envelope = by_sub_frame(codec.envelope_quantizer.decode(codes[:, : min(most, split)], n_q))
        latent = by_sub_frame(codec.waveform_quantizer.decode(codes[:, split : max(most, split)], n_q - split))
        used = n_q.repeat_interleave(SUB_FRAMES, 1)
        x = codec.decoder_in(torch.cat([latent, envelope], -1)) + codec.decoder_n_q(used)
        return _Window(first, x, self._envelopes.push(envelope), self._used.push(used))

    @torch.inference_mode()
    def _block(self, index: int, window: _Window) -> _Window:
        """The window behind one more block."""
        return replace(window, x=self._chain.step(index, window.x, window.first))

    @torch.inference_mode()
    def _head(self, window: _Window) -> tuple[_Window, Synthesis]:
        """What the blocks made of a window -> what the decoder network says of it."""
        return window, self.codec.decoder_head(window.x, window.envelope)

    @torch.inference_mode()
    def _end(self, parts: tuple[_Window, Synthesis]) -> Samples:
        """... -> samples [C, up to frames * hop]."""
        codec, config = self.codec, self.codec.config
        window, made = parts
        position = window.first - self._chain.lag
        count, start = DECODER_WINDOW * SUB_FRAMES, self._start + position
        noise = torch.stack([codec.noise(start, count, channel=i) for i in range(self.channels)])
        coefficients = (made.waveform + made.noise_amplitude * noise) * (window.used > 0)[..., None]
        samples, self._tail = overlap_add(codec.transform.inverse(coefficients), self._tail)
        skip = max(0, -position) * config.sub_frame  # before the first frame that was pushed
        return samples[:, skip:].cpu().numpy()
