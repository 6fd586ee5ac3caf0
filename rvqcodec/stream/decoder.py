"""StreamDecoder: codes to samples, window by window."""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rvqcodec.config import SUB_FRAMES
from rvqcodec.envelope import by_sub_frame
from rvqcodec.layers import PAST, Block, overlap_add
from rvqcodec.stream.chain import Chain, Delay
from rvqcodec.stream.workers import merged

if TYPE_CHECKING:
    from rvqcodec.model import Codec

Samples = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint16]

DECODER_WINDOW = 64  # frames worked on at a time: products of matrices are faster if they are larger


def in_bf16(block: Block) -> Block:
    """A copy of the block with its products of matrices, and what is between them, in bf16; the rest is float32."""
    half = copy.deepcopy(block)
    half.widen.bfloat16()
    half.narrow.bfloat16()
    half.widen.register_forward_pre_hook(_as_bf16)
    return half


def _as_bf16(_: nn.Module, inputs: tuple[Any, ...]) -> Any:
    return inputs[0].bfloat16()


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
        self._merged = merged(like.device)
        blocks = [block for block in codec.decoder_net if isinstance(block, Block)]
        self._chain = Chain([in_bf16(block) for block in blocks] if bf16 else blocks, channels, like)
        assert self._chain.lag % SUB_FRAMES == 0, "the decoder must lag by whole frames"
        self._latents, self._envelopes, self._used = (Delay(self._chain.lag) for _ in range(3))
        self._tail = like.new_zeros(channels, config.sub_frame)
        self._start = start_frame * SUB_FRAMES
        self._position = 0  # of the next window, in sub-frames
        self._pending = np.zeros((channels, config.max_n_q + 1, 0), np.uint16)  # last row: n_q of the frame
        self._frames = 0
        self._samples = 0

    @staticmethod
    def context(codec: "Codec") -> int:
        """Frames before a position that the sound at this position depends on."""
        return -(-(codec.config.decoder_blocks * PAST + 1) // SUB_FRAMES)

    def push(self, codes: Codes, n_q: int | Sequence[int] | npt.NDArray[np.integer], *, more: bool = False) -> Samples:
        """codes uint16 [C, K, T], n_q per channel (rows from n_q on are ignored) -> float32 [C, n], n may be 0.

        The raw output begins with one sub-frame (`pre_skip`) before the recording's first sample. more: further codes
        come without delay, so several windows may be waited for: on CUDA they become one.
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
        return self._take(rows, self._merged if more else 1)

    def flush(self) -> Samples:
        """The rest; in all frames * hop samples."""
        config = self.codec.config
        total, before = self._frames * config.hop, self._samples
        done = [self._take(np.zeros((self.channels, config.max_n_q + 1, 0), np.uint16), 1)]
        while self._samples < total:
            missing = DECODER_WINDOW - self._pending.shape[2]
            done.append(self._take(np.zeros((self.channels, config.max_n_q + 1, missing), np.uint16), 1))
        return np.concatenate(done, 1)[:, : total - before]

    def _take(self, rows: Codes, group: int) -> Samples:
        """Collect frames; run the windows that are full, once there are `group` of them."""
        self._pending = np.concatenate([self._pending, rows], 2)
        full = self._pending.shape[2] // DECODER_WINDOW
        if full < group:
            return np.zeros((self.channels, 0), np.float32)
        rows, self._pending = np.split(self._pending, [full * DECODER_WINDOW], 2)
        self._pending = self._pending.copy()
        long = DECODER_WINDOW * self._merged
        samples = np.concatenate([self._window(rows[..., i : i + long]) for i in range(0, rows.shape[2], long)], 1)
        self._samples += samples.shape[1]
        return samples

    @torch.inference_mode()
    def _window(self, rows: Codes) -> Samples:
        """One window of codes with their n_q [C, max_n_q + 1, frames] -> samples [C, up to frames * hop]."""
        codec, config = self.codec, self.codec.config
        first = self._position
        self._position += rows.shape[2] * SUB_FRAMES
        codes = torch.from_numpy(rows.astype(np.int64)).to(self._tail.device)
        n_q = codes[:, -1]
        most = int(n_q.max())
        split = config.envelope_codebooks
        envelope = by_sub_frame(codec.envelope_quantizer.decode(codes[:, : min(most, split)], n_q))
        packed = codec.waveform_quantizer.decode(codes[:, split : max(most, split)], n_q - split)
        latent = codec.unpack(by_sub_frame(packed), envelope)
        used = n_q.repeat_interleave(SUB_FRAMES, 1)
        x = codec.decoder_in(codec.decoder_features(latent, envelope)) + codec.decoder_n_q(used)
        x = self._chain.push(x, first)
        position = first - self._chain.lag
        latent, envelope, used = self._latents.push(latent), self._envelopes.push(envelope), self._used.push(used)
        made = codec.decoder_head(x, latent, envelope)
        start, count = self._start + position, made.waveform.shape[1]
        noise = torch.stack([codec.noise(start, count, channel=i) for i in range(self.channels)])
        coefficients = (made.waveform + made.noise_amplitude * noise) * (used > 0)[..., None]
        samples, self._tail = overlap_add(codec.transform.inverse(coefficients), self._tail)
        skip = max(0, -position) * config.sub_frame  # before the first frame that was pushed
        return samples[:, skip:].cpu().numpy()
