"""The second channel of a pair in torch, from the main one's sub-frames and its own codes; `pairing` says how."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rvqcodec.models.rvq44 import stereo, tables
from rvqcodec.models.rvq44.network.chain import Delay
from rvqcodec.models.rvq44.network.envelope import by_sub_frame
from rvqcodec.models.rvq44.network.layers import MDCT
from rvqcodec.models.rvq44.network.model import Network
from rvqcodec.models.rvq44.network.parts import Synthesis
from rvqcodec.models.rvq44.pairing import Rest
from rvqcodec.models.rvq44.timing import WAIT


def spread(values: Tensor, band_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Parameters of sub-frames [S, 2 B], band weights [F, B] -> alpha and rho of each coefficient [S, F]."""
    alpha, rho = (half @ band_weights.t() for half in values.chunk(2, -1))
    return torch.tan(alpha.clamp(-stereo.STEEPEST, stereo.STEEPEST)), torch.tan(rho.clamp(0, stereo.STEEPEST))


class Unlike:
    """As `cpu.pair.Unlike`, from coefficients."""

    def __init__(self, transform: MDCT) -> None:
        self._transform = transform
        self._sines = torch.from_numpy(tables.turned_sines(transform.size)).to(transform.dct.device)

    def __call__(self, main: Tensor) -> Tensor:
        """main [S + 2, F], with the sub-frames before and after (zeros at the ends) -> [S, F]."""
        size = self._transform.size
        spans = self._transform.inverse(main)
        sound = spans[1:, :size] + spans[:-1, size:]
        a, b, c, d = (torch.cat([sound[:-1], sound[1:]], 1) * self._transform.window).chunk(4, -1)
        turned: Tensor = torch.cat([c.flip(-1) - d, a + b.flip(-1)], -1) @ self._sines
        return turned


class PairDecoder:
    """Main coefficients and the second channel's codes -> coefficients of both, WAIT frames later."""

    def __init__(self, network: Network, lag: int) -> None:
        """lag: sub-frames by which main coefficients come later than the codes."""
        c = network.config
        assert lag == stereo.AHEAD * c.frame_sub_frames
        self._network, self._rest = network, Rest(c)
        self._decoder = stereo.StereoDecoder(network.stereo_table.cpu().numpy())
        self._unlike = Unlike(network.transform)
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
        rest = torch.from_numpy(self._rest(values)).to(made.envelope.device)
        quantized = made.envelope + rest.repeat_interleave(c.frame_sub_frames, 0)
        packed = network.waveform_quantizer.decode(codes[None, 1:], (n_q[None] - 1).clamp_min(0))
        latent = network.unpack(by_sub_frame(packed, c.frame_sub_frames), quantized)[..., c.bands :]
        coded = F.pad(
            latent * network.scale(network.amplitude(quantized))[..., : c.coefficients],
            (0, c.sub_frame - c.coefficients),
        )
        steady, _ = spread(torch.from_numpy(values).to(coded.device), network.band_weights)
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
        alpha, rho = spread(values[0], network.band_weights)
        unlike = self._unlike(joined[:-1])[None]
        wanted = (rho * unlike).square()
        smooth = network.missing.smoothed(wanted)
        missing = network.missing(smooth, coded.square()) / (smooth + 1e-12)
        predicted = torch.where(coded != 0, steady, alpha) * main
        second = predicted + coded + rho * unlike * missing.clamp_max(1).sqrt()
        return Synthesis(torch.cat([main, second]), noise, envelope, n_q, onset)
