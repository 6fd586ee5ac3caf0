"""The network: `Codec`, which starts as a classical transform codec that training improves.

    envelope   band powers -> envelope codebooks -> quantized envelope A (amplitude per MDCT coefficient)
    waveform   MDCT coefficients, flattened by A and the frame's level -> encoder -> packed: the largest,
               going by A, in falling order -> waveform codebooks
    decoder    both, unpacked -> coefficients, corrected envelope, noise gains -> inverse MDCT

Shapes: B recordings or coded channels, S sub-frames (75 a second), T frames (S = 2 T), K codebooks.
The methods here work on whole sequences or on parts of them and keep no state; `stream` keeps it.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvqcodec.config import SUB_FRAMES, Config, WeightsInfo
from rvqcodec.envelope import Order, Prominence, by_frame, by_sub_frame
from rvqcodec.layers import MDCT, Block, Correction, band_matrix, overlap_add, position_noise, start_as_identity
from rvqcodec.quantize import LatentQuantizer, Quantized

POWER_FLOOR = 1e-9  # of a coefficient: about -90 dB below full scale
LEVEL_FLOOR = 1e-3  # of the frame level, so that silence is not blown up
UNIT = 0.1  # RMS of a flattened coefficient, well below the envelope's values: it keeps loud corrections small
FLAT_LIMIT = 160 * UNIT  # of a flattened, weighted coefficient: an onset that the envelope missed must not explode
NOISE_SHARE = 0.74  # power of the coefficients' noise-like part against the band's mean power
# How codes are searched: wider comes closer, at the price of speed (weights/MODEL_CARD.md, "What was tried").
ENVELOPE_WIDTH, WAVEFORM_WIDTH, WAVEFORM_AHEAD = 6, 4, 3


@dataclass(frozen=True)
class Analysis:
    """What encoder and quantizers make of S sub-frames: both parts, and their latents [B, T, ...] unquantized."""

    envelope: Quantized
    waveform: Quantized
    envelope_latent: Tensor
    waveform_latent: Tensor


@dataclass(frozen=True)
class Synthesis:
    """What the decoder network says of S sub-frames, before the inverse transform: all [B, S, sub_frame]."""

    waveform: Tensor
    noise_amplitude: Tensor


def quantized(quantizer: LatentQuantizer, latent: Tensor, n_q: Tensor, decay: float) -> Quantized:
    """latent [B, T, L], n_q [B] -> by the nearest entries in training, with gradients; searched otherwise."""
    result: Quantized = quantizer(latent, n_q, decay) if quantizer.training else quantizer.quantize(latent, n_q)
    return result


class Codec(nn.Module):
    """Encoder, quantizers and decoder of one Config. `info` says which weights it carries, once it has some."""

    info: WeightsInfo | None = None

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        c = config
        dim = c.dim
        # encoder side (with the codebooks: the bitstream)
        self.envelope_mean: Tensor
        self.register_buffer("envelope_mean", torch.zeros(c.bands))
        # networks that correct the classical analysis before it is quantized
        self.envelope_net = Correction(
            inputs=c.bands,
            dim=c.envelope_dim,
            outputs=c.bands,
            blocks=c.envelope_blocks,
            expansion=c.expansion,
        )
        self.encoder_net = Correction(
            inputs=2 * c.bands + c.sub_frame,
            dim=dim,
            outputs=c.bands + c.coefficients,
            blocks=c.encoder_blocks,
            expansion=c.expansion,
        )
        both = SUB_FRAMES * c.bands
        self.envelope_quantizer = LatentQuantizer(
            latent=both,
            size=c.codebook_size,
            dims=[both] * c.envelope_codebooks,
            width=ENVELOPE_WIDTH,
            ahead=c.envelope_codebooks,
            weigh=Prominence(c),
        )
        fine = c.max_n_q - c.envelope_codebooks
        self.waveform_quantizer = LatentQuantizer(
            latent=SUB_FRAMES * c.latent,
            size=c.codebook_size,
            dims=[c.wide_dim if k < c.wide_codebooks else c.codebook_dim for k in range(fine)],
            width=WAVEFORM_WIDTH,
            ahead=WAVEFORM_AHEAD,
        )
        # decoder side
        self.decoder_in = nn.Linear(c.coefficients + 2 * c.bands, dim)
        self.decoder_direct = nn.Parameter(torch.ones(c.coefficients))  # gain of the way around the network
        self.decoder_n_q = nn.Embedding(c.max_n_q + 1, dim)
        self.decoder_net = nn.ModuleList(Block(dim, c.expansion) for _ in range(c.decoder_blocks))
        self.decoder_out = nn.Linear(dim, c.bands + c.sub_frame)
        self.decoder_noise = nn.Linear(dim, c.sub_frame)
        self.decoder_carrier: Tensor
        self.register_buffer("decoder_carrier", position_noise(c.carrier, c.sub_frame).sign())
        # fixed tables
        self.transform = MDCT(c.sub_frame)
        frequency = (torch.arange(c.sub_frame) + 0.5) * c.sample_rate / 2 / c.sub_frame
        smooth = torch.hann_window(11)
        self.band_weights: Tensor
        self.window: Tensor
        self.smooth: Tensor
        self.importance: Tensor
        self.register_buffer(
            "band_weights",
            band_matrix(size=c.sub_frame, bands=c.bands, sample_rate=c.sample_rate, top=c.top_hz),
            persistent=False,
        )
        self.register_buffer("window", torch.hann_window(2 * c.sub_frame), persistent=False)
        self.register_buffer("smooth", smooth / smooth.sum(), persistent=False)
        self.register_buffer("importance", 1 / (1 + frequency / 1000), persistent=False)
        self.order = Order(c, band_weights=self.band_weights, importance=self.importance)
        self._start_as_classical_codec(frequency)

    @property
    def model_id(self) -> str:
        """The bitstream's name; "untrained" before weights were loaded."""
        return self.info.model_id if self.info else "untrained"

    @property
    def weights_hash(self) -> bytes:
        """Eight bytes of the hash of encoder and codebooks, as a file's header carries them."""
        return self.info.weights_hash if self.info else bytes(8)

    def _start_as_classical_codec(self, frequency: Tensor) -> None:
        """The latent unchanged, zero corrections, noise gain 0.7 above 1 kHz (design: "The start decides")."""
        start_as_identity(self.decoder_in.weight, min(self.decoder_in.weight.shape))
        start_as_identity(self.decoder_out.weight, self.config.bands)
        for parameter in (
            self.decoder_in.bias,
            self.decoder_out.bias,
            self.decoder_n_q.weight,
            self.decoder_noise.weight,
        ):
            nn.init.zeros_(parameter)
        with torch.no_grad():
            gain = math.log(0.7) + F.logsigmoid((frequency - 1000) / 250)
            self.decoder_noise.bias.copy_(gain.clamp_min(-4))

    # ---- analysis

    def frames(self, samples: Tensor) -> Tensor:
        """samples [B, (S + 1) * sub_frame] -> overlapping frames [B, S, 2 * sub_frame]."""
        return samples.unfold(-1, 2 * self.config.sub_frame, self.config.sub_frame)

    def envelope(self, frames: Tensor) -> Tensor:
        """frames [B, S, 2 * sub_frame] -> log amplitude per band [B, S, bands], centred and scaled."""
        bins = torch.fft.rfft(frames * self.window)
        spectrum = bins.real.square() + bins.imag.square()
        power = (spectrum[..., :-1] + spectrum[..., 1:]) * (0.667 / self.config.sub_frame)
        bands = (power @ self.band_weights) / self.band_weights.sum(0)
        return self.config.envelope_scale * (0.5 * torch.log(bands + POWER_FLOOR) - self.envelope_mean)

    def coefficients(self, frames: Tensor) -> Tensor:
        """frames [B, S, 2 * sub_frame] -> the MDCT coefficients that the encoder looks at [B, S, F].

        All (F = sub_frame) if there is an encoder network, else those that the latent carries.
        """
        return self.transform(frames, None if self.config.encoder_blocks else self.config.coefficients)

    def amplitude(self, envelope: Tensor) -> Tensor:
        """envelope [B, S, bands] -> amplitude per coefficient [B, S, sub_frame]."""
        log = envelope.float() / self.config.envelope_scale + self.envelope_mean
        return torch.exp(log.clamp(-11, 3) @ self.band_weights.t())

    def scale(self, amplitude: Tensor) -> Tensor:
        """amplitude [B, S, sub_frame], S even -> what a flattened coefficient of 1 is worth [B, S, sub_frame].

        A^(1-p) times the frame's level: the level makes the waveform codebooks serve loud and quiet alike.
        """
        c = self.config
        power = amplitude[..., : c.coefficients].pow(2 * c.flatten) * self.importance[: c.coefficients].square()
        level = (by_frame(power).sum(-1) / (SUB_FRAMES * c.coded)).sqrt() + LEVEL_FLOOR
        worth = (level.pow(c.level) / UNIT).repeat_interleave(SUB_FRAMES, 1)
        return amplitude.pow(1 - c.flatten) * worth[..., None]

    def encoder_features(self, envelope: Tensor, quantized: Tensor, coefficients: Tensor) -> Tensor:
        """[B, S, bands], [B, S, bands], [B, S, F] -> the encoder's input [B, S, 2 bands + F]."""
        worth = self.scale(self.amplitude(quantized))[..., : coefficients.shape[2]]
        limit = FLAT_LIMIT / self.importance[: coefficients.shape[2]]
        return torch.cat([envelope - quantized, (coefficients / worth).clamp(-limit, limit), quantized], -1)

    def analysed(self, features: Tensor) -> Tensor:
        """What of the encoder's input is coded if no network corrects it [B, S, bands + coefficients]."""
        return features[..., : self.config.bands + self.config.coefficients]

    # ---- which coefficients are coded

    def places(self, quantized: Tensor) -> Tensor:
        """quantized envelope [B, S, bands], S even -> int64 [B, S, coded]: the coefficients that are coded."""
        return self.order.forward(quantized, self.envelope_mean)

    def pack(self, latent: Tensor, quantized: Tensor) -> Tensor:
        """[B, S, bands + coefficients], quantized envelope [B, S, bands] -> what is coded [B, S, config.latent].

        The coefficients of `places`, weighted by their importance.
        """
        c = self.config
        weighted = latent[..., c.bands :] * self.importance[: c.coefficients]
        return torch.cat([latent[..., : c.bands], weighted.gather(-1, self.places(quantized))], -1)

    def unpack(self, latent: Tensor, quantized: Tensor) -> Tensor:
        """The inverse of `pack`; coefficients that were not coded are zero."""
        c = self.config
        empty = latent.new_zeros(*latent.shape[:2], c.coefficients)
        weighted = empty.scatter(-1, self.places(quantized), latent[..., c.bands :])
        return torch.cat([latent[..., : c.bands], weighted / self.importance[: c.coefficients]], -1)

    # ---- whole sequences, for training

    def quantize(self, samples: Tensor, n_q: Tensor, decay: float = 0.99) -> Analysis:
        """samples [B, (S + 1) * sub_frame], n_q [B] -> both parts, quantized: as a file would be, but in training."""
        with torch.no_grad(), torch.autocast(samples.device.type, enabled=False):
            frames = self.frames(samples.float())
            envelope = self.envelope(frames)
            coefficients = self.coefficients(frames)
        corrected = by_frame(self.envelope_net.correct(envelope, envelope))
        shape = quantized(self.envelope_quantizer, corrected, n_q, decay)
        with torch.no_grad(), torch.autocast(samples.device.type, enabled=False):
            coarse = by_sub_frame(shape.full)
            features = self.encoder_features(envelope, coarse, coefficients)
        latent = by_frame(self.pack(self.encoder_net.correct(self.analysed(features), features), coarse))
        fine = quantized(self.waveform_quantizer, latent, n_q - self.config.envelope_codebooks, decay)
        return Analysis(shape, fine, corrected.detach(), latent.detach())

    def decoder_features(self, latent: Tensor, envelope: Tensor) -> Tensor:
        """unpacked latent, envelope [B, S, bands] -> the decoder's input: remainders, envelope, coefficients."""
        bands = self.config.bands
        return torch.cat([latent[..., :bands], envelope, latent[..., bands:]], -1)

    def synthesize(self, latent: Tensor, envelope: Tensor, n_q: Tensor) -> Synthesis:
        """unpacked latent [B, S, bands + coefficients], envelope [B, S, bands], n_q [B, S] -> what is made of them."""
        x = self.decoder_in(self.decoder_features(latent, envelope)) + self.decoder_n_q(n_q)
        for block in self.decoder_net:
            x = block(x)
        return self.decoder_head(x, latent, envelope)

    def decoder_head(self, x: Tensor, latent: Tensor, envelope: Tensor) -> Synthesis:
        """x [B, S, dim] (after the blocks), the latent and the envelope that went in, S even."""
        bands = self.config.bands
        out, gain = self.decoder_out(x).float(), self.decoder_noise(x).float().clamp(-7, 2).exp()
        direct = latent[..., bands:] * self.decoder_direct
        flat = out[..., bands:] + F.pad(direct, (0, self.config.sub_frame - self.config.coefficients))
        waveform = flat * self.scale(self.amplitude(envelope))
        amplitude = self.amplitude(envelope + out[..., :bands])
        left = NOISE_SHARE * amplitude.square() - self.smoothed(waveform.square())
        return Synthesis(waveform, gain * left.clamp_min(1e-12).sqrt())

    def smoothed(self, power: Tensor) -> Tensor:
        """[B, S, sub_frame] -> the same, averaged over neighbouring coefficients (Hann window of 11)."""
        half, size = len(self.smooth) // 2, power.shape[2]
        wide = F.pad(power, (half - 1, half))  # the window is a periodic one: 0, then pairs of equal weight
        pairs = (wide[..., i : i + size] + wide[..., 2 * half - 1 - i :][..., :size] for i in range(half))
        sums = torch.zeros_like(power)
        for weight, pair in zip(self.smooth[1 : half + 1], pairs, strict=True):  # twice as fast as a convolution
            sums = torch.addcmul(sums, pair, weight)
        return sums

    def waveform(self, coefficients: Tensor) -> Tensor:
        """coefficients [B, S, sub_frame] -> samples [B, S * sub_frame], the first sub_frame of them not complete."""
        frames = self.transform.inverse(coefficients)
        return overlap_add(frames, frames.new_zeros(len(frames), self.config.sub_frame))[0]

    def noise(self, first: int, count: int, *, channel: int = 0) -> Tensor:
        """Noise [count, sub_frame] of a coded channel for sub-frames first .. first + count - 1.

        It repeats after `config.carrier` sub-frames; the second coded channel is half of that away from the first,
        the next two an eighth from these, and so on, so that none of eight has the noise of another.
        """
        length = len(self.decoder_carrier)
        begin = first + (channel % 2 * 4 + channel // 2) * length // 8
        return self.decoder_carrier[torch.arange(begin, begin + count, device=self.decoder_carrier.device) % length]
