"""StreamEncoder: samples to codes, window by window."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rvqcodec.config import SUB_FRAMES
from rvqcodec.envelope import by_frame, by_sub_frame
from rvqcodec.stream.chain import CorrectionChain, Delay
from rvqcodec.stream.timing import frames_for
from rvqcodec.stream.workers import GROUP, Workers, merged, one_core_each

if TYPE_CHECKING:
    from rvqcodec.model import Codec

Samples = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint16]

WINDOW = 32  # frames worked on at a time


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
        self._workers, self._merged = Workers(like.device), merged(like.device)
        self._envelope_search = codec.envelope_quantizer.search()
        self._waveform_search = codec.waveform_quantizer.search()
        self._envelope_chain = CorrectionChain(codec.envelope_net, channels, like)
        self._encoder_chain = CorrectionChain(codec.encoder_net, channels, like)
        lag = self._envelope_chain.lag
        assert lag % SUB_FRAMES == 0, "the envelope must lag by whole frames"
        self._envelopes, self._coefficients = Delay(lag), Delay(lag)
        odd = self._encoder_chain.lag % SUB_FRAMES
        self._latents, self._quantized = Delay(odd), Delay(self._encoder_chain.lag + odd)
        self._shape_codes = Delay((self._encoder_chain.lag + odd) // SUB_FRAMES)
        self._lag = (lag + self._encoder_chain.lag + odd) // SUB_FRAMES  # frames
        self._tail = like.new_zeros(channels, config.sub_frame)
        self._pending: list[Samples] = []
        self._pending_samples = 0
        self._position = 0  # of the next window, in sub-frames
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
        config = self.codec.config
        total = frames_for(self._samples, hop=config.hop, pre_skip=config.sub_frame)
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
        window = WINDOW * self.codec.config.hop
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

    @torch.inference_mode()
    def _run(self, windows: list[Samples]) -> list[Codes]:
        """Windows of samples [C, frames * hop] -> the codes of each, uint16 [C, n_q, up to frames].

        What hangs on the window before goes in order, and is quick; the rest goes in threads.
        """
        shared = self._workers.shared
        with one_core_each():
            classical = shared(self._classical, [self._overlapped(window) for window in windows])
            shapes = shared(self._shapes, [self._corrected(*parts) for parts in classical])
            return shared(self._codes, [self._latent(*parts) for parts in shapes])

    def _overlapped(self, samples: Samples) -> tuple[int, Tensor]:
        """Position of the window's first sub-frame, and its frames [C, S, 2 sub_frame]."""
        first = self._position
        self._position += samples.shape[1] // self.codec.config.sub_frame
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

    def _latent(self, first: int, codes: Tensor, features: Tensor) -> tuple[int, Tensor, Tensor, Tensor]:
        """The waveform's latent [C, S, ...], and before it the envelope's codes and the quantized envelope, as late."""
        latent = self._latents.push(self._encoder_chain.correct(self.codec.analysed(features), features, first))
        frame = (first + self._envelope_chain.lag) // SUB_FRAMES
        quantized = self._quantized.push(features[..., -self.codec.config.bands :])
        return frame, self._shape_codes.push(codes.transpose(1, 2)).transpose(1, 2), quantized, latent

    @torch.inference_mode()
    def _codes(self, windows: Sequence[tuple[int, Tensor, Tensor, Tensor]]) -> list[Codes]:
        """All codes of each window [C, n_q, T], without what lies before the recording's first frame."""
        n_q = max(0, self.n_q - self.codec.config.envelope_codebooks)
        latents = torch.cat([by_frame(self.codec.pack(latent, quantized)) for _, _, quantized, latent in windows])
        fine = self._waveform_search.encode(latents, n_q, len(windows))
        done = []
        for (frame, shape_codes, _, _), codes in zip(windows, fine.split(self.channels), strict=True):
            both = torch.cat([shape_codes[:, : self.n_q], codes], 1)
            done.append(both[..., max(0, self._lag - frame) :].cpu().numpy().astype(np.uint16))
        return done
