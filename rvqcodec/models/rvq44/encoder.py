"""StreamEncoder: samples to codes, window by window.

The network always works on windows of one fixed size at fixed positions, whatever the length of the blocks pushed:
so any cutting of the input gives the same bits (on CUDA, where windows are merged: but for rounding). Memory does not
grow with the length.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rvqcodec.models.rvq44.coders import Searched
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.workers import GROUP, Workers, merged, one_core_each
from rvqcodec.types import Codes, Samples

WINDOW = 32  # frames worked on at a time


class StreamEncoder:
    """Samples at the model's rate to codes (see `interface.Encoder`).

    channels: coded channels, encoded side by side; n_q: codebooks wanted of each (0 to max_n_q).
    """

    def __init__(self, network: Network, channels: int, n_q: int) -> None:
        assert 0 <= n_q <= network.config.max_n_q
        assert channels >= 1
        self.network, self.channels, self.n_q = network, channels, n_q
        self._workers, self._merged = Workers(network.device), merged(network.device)
        self._coder = Searched(network.quantizers, n_q)
        self._tail = torch.zeros(channels, network.config.sub_frame, device=network.device)
        self._pending: list[Samples] = []
        self._pending_samples = 0
        self._samples = 0
        self._frames = 0

    def push(self, samples: Samples, *, more: bool = False) -> Codes:
        """samples float32 [C, n] -> the codes that became known, uint16 [C, n_q, T], T may be 0.

        more: further samples come without delay, so up to `GROUP` windows are waited for: faster on several cores.
        """
        self._samples += samples.shape[1]
        return self._take(samples, GROUP if more else 1)

    def flush(self) -> Codes:
        """The remaining codes; in all ceil((samples + pre_skip) / hop) frames, none for no samples."""
        config = self.network.config
        total = -(-(self._samples + config.pre_skip) // config.hop) if self._samples else 0
        before = self._frames
        done = [self._take(np.zeros((self.channels, 0), np.float32), 1)]
        while self._frames < total:
            missing = WINDOW * config.hop - self._pending_samples
            done.append(self._take(np.zeros((self.channels, missing), np.float32), 1))
        return np.concatenate(done, -1)[..., : total - before]

    def _take(self, samples: Samples, group: int) -> Codes:
        """Collect samples; run the windows that are full, once there are `group` of them."""
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise ValueError(f"samples of shape {samples.shape}; expected [{self.channels}, n]")
        window = WINDOW * self.network.config.hop
        self._pending.append(samples)
        self._pending_samples += samples.shape[1]
        out: list[Codes] = [np.zeros((self.channels, self.n_q, 0), np.uint16)]
        if self._pending_samples >= window * group:
            joined = np.concatenate(self._pending, 1)
            full = joined.shape[1] // window * window
            long = window * self._merged
            windows = [joined[:, start : min(start + long, full)] for start in range(0, full, long)]
            at_once = GROUP // self._merged
            for i in range(0, len(windows), at_once):
                out += self._run(windows[i : i + at_once])
            self._pending = [joined[:, full:].copy()]
            self._pending_samples -= full
        codes = np.concatenate(out, -1)
        self._frames += codes.shape[2]
        return codes

    def _run(self, windows: Sequence[Samples]) -> list[Codes]:
        """Windows of samples [C, frames * hop] -> the codes of each, uint16 [C, n_q, frames]."""
        overlapping = [self._with_tail(window) for window in windows]
        with one_core_each():
            return self._workers.shared(self._encode, overlapping)

    def _with_tail(self, samples: Samples) -> Tensor:
        """A window with the sub-frame before it, which its first span overlaps: [C, frames * hop + sub_frame]."""
        x = torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(self._tail.device)
        x = torch.cat([self._tail, x], 1)
        self._tail = x[:, -self.network.config.sub_frame :].clone()
        return x

    @torch.inference_mode()
    def _encode(self, windows: Sequence[Tensor]) -> list[Codes]:
        found = self.network.encode(windows, self._coder)
        return [one.codes[:, : self.n_q].cpu().numpy().astype(np.uint16) for one in found]
