"""StreamDecoder: codes to samples, window by window; any cutting of the codes gives the same bits (see `encoder`)."""

import numpy as np

from rvqcodec.models import threads
from rvqcodec.models.interface import Counts as AnyCounts
from rvqcodec.models.rvq44.engine import Counts, Engine
from rvqcodec.types import Codes, Samples

DECODER_WINDOW = 64  # frames worked on at a time: products of matrices are faster if they are larger
DECODER_GROUP = 8  # windows at most that are waited for where several threads, or a GPU, share them


class StreamDecoder:
    """Codes to samples at the model's rate (see `interface.Decoder`).

    start_frame: absolute position of the first frame that will be pushed (for the noise); what comes before it is
    taken as silence, so a reader that seeks begins `context` frames early and drops their samples. Unless it `begins` a
    recording nobody knows whether such a first frame has an onset, so it is heard as noise with the right envelope: the
    wrong reading of its other codes was up to 10 dB too loud.
    """

    def __init__(
        self, engine: Engine, channels: int, *, paired: bool = False, start_frame: int = 0, begins: bool = False
    ) -> None:
        self.config, self.channels = engine.config, channels
        first = start_frame * engine.config.frame_sub_frames
        self._synthesis = engine.synthesis(channels, paired=paired, first=first)
        self._merged, self._group = engine.windows_in_one, engine.windows_together
        self._unsure = start_frame > 0 and not begins  # of the first frame's onset
        self._early = self._synthesis.lag  # sub-frames that come out before the first frame that was pushed
        self._codes, self._counts = self._empty(0)  # frames that wait for their window, and their n_q
        self._frames = 0
        self._samples = 0

    def push(self, codes: Codes, n_q: AnyCounts, *, more: bool = False) -> Samples:
        """codes uint16 [C, K, T], n_q one number, [C] or [C, T] -> float32 [C, n], n may be 0.

        The raw output begins with one sub-frame (`pre_skip`) before the recording's first sample. more: further codes
        come without delay, so several windows may be waited for, which are faster together.
        """
        config = self.config
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
        return self._take(rows, counts, self._group() if more else 1)

    def flush(self) -> Samples:
        """The rest; in all frames * hop samples."""
        total, before = self._frames * self.config.hop, self._samples
        done = [self._take(*self._empty(0), 1)]
        while self._samples < total:
            done.append(self._take(*self._empty(DECODER_WINDOW - self._codes.shape[2]), 1))
        return np.concatenate(done, 1)[:, : total - before]

    def _empty(self, frames: int) -> tuple[Codes, Counts]:
        """Frames without codes, and their n_q."""
        codes = np.zeros((self.channels, self.config.max_n_q, frames), np.uint16)
        return codes, np.zeros((self.channels, frames), np.int64)

    def _take(self, codes: Codes, counts: Counts, group: int) -> Samples:
        """Collect frames; run the windows that are full, once there are `group` of them."""
        self._codes = np.concatenate([self._codes, codes], 2)
        self._counts = np.concatenate([self._counts, counts], 1)
        full = self._codes.shape[2] // DECODER_WINDOW
        if full < group:
            return np.zeros((self.channels, 0), np.float32)
        end, long = full * DECODER_WINDOW, DECODER_WINDOW * self._merged
        ready, counted = self._codes[..., :end], self._counts[..., :end]
        self._codes, self._counts = self._codes[..., end:].copy(), self._counts[..., end:].copy()
        windows = [(ready[..., i : i + long], counted[..., i : i + long]) for i in range(0, end, long)]
        with threads.one_blas_thread():
            samples = np.concatenate([np.zeros((self.channels, 0), np.float32), *self._synthesis(windows)], 1)
        skip = min(self._early * self.config.sub_frame, samples.shape[1])
        self._early -= skip // self.config.sub_frame
        self._samples += samples.shape[1] - skip
        return samples[:, skip:]
