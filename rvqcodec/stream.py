"""StreamEncoder and StreamDecoder: push blocks of any length, flush; numpy in and out.

The network always works on windows of one fixed size at fixed positions, whatever the length of the blocks pushed:
so any cutting of the input gives the same bits. Memory does not grow with the length.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rvqcodec.config import SUB_FRAMES
from rvqcodec.layers import FUTURE, PAST, Block, Correction, overlap_add
from rvqcodec.model import by_frame, by_sub_frame

if TYPE_CHECKING:
    from rvqcodec.model import Codec

Samples = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint16]

WINDOW = 32  # frames that the encoder works on at a time
DECODER_WINDOW = 64  # and the decoder, whose products of matrices keep two cores busy only if they are larger


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
        for i, block in enumerate(self.blocks):
            x, self.pasts[i] = block.step(x, self.pasts[i], first - (i + 1) * FUTURE)
        return x


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

    channels: coded channels, encoded side by side; n_q: codebooks wanted of each (0 to max_n_q).
    """

    def __init__(self, codec: "Codec", channels: int, n_q: int) -> None:
        config = codec.config
        assert 0 <= n_q <= config.max_n_q
        assert channels >= 1
        self.codec, self.channels, self.n_q = codec, channels, n_q
        like = codec.envelope_mean
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
        window = WINDOW * config.hop
        done: list[Codes] = [np.zeros((self.channels, self.n_q, 0), np.uint16)]
        while self._frames < total:
            before = self._frames
            missing = window - self._pending_samples
            codes = self._take(np.zeros((self.channels, missing), np.float32))
            done.append(codes[..., : total - before])
        return np.concatenate(done, -1)

    def _take(self, samples: Samples) -> Codes:
        """Collect samples, run every window that is full."""
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise ValueError(f"samples of shape {samples.shape}; expected [{self.channels}, n]")
        window = WINDOW * self.codec.config.hop
        self._pending.append(samples)
        self._pending_samples += samples.shape[1]
        out: list[Codes] = [np.zeros((self.channels, self.n_q, 0), np.uint16)]
        if self._pending_samples >= window:
            joined = np.concatenate(self._pending, 1)
            full = joined.shape[1] // window * window
            for start in range(0, full, window):
                out.append(self._window(joined[:, start : start + window]))
            self._pending = [joined[:, full:].copy()]
            self._pending_samples -= full
        codes = np.concatenate(out, -1)
        self._frames += codes.shape[2]
        return codes

    @torch.inference_mode()
    def _window(self, samples: Samples) -> Codes:
        """One window of samples [C, WINDOW * hop] -> codes uint16 [C, n_q, up to WINDOW]."""
        codec, config = self.codec, self.codec.config
        first = self._windows * WINDOW * SUB_FRAMES
        self._windows += 1
        x = torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(self._tail.device)
        x = torch.cat([self._tail, x], 1)
        self._tail = x[:, -config.sub_frame :].clone()
        frames = codec.frames(x)
        envelope = codec.envelope(frames)
        corrected = by_frame(self._envelope_chain.correct(envelope, envelope, first))
        first -= self._envelope_chain.lag
        envelope = self._envelopes.push(envelope)
        coefficients = self._coefficients.push(codec.coefficients(frames))
        shape_codes = self._envelope_search.encode(corrected, config.envelope_codebooks)
        all_of_them = torch.full(corrected.shape[:2], config.envelope_codebooks, device=x.device)
        quantized = by_sub_frame(codec.envelope_quantizer.decode(shape_codes, all_of_them))
        features = codec.encoder_features(envelope, quantized, coefficients)
        y = self._latents.push(self._encoder_chain.correct(codec.analysed(features), features, first))
        fine = self._waveform_search.encode(by_frame(y), max(0, self.n_q - config.envelope_codebooks))
        shape_codes = self._shape_codes.push(shape_codes.transpose(1, 2)).transpose(1, 2)
        codes = torch.cat([shape_codes[:, : self.n_q], fine], 1)
        skip = max(0, self._lag - (self._windows - 1) * WINDOW)  # frames before the recording's first
        return codes[..., skip:].cpu().numpy().astype(np.uint16)


class StreamDecoder:
    """Codes to samples at the model's rate.

    start_frame: absolute position of the first frame that will be pushed (for the noise); what comes before it is
    taken as silence, so a reader that seeks begins `context` frames early and drops their samples. bf16: the blocks'
    products of matrices are in bf16, from weights that are cast here, once.
    """

    def __init__(self, codec: "Codec", channels: int, *, start_frame: int = 0, bf16: bool = False) -> None:
        config = codec.config
        self.codec, self.channels = codec, channels
        like = codec.envelope_mean
        blocks = [block for block in codec.decoder_net if isinstance(block, Block)]
        self._chain = _Chain([in_bf16(block) for block in blocks] if bf16 else blocks, channels, like)
        assert self._chain.lag % SUB_FRAMES == 0, "the decoder must lag by whole frames"
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
        total = self._frames * config.hop
        done: list[Samples] = [np.zeros((self.channels, 0), np.float32)]
        while self._samples < total:
            before = self._samples
            missing = DECODER_WINDOW - self._pending.shape[2]
            rows = np.zeros((self.channels, config.max_n_q + 1, missing), np.uint16)
            done.append(self._take(rows)[:, : total - before])
        return np.concatenate(done, 1)

    def _take(self, rows: Codes) -> Samples:
        """Collect frames, run every window that is full."""
        self._pending = np.concatenate([self._pending, rows], 2)
        out: list[Samples] = [np.zeros((self.channels, 0), np.float32)]
        full = self._pending.shape[2] // DECODER_WINDOW * DECODER_WINDOW
        for start in range(0, full, DECODER_WINDOW):
            out.append(self._window(self._pending[..., start : start + DECODER_WINDOW]))
        self._pending = self._pending[..., full:]
        samples = np.concatenate(out, 1)
        self._samples += samples.shape[1]
        return samples

    @torch.inference_mode()
    def _window(self, rows: Codes) -> Samples:
        """One window of codes with their n_q [C, max_n_q + 1, frames] -> samples [C, up to frames * hop]."""
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
        x = self._chain.push(x, first)
        position = first - self._chain.lag
        envelope, used = self._envelopes.push(envelope), self._used.push(used)
        made = codec.decoder_head(x, envelope)
        noise = torch.stack(
            [
                codec.noise(self._start + position, DECODER_WINDOW * SUB_FRAMES, channel=i)
                for i in range(self.channels)
            ]
        )
        coefficients = (made.waveform + made.noise_amplitude * noise) * (used > 0)[..., None]
        samples, self._tail = overlap_add(codec.transform.inverse(coefficients), self._tail)
        skip = max(0, -position) * config.sub_frame  # before the first frame that was pushed
        return samples[:, skip:].cpu().numpy()
