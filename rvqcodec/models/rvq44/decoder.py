"""StreamDecoder: codes to samples, window by window; any cutting of the codes gives the same bits (see `encoder`)."""

import copy
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rvqcodec.models.interface import Counts
from rvqcodec.models.rvq44.chain import Chain
from rvqcodec.models.rvq44.layers import Block
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.pair import PairDecoder
from rvqcodec.models.rvq44.timing import WAIT
from rvqcodec.models.rvq44.workers import merged
from rvqcodec.types import Codes, Samples

DECODER_WINDOW = 64  # frames worked on at a time: products of matrices are faster if they are larger


def takes_bf16(precision: str, device: torch.device) -> bool:
    """Whether "auto", "float32" or "bf16" means bf16 products in the decoder: "auto" where the processor has them.

    Only what is heard may depend on the machine, so this is no matter of the encoder: codes are float32's everywhere.
    """
    if precision == "auto":
        return device.type == "cpu" and processor_has_bf16()
    return precision == "bf16"


@functools.cache
def processor_has_bf16() -> bool:
    """AMX or AVX512-BF16, as this torch sees it. Processors without them imitate bf16, far more slowly than float32."""
    checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(check is not None and check() for check in checks)


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
    """Codes to samples at the model's rate (see `interface.Decoder`).

    start_frame: absolute position of the first frame that will be pushed (for the noise); what comes before it is
    taken as silence, so a reader that seeks begins `context` frames early and drops their samples. Unless it `begins` a
    recording nobody knows whether such a first frame has an onset, so it is heard as noise with the right envelope: the
    wrong reading of its other codes was up to 10 dB too loud. bf16: the blocks' products of matrices are in bf16, from
    weights that are cast here, once.
    """

    def __init__(
        self,
        network: Network,
        channels: int,
        *,
        paired: bool = False,
        start_frame: int = 0,
        begins: bool = False,
        bf16: bool = False,
    ) -> None:
        config = network.config
        self.network, self.channels = network, channels
        self._merged = merged(network.device)
        blocks = [block for block in network.decoder_net if isinstance(block, Block)]
        like = network.envelope_mean
        own = 1 if paired else channels  # channels that the network makes
        self._chain = Chain([in_bf16(block) for block in blocks] if bf16 else blocks, own, like)
        self._pair = PairDecoder(network, self._chain.lag) if paired else None
        self._before = like.new_zeros(channels, 1, config.sub_frame)  # coefficients of the sub-frame before
        self._levels: torch.Tensor | None = None  # of the last two sub-frames
        self._unsure = start_frame > 0 and not begins  # of the first frame's onset
        self._position = start_frame * config.frame_sub_frames - self._chain.lag  # of the next output, in sub-frames
        # sub-frames that come out before the first frame that was pushed
        self._early = self._chain.lag + (WAIT * config.frame_sub_frames if paired else 0)
        self._codes, self._counts = self._empty(0)  # frames that wait for their window, and their n_q
        self._frames = 0
        self._samples = 0

    def push(self, codes: Codes, n_q: Counts, *, more: bool = False) -> Samples:
        """codes uint16 [C, K, T], n_q one number, [C] or [C, T] -> float32 [C, n], n may be 0.

        The raw output begins with one sub-frame (`pre_skip`) before the recording's first sample. more: further codes
        come without delay, so several windows may be waited for: on CUDA they become one.
        """
        config = self.network.config
        if codes.ndim != 3 or codes.shape[0] != self.channels:
            raise ValueError(f"codes of shape {codes.shape}; expected [{self.channels}, K, T]")
        wanted = np.asarray(n_q, np.int64)
        counts = np.broadcast_to(wanted[:, None] if wanted.ndim == 1 else wanted, (self.channels, codes.shape[2]))
        if wanted.max(initial=0) > min(codes.shape[1], config.max_n_q):
            raise ValueError(f"n_q {wanted.tolist()}; the codes have {codes.shape[1]} rows of {config.max_n_q}")
        if codes.size and codes.max() >= config.codebook_size:
            raise ValueError(f"code {codes.max()}; codes are below {config.codebook_size}")
        rows, _ = self._empty(codes.shape[2])
        kept = min(codes.shape[1], config.max_n_q)
        rows[:, :kept] = codes[:, :kept]
        if self._unsure and codes.shape[2]:
            counts = counts.copy()
            counts[:, 0] = counts[:, 0].clip(max=config.envelope_codebooks)
            self._unsure = False
        self._frames += codes.shape[2]
        return self._take(rows, counts, self._merged if more else 1)

    def flush(self) -> Samples:
        """The rest; in all frames * hop samples."""
        total, before = self._frames * self.network.config.hop, self._samples
        done = [self._take(*self._empty(0), 1)]
        while self._samples < total:
            done.append(self._take(*self._empty(DECODER_WINDOW - self._codes.shape[2]), 1))
        return np.concatenate(done, 1)[:, : total - before]

    def _empty(self, frames: int) -> tuple[Codes, npt.NDArray[np.int64]]:
        """Frames without codes, and their n_q."""
        codes = np.zeros((self.channels, self.network.config.max_n_q, frames), np.uint16)
        return codes, np.zeros((self.channels, frames), np.int64)

    def _take(self, codes: Codes, counts: npt.NDArray[np.int64], group: int) -> Samples:
        """Collect frames; run the windows that are full, once there are `group` of them."""
        self._codes = np.concatenate([self._codes, codes], 2)
        self._counts = np.concatenate([self._counts, counts], 1)
        full = self._codes.shape[2] // DECODER_WINDOW
        if full < group:
            return np.zeros((self.channels, 0), np.float32)
        end, long = full * DECODER_WINDOW, DECODER_WINDOW * self._merged
        ready, counted = self._codes[..., :end], self._counts[..., :end]
        self._codes, self._counts = self._codes[..., end:].copy(), self._counts[..., end:].copy()
        windows = [self._window(ready[..., i : i + long], counted[..., i : i + long]) for i in range(0, end, long)]
        samples = np.concatenate([np.zeros((self.channels, 0), np.float32), *windows], 1)
        self._samples += samples.shape[1]
        return samples

    @torch.inference_mode()
    def _window(self, codes: Codes, counts: npt.NDArray[np.int64]) -> Samples:
        """One window of codes [C, max_n_q, frames] with their n_q [C, frames] -> samples [C, up to frames * hop]."""
        most = int(counts.max())
        device = self._before.device
        x = torch.from_numpy(codes[:, :most].astype(np.int64)).to(device)
        n_q = torch.from_numpy(np.ascontiguousarray(counts)).to(device)
        coded = slice(0, 1) if self._pair else slice(None)  # channels that the network makes
        parts = self.network.dequantize(x[coded], n_q[coded], self._levels)
        made = self.network.decode(parts, n_q[coded], self._position, self._chain)
        self._levels = self.network.levels(x[coded], n_q[coded])[:, -2:]
        if self._pair is not None:
            made = self._pair.push(made, x[1], n_q[1])
        count = made.coefficients.shape[1]
        self._position += count
        sound = self.network.sound if made.onset.any() else self.network.sound_without_onsets
        samples = sound(made, self._before)
        self._before = made.coefficients[:, -1:]
        skip, self._early = self._early, max(0, self._early - count)
        return samples[:, skip * self.network.config.sub_frame :].cpu().numpy()
