"""The second channel of a pair: predicted from the main channel (`stereo`), and what that leaves by waveform codes.

A frame's first code is the parameters'. With it those of the frame stereo.AHEAD earlier are known, and of that frame
the other codes are: of second - alpha * main, flattened by the envelope rho * main's. The decoder's network lags by as
much. So nobody waits for it; the last frames of a recording have parameters only.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rvqcodec.models.rvq44 import stereo
from rvqcodec.models.rvq44.chain import Delay
from rvqcodec.models.rvq44.coders import Found
from rvqcodec.models.rvq44.envelope import by_frame, by_sub_frame
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.parts import Shape, Synthesis
from rvqcodec.models.rvq44.timing import WAIT

RHO_STEPS = 16  # a radian, in which rho is looked up: a table makes the envelope the same on every machine
QUIETEST = 3  # step of the least rho whose envelope is used: -14 dB
SILENT = 1e-9  # power of a second channel against the main one's below which it needs no code


class Envelope:
    """Envelopes of what parameters leave of the second channel."""

    def __init__(self, network: Network) -> None:
        c = network.config
        angle = (np.arange(int(stereo.STEEPEST * RHO_STEPS) + 1) + 0.5) / RHO_STEPS
        step = c.envelope_step
        self._bands, self._sub_frames = c.bands, c.frame_sub_frames
        self._table = torch.tensor(np.rint(c.envelope_scale * np.log(np.tan(angle)) / step) * step).float()

    def __call__(self, main: Tensor, values: stereo.Floats) -> Tensor:
        """main's quantized envelope [S, B], parameters [T, 2 B] -> quantized envelope [S, B]."""
        index = torch.from_numpy(np.floor(values[:, self._bands :] * RHO_STEPS).astype(np.int64))
        rho = self._table[index.clamp(QUIETEST, len(self._table) - 1)].to(main.device)
        return main + rho.repeat_interleave(self._sub_frames, 0)


class PairEncoder:
    """Finds the codes of parameters, and the latents of what they leave."""

    def __init__(self, network: Network) -> None:
        table = network.stereo_table.cpu().numpy()
        self._network, self._envelope = network, Envelope(network)
        self._encoder, self._decoder = stereo.StereoEncoder(table), stereo.StereoDecoder(table)
        self._earlier = [Delay(stereo.AHEAD * network.config.frame_sub_frames) for _ in range(3)]
        self._sounds = np.zeros(stereo.AHEAD, np.bool_)  # frames whose second channel is not silent

    def push(self, main: Shape[Found], second: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The main channel's window, MDCT coefficients of the second [1, 1 + S, F] -> four tensors of one channel.

        Codes int64 [1, T], which frames need none bool [1, T]; of the frames AHEAD earlier: quantized envelope
        [1, S, B], latents [1, T, L].
        """
        network, c = self._network, self._network.config
        weights = network.band_weights[: c.coefficients]
        ours, theirs = main.coefficients[:, 1:], second[:, 1:]
        powers = stereo.covariances(ours[0], theirs[0], weights, c.frame_sub_frames)
        codes = self._encoder.push(powers)
        values = self._decoder.push(codes)
        sounds = np.concatenate([self._sounds, powers[2].sum(1) > SILENT * powers[0].sum(1)])
        self._sounds = sounds[len(codes) :]
        needless = (codes == 0) & ~sounds[: len(codes)] & ~sounds[stereo.AHEAD :]
        envelope, ours, theirs = (
            delay.push(x) for delay, x in zip(self._earlier, (main.quantized, ours, theirs), strict=True)
        )
        quantized = self._envelope(envelope[0], values)[None]
        alpha, _ = stereo.spread(torch.from_numpy(values).to(ours.device), weights)
        left = theirs - alpha.repeat_interleave(c.frame_sub_frames, 0) * ours
        latent = by_frame(network.waveform_latent(quantized, quantized, left), c.frame_sub_frames)
        heads, silent = (torch.from_numpy(x)[None].to(ours.device) for x in (codes.astype(np.int64), needless))
        return heads, silent, quantized, latent


class PairDecoder:
    """Main coefficients and the second channel's codes -> coefficients of both, WAIT frames later."""

    def __init__(self, network: Network, lag: int) -> None:
        """lag: sub-frames by which main coefficients come later than the codes."""
        c = network.config
        assert lag == stereo.AHEAD * c.frame_sub_frames
        self._network, self._envelope = network, Envelope(network)
        self._decoder = stereo.StereoDecoder(network.stereo_table.cpu().numpy())
        self._unlike = stereo.Unlike(network.transform)
        self._waiting = [Delay(WAIT * c.frame_sub_frames) for _ in range(8)]
        self._now = np.zeros(2 * c.bands, np.float32)  # parameters of the frame before
        self._main: Tensor | None = None

    def push(self, made: Synthesis, codes: Tensor, n_q: Tensor) -> Synthesis:
        """made: the main channel's next sub-frames, AHEAD frames before those of the second channel's codes [K, T], of
        which n_q [T] count. Gives both channels.
        """
        network, c = self._network, self._network.config
        first = torch.where(n_q > 0, codes[0], 0) if len(codes) else torch.zeros_like(n_q)
        values = self._decoder.push(first.cpu().numpy())
        quantized = self._envelope(made.envelope[0], values)[None]
        packed = network.waveform_quantizer.decode(codes[None, 1:], (n_q[None] - 1).clamp_min(0))
        latent = network.unpack(by_sub_frame(packed, c.frame_sub_frames), quantized)[..., c.bands :]
        coded = F.pad(
            latent * network.scale(network.amplitude(quantized))[..., : c.coefficients],
            (0, c.sub_frame - c.coefficients),
        )
        steady, _ = stereo.spread(torch.from_numpy(values).to(coded.device), network.band_weights)
        steady = steady.repeat_interleave(c.frame_sub_frames, 0)[None] * (coded != 0)
        values, self._now = stereo.by_sub_frame(self._now, values), values[-1]
        return self._both(made, torch.from_numpy(values).to(coded.device), coded, steady)

    def _both(self, made: Synthesis, values: Tensor, coded: Tensor, steady: Tensor) -> Synthesis:
        """All of the same sub-frames: parameters [S, 2 B], the coded rest, and alpha where it was coded [1, S, F]."""
        network, size = self._network, self._network.config.frame_sub_frames
        main = made.coefficients[0]
        rows = (
            *(made.coefficients, made.noise_amplitude, made.envelope, made.n_q, made.onset),
            *(values[None], coded, steady),
        )
        before = main.new_zeros(size + 1, main.shape[1]) if self._main is None else self._main
        joined = torch.cat([before, main])  # from one sub-frame before those that come out now
        self._main = joined[-(size + 1) :]
        kept = [delay.push(x) for delay, x in zip(self._waiting, rows, strict=True)]
        main, noise, envelope, n_q, onset, values, coded, steady = kept
        alpha, rho = stereo.spread(values[0], network.band_weights)
        unlike = self._unlike(joined[:-1])[None]
        wanted = (rho * unlike).square()
        missing = network.missing(network.smoothed(wanted), coded.square()) / (network.smoothed(wanted) + 1e-12)
        predicted = torch.where(coded != 0, steady, alpha) * main
        second = predicted + coded + rho * unlike * missing.clamp_max(1).sqrt()
        return Synthesis(torch.cat([main, second]), noise, envelope, n_q, onset)
