"""The network: `Network`, which starts as a classical transform codec that training improves.

    encode   analyse -> envelope codebooks -> waveform_latent -> waveform codebooks
             band powers and MDCT coefficients; the coefficients flattened by the quantized envelope and the frame's
             level, the largest of them (so the envelope says) packed in falling order
    decode   dequantize -> synthesize -> noise added; `sound` is the inverse transform
             codes -> envelope and unpacked latent -> network -> coefficients, corrected envelope, noise gains

Shapes: B recordings or coded channels, S sub-frames, T frames (S = sub_frames * T), K codebooks.
The methods here work on whole sequences or on parts of them and keep no state; `encoder` and `decoder` keep it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvqcodec.models.rvq44.coders import Coder, Quantizers, Result
from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.envelope import Order, Prominence, by_frame, by_sub_frame
from rvqcodec.models.rvq44.layers import (
    MDCT,
    Block,
    band_matrix,
    exactly,
    overlap_add,
    position_noise,
    start_as_identity,
)
from rvqcodec.models.rvq44.quantize import LatentQuantizer

POWER_FLOOR = 1e-9  # of a coefficient: about -90 dB below full scale
FLAT_LIMIT = 160  # of a weighted coefficient, in flat_rms: an onset that the envelope missed must not explode
# How codes are searched: wider comes closer, at the price of speed (weights/MODEL_CARD.md, "What was tried").
ENVELOPE_WIDTH, WAVEFORM_WIDTH, WAVEFORM_AHEAD = 6, 4, 3

Blocks: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, ...]]
"""Takes x through the blocks, and latent, envelope and n_q around them; in a stream all of it comes out later."""


@dataclass(frozen=True)
class Encoded(Generic[Result]):
    """What the coders made of the latents of one window, and the latents [B, T, ...] themselves."""

    envelope: Result
    waveform: Result
    envelope_latent: Tensor
    waveform_latent: Tensor

    @property
    def codes(self) -> Tensor:
        """int64 [B, K, T], the envelope's codebooks first."""
        return torch.cat([self.envelope.codes, self.waveform.codes], 1)


@dataclass(frozen=True)
class Synthesis:
    """What the decoder network says of S sub-frames, before the inverse transform.

    coefficients, noise_amplitude [B, S, sub_frame]; n_q [B, S]: codebooks that were in use.
    """

    coefficients: Tensor
    noise_amplitude: Tensor
    n_q: Tensor


class Network(nn.Module):
    """Analysis, codebooks and decoder of one Config."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        c = config
        if c.decoder_blocks * c.block_future % c.frame_sub_frames:
            raise ValueError(f"{c.decoder_blocks} blocks: the decoder must lag by whole frames")
        if not 0 < c.envelope_codebooks <= c.max_n_q:
            raise ValueError(f"{c.envelope_codebooks} envelope codebooks of {c.max_n_q}")
        # what codes mean: with the codebooks, the bitstream
        self.envelope_mean: Tensor
        self.register_buffer("envelope_mean", torch.zeros(c.bands))
        both = c.frame_sub_frames * c.bands
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
            latent=c.frame_sub_frames * c.latent_dim,
            size=c.codebook_size,
            dims=[c.wide_dim if k < c.wide_codebooks else c.codebook_dim for k in range(fine)],
            width=WAVEFORM_WIDTH,
            ahead=WAVEFORM_AHEAD,
        )
        # the decoder (config.DECODER has these names)
        self.decoder_in = nn.Linear(c.coefficients + 2 * c.bands, c.dim)
        self.decoder_direct = nn.Parameter(torch.ones(c.coefficients))  # gain of the way around the network
        self.decoder_n_q = nn.Embedding(c.max_n_q + 1, c.dim)
        self.decoder_net = nn.ModuleList(
            Block(dim=c.dim, expansion=c.expansion, past=c.block_past, future=c.block_future)
            for _ in range(c.decoder_blocks)
        )
        self.decoder_out = nn.Linear(c.dim, c.bands + c.sub_frame)
        self.decoder_noise = nn.Linear(c.dim, c.sub_frame)
        self.decoder_carrier: Tensor
        self.register_buffer("decoder_carrier", position_noise(c.carrier_length, c.sub_frame).sign())
        # fixed tables
        self.transform = MDCT(c.sub_frame)
        frequency = (torch.arange(c.sub_frame) + 0.5) * c.sample_rate / 2 / c.sub_frame
        smooth = torch.hann_window(c.smooth_window)
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
        self.register_buffer("importance", 1 / (1 + frequency / c.importance_hz), persistent=False)
        self.order = Order(c, band_weights=self.band_weights, importance=self.importance)
        self._start_as_classical_codec(frequency)

    @property
    def quantizers(self) -> Quantizers:
        """Of the envelope and of the waveform."""
        return self.envelope_quantizer, self.waveform_quantizer

    @property
    def device(self) -> torch.device:
        return self.envelope_mean.device

    def _start_as_classical_codec(self, frequency: Tensor) -> None:
        """The latent unchanged, zero corrections, noise gain 0.7 above 1 kHz (design: "The start decides")."""
        start_as_identity(self.decoder_in.weight, min(self.decoder_in.weight.shape))
        start_as_identity(self.decoder_out.weight, self.config.bands)
        for layer in (self.decoder_in.bias, self.decoder_out.bias, self.decoder_n_q.weight, self.decoder_noise.weight):
            nn.init.zeros_(layer)
        with torch.no_grad():
            gain = math.log(0.7) + F.logsigmoid((frequency - 1000) / 250)
            self.decoder_noise.bias.copy_(gain.clamp_min(-4))

    # ---- encode

    def encode(self, windows: Sequence[Tensor], coder: Coder[Result]) -> list[Encoded[Result]]:
        """Windows of samples [B, (S + 1) * sub_frame] -> what `coder` makes of each; S is a whole number of frames.

        The windows are analysed one by one; the coder gets them together, because a search is faster on many.
        """
        size = self.config.frame_sub_frames
        analysed = [self.analyse(window) for window in windows]
        envelopes = [by_frame(envelope, size) for envelope, _ in analysed]
        shapes = coder.envelope(envelopes)
        latents = [
            by_frame(self.waveform_latent(envelope, by_sub_frame(shape.full, size), coefficients), size)
            for shape, (envelope, coefficients) in zip(shapes, analysed, strict=True)
        ]
        details = coder.waveform(latents)
        return [Encoded(*parts) for parts in zip(shapes, details, envelopes, latents, strict=True)]

    def analyse(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """samples [B, (S + 1) * sub_frame] -> envelope [B, S, bands], MDCT coefficients [B, S, coefficients]."""
        with exactly(samples.device):
            spans = self.spans(samples.float())
            return self.envelope(spans), self.transform(spans, self.config.coefficients)

    def waveform_latent(self, envelope: Tensor, quantized: Tensor, coefficients: Tensor) -> Tensor:
        """envelope, quantized envelope [B, S, bands], coefficients [B, S, coefficients] -> [B, S, latent_dim].

        What the quantized envelope leaves over of the envelope, and the flattened coefficients that are coded.
        """
        with exactly(envelope.device):
            importance = self.importance[: coefficients.shape[2]]
            limit = FLAT_LIMIT * self.config.flat_rms / importance
            worth = self.scale(self.amplitude(quantized))[..., : coefficients.shape[2]]
            flat = (coefficients / worth).clamp(-limit, limit)
            return self.pack(torch.cat([envelope - quantized, flat], -1), quantized)

    def spans(self, samples: Tensor) -> Tensor:
        """samples [B, (S + 1) * sub_frame] -> overlapping spans of two sub-frames [B, S, 2 * sub_frame]."""
        return samples.unfold(-1, 2 * self.config.sub_frame, self.config.sub_frame)

    def envelope(self, spans: Tensor) -> Tensor:
        """spans [B, S, 2 * sub_frame] -> log amplitude per band [B, S, bands], centred and scaled."""
        bins = torch.fft.rfft(spans * self.window)
        spectrum = bins.real.square() + bins.imag.square()
        power = (spectrum[..., :-1] + spectrum[..., 1:]) * (0.667 / self.config.sub_frame)
        bands = (power @ self.band_weights) / self.band_weights.sum(0)
        return self.config.envelope_scale * (0.5 * torch.log(bands + POWER_FLOOR) - self.envelope_mean)

    # ---- what encoder and decoder have in common

    def amplitude(self, envelope: Tensor) -> Tensor:
        """envelope [B, S, bands] -> amplitude per coefficient [B, S, sub_frame]."""
        c = self.config
        log = envelope.float() / c.envelope_scale + self.envelope_mean
        return torch.exp(log.clamp(c.log_amplitude_least, c.log_amplitude_most) @ self.band_weights.t())

    def scale(self, amplitude: Tensor) -> Tensor:
        """amplitude [B, S, sub_frame] -> what a flattened coefficient of 1 is worth [B, S, sub_frame].

        A^(1-p) times the frame's level: the level makes the waveform codebooks serve loud and quiet alike.
        """
        c = self.config
        weights = self.importance[: c.coefficients].square()
        power = amplitude[..., : c.coefficients].pow(2 * c.flatten_exponent) * weights
        count = c.frame_sub_frames * c.coded_coefficients
        level = (by_frame(power, c.frame_sub_frames).sum(-1) / count).sqrt() + c.level_floor
        worth = (level.pow(c.level_exponent) / c.flat_rms).repeat_interleave(c.frame_sub_frames, 1)
        return amplitude.pow(1 - c.flatten_exponent) * worth[..., None]

    def places(self, quantized: Tensor) -> Tensor:
        """quantized envelope [B, S, bands] -> int64 [B, S, coded_coefficients]: which coefficients are coded."""
        return self.order.forward(quantized, self.envelope_mean)

    def pack(self, latent: Tensor, quantized: Tensor) -> Tensor:
        """[B, S, bands + coefficients], quantized envelope [B, S, bands] -> what is coded [B, S, latent_dim].

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

    # ---- decode

    def decode(self, codes: Tensor, n_q: Tensor, first: int, blocks: Blocks | None = None) -> Tensor:
        """codes int64 [B, K, T], n_q int64 [B, T] -> MDCT coefficients [B, S, sub_frame], noise added.

        first: where the first sub-frame that comes out stands in the recording, for the noise; item b of the batch is
        coded channel b. blocks: what takes a stream through the blocks (None: all of it is here).
        """
        latent, envelope = self.dequantize(codes, n_q)
        made = self.synthesize(latent, envelope, n_q.repeat_interleave(self.config.frame_sub_frames, 1), blocks)
        count = made.coefficients.shape[1]
        noise = torch.stack([self.noise(first, count, channel=i) for i in range(len(codes))])
        return (made.coefficients + made.noise_amplitude * noise) * (made.n_q > 0)[..., None]

    def dequantize(self, codes: Tensor, n_q: Tensor) -> tuple[Tensor, Tensor]:
        """codes [B, K, T], n_q [B, T] -> unpacked latent [B, S, bands + coefficients], envelope [B, S, bands]."""
        split, size = self.config.envelope_codebooks, self.config.frame_sub_frames
        envelope = by_sub_frame(self.envelope_quantizer.decode(codes[:, :split], n_q), size)
        packed = self.waveform_quantizer.decode(codes[:, split:], n_q - split)
        return self.unpack(by_sub_frame(packed, size), envelope), envelope

    def synthesize(self, latent: Tensor, envelope: Tensor, n_q: Tensor, blocks: Blocks | None = None) -> Synthesis:
        """unpacked latent [B, S, bands + coefficients], envelope [B, S, bands], n_q [B, S] -> what is made of them."""
        c = self.config
        x = torch.cat([latent[..., : c.bands], envelope, latent[..., c.bands :]], -1)
        x = self.decoder_in(x) + self.decoder_n_q(n_q)
        x, latent, envelope, n_q = (blocks or self.all_blocks)(x, latent, envelope, n_q)
        out, gain = self.decoder_out(x).float(), self.decoder_noise(x).float().clamp(-7, 2).exp()
        direct = latent[..., c.bands :] * self.decoder_direct
        flat = out[..., c.bands :] + F.pad(direct, (0, c.sub_frame - c.coefficients))
        coefficients = flat * self.scale(self.amplitude(envelope))
        amplitude = self.amplitude(envelope + out[..., : c.bands])
        left = c.noise_share * amplitude.square() - self.smoothed(coefficients.square())
        return Synthesis(coefficients, gain * left.clamp_min(1e-12).sqrt(), n_q)

    def all_blocks(self, x: Tensor, *around: Tensor) -> tuple[Tensor, ...]:
        """x [B, S, dim] through the blocks, silence before and after it; the rest as it is."""
        for block in self.decoder_net:
            x = block(x)
        return x, *around

    def smoothed(self, power: Tensor) -> Tensor:
        """[B, S, sub_frame] -> the same, averaged over neighbouring coefficients (Hann window)."""
        half, size = len(self.smooth) // 2, power.shape[2]
        wide = F.pad(power, (half - 1, half))  # the window is a periodic one: 0, then pairs of equal weight
        pairs = (wide[..., i : i + size] + wide[..., 2 * half - 1 - i :][..., :size] for i in range(half))
        sums = torch.zeros_like(power)
        for weight, pair in zip(self.smooth[1 : half + 1], pairs, strict=True):  # twice as fast as a convolution
            sums = torch.addcmul(sums, pair, weight)
        return sums

    def sound(self, coefficients: Tensor) -> Tensor:
        """coefficients [B, S, sub_frame] -> samples [B, S * sub_frame], the first sub_frame of them not complete."""
        spans = self.transform.inverse(coefficients)
        return overlap_add(spans, spans.new_zeros(len(spans), self.config.sub_frame))[0]

    def noise(self, first: int, count: int, *, channel: int = 0) -> Tensor:
        """Noise [count, sub_frame] of a coded channel for sub-frames first .. first + count - 1.

        It repeats after `config.carrier_length` sub-frames; the second coded channel is half of that away from the
        first, the next two an eighth from these, and so on, so that none of eight has the noise of another.
        """
        length = len(self.decoder_carrier)
        begin = first + (channel % 2 * 4 + channel // 2) * length // 8
        return self.decoder_carrier[torch.arange(begin, begin + count, device=self.decoder_carrier.device) % length]
