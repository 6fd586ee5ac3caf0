"""The network: `Network`, which starts as a classical transform codec that training improves.

    encode   analyse -> envelope codebooks -> onsets, waveform latents -> waveform codebooks
             band powers and MDCT coefficients; the coefficients flattened by the quantized envelope and the frame's
             level, the largest of them (so the envelope says) packed in falling order
    decode   dequantize -> synthesize -> noise added -> sound
             codes -> envelope, onsets and unpacked latent -> network -> coefficients, corrected envelope, noise gains;
             then the inverse transform, and the treble of frames with onsets shaped

Shapes: B recordings or coded channels, S sub-frames, T frames (S = sub_frames * T), K codebooks.
The methods here work on whole sequences or on parts of them and keep no state; `encoder` and `decoder` keep it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvqcodec.models.rvq44 import tables
from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.engine import ENVELOPE_WIDTH, WAVEFORM_AHEAD, WAVEFORM_WIDTH
from rvqcodec.models.rvq44.network.coders import Coder, Quantizers, Result
from rvqcodec.models.rvq44.network.envelope import Emphasis, Order, by_frame, by_sub_frame
from rvqcodec.models.rvq44.network.layers import (
    MDCT,
    Block,
    exactly,
    means,
    overlap_add,
    start_as_identity,
)
from rvqcodec.models.rvq44.network.missing import Missing
from rvqcodec.models.rvq44.network.onset import Onsets
from rvqcodec.models.rvq44.network.parts import Dequantized, Encoded, Shape, Synthesis
from rvqcodec.models.rvq44.network.quantize import LatentQuantizer

Blocks: TypeAlias = Callable[..., tuple[Tensor, ...]]
"""Takes x through the blocks, and whatever else it is given around them; in a stream all of it comes out later."""


class Network(nn.Module):
    """Analysis, codebooks and decoder of one Config."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        c, made = config, tables.of(config)
        made.check()
        # what codes mean: with the codebooks, the bitstream
        self.envelope_mean: Tensor
        self.register_buffer("envelope_mean", torch.zeros(c.bands))
        self.emphasis = Emphasis(c)
        self.onset = Onsets(c)
        self.stereo_table: Tensor
        self.register_buffer("stereo_table", torch.zeros(c.codebook_size, 2 * c.bands))
        self.envelope_quantizer = LatentQuantizer(
            latent=c.frame_sub_frames * c.bands,
            size=c.codebook_size,
            dims=c.envelope_dims,
            width=ENVELOPE_WIDTH,
            ahead=c.envelope_codebooks,
            weigh=self._emphasis,
        )
        self.waveform_quantizer = LatentQuantizer(
            latent=c.frame_sub_frames * c.latent_dim,
            size=c.codebook_size,
            dims=c.waveform_dims,
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
        self.decoder_out = nn.Linear(c.dim, c.bands + c.coefficients, bias=False)
        self.decoder_noise = nn.Linear(c.dim, c.sub_frame)
        self.decoder_carrier: Tensor
        noise = torch.from_numpy(tables.position_noise(c.carrier_length, c.sub_frame))
        self.register_buffer("decoder_carrier", noise.sign())
        # fixed tables
        self.transform = MDCT(c.sub_frame)
        self.band_weights: Tensor
        self.window: Tensor
        self.importance: Tensor
        self.audible: Tensor
        self.noise_gains: Tensor
        self.noise_first: Tensor
        self.noise_end: Tensor
        for name, table in (
            ("band_weights", made.band_weights),
            ("window", made.analysis_window),
            ("importance", made.importance),
            ("audible", made.audible),
            ("noise_gains", made.noise_gains),
            *zip(("noise_first", "noise_end"), made.noise_spans, strict=True),
        ):
            self.register_buffer(name, torch.from_numpy(table).clone(), persistent=False)
        self.order = Order(c)
        self.missing = Missing(c)
        start_as_classical_codec(self)

    @property
    def quantizers(self) -> Quantizers:
        """Of the envelope and of the waveform."""
        return self.envelope_quantizer, self.waveform_quantizer

    @property
    def device(self) -> torch.device:
        return self.envelope_mean.device

    # ---- encode

    def encode(self, recordings: Sequence[Tensor], coder: Coder[Result]) -> list[Encoded[Result]]:
        """Whole recordings [B, (S + 2) * sub_frame], two sub-frames before the first included -> what they become."""
        shapes = self.shapes(recordings, coder)
        onsets = [self.onset.flags(self.levels(shape.envelope.codes)) for shape in shapes]
        details = coder.waveform([shape.waveform_latent for shape in shapes], onsets)
        return [
            Encoded(shape, detail, flags, self.onset_codes(shape, flags))
            for shape, detail, flags in zip(shapes, details, onsets, strict=True)
        ]

    def shapes(self, windows: Sequence[Tensor], coder: Coder[Result]) -> list[Shape[Result]]:
        """Windows of samples [B, (S + 2) * sub_frame] -> what `coder` makes of their envelopes, and what follows.

        A window begins two sub-frames before the first of its S, a whole number of frames. Windows are analysed one by
        one; the coder gets them together, because a search is faster on many.
        """
        size = self.config.frame_sub_frames
        analysed = [self.analyse(window) for window in windows]
        envelopes = [by_frame(envelope, size) for envelope, _ in analysed]
        made = []
        for coded, latent, (envelope, coefficients) in zip(coder.envelope(envelopes), envelopes, analysed, strict=True):
            quantized = by_sub_frame(coded.full, size)
            waveform = by_frame(self.waveform_latent(envelope, quantized, coefficients[:, 1:]), size)
            made.append(Shape(coded, latent, quantized, waveform, coefficients))
        return made

    def analyse(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """samples [B, (S + 2) * sub_frame] -> envelope [B, S, bands], MDCT coefficients [B, 1 + S, coefficients]."""
        with exactly(samples.device):
            spans = self.spans(samples.float())
            return self.envelope(spans[:, 1:]), self.transform(spans, self.config.coefficients)

    def levels(self, codes: Tensor, n_q: Tensor | None = None) -> Tensor:
        """Envelope codes [B, K, T] and how many of them count [B, T] (None: all) -> treble level [B, S].

        From the codes that every frame has, so that it does not depend on the bitrate; unknown for a frame without.
        """
        count, size = self.config.base_codebooks, self.config.frame_sub_frames
        n_q = torch.full((len(codes), codes.shape[2]), count, device=codes.device) if n_q is None else n_q
        with exactly(codes.device):
            level = self.onset.level(by_sub_frame(self.envelope_quantizer.decode(codes[:, :count], n_q), size))
        return level.masked_fill((n_q < count).repeat_interleave(size, 1), torch.inf)

    def onset_codes(self, shape: Shape[Result], onsets: Tensor) -> Tensor:
        """Codes of the onsets of a window, bool [B, T] -> int64 [B, T], 0 where there is none."""
        with exactly(onsets.device):
            powers = self.onset.powers(self.inverse(self.onset.treble(shape.coefficients)))
            reference = self.onset.reference(self.amplitude(shape.quantized))
            return self.onset.encode(self.onset.shape(powers, reference)) * onsets

    def waveform_latent(self, envelope: Tensor, quantized: Tensor, coefficients: Tensor) -> Tensor:
        """envelope, quantized envelope [B, S, bands], coefficients [B, S, coefficients] -> [B, S, latent_dim].

        What the quantized envelope leaves over of the envelope, and the flattened coefficients that are coded.
        """
        with exactly(envelope.device):
            importance = self.importance[: coefficients.shape[2]]
            limit = tables.FLAT_LIMIT * self.config.flat_rms / importance
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
        return self.config.envelope_scale * (0.5 * torch.log(bands + tables.POWER_FLOOR) - self.envelope_mean)

    def _emphasis(self, latent: Tensor) -> Tensor:
        return self.emphasis(latent, self.envelope_mean)

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
        worth = (self.frame_level(amplitude).pow(c.level_exponent) / c.flat_rms).repeat_interleave(
            c.frame_sub_frames, 1
        )
        return amplitude.pow(1 - c.flatten_exponent) * worth[..., None]

    def frame_level(self, amplitude: Tensor) -> Tensor:
        """amplitude [B, S, sub_frame] -> level of frames [B, T], by which their coefficients are divided."""
        c = self.config
        weights = self.importance[: c.coefficients].square()
        power = amplitude[..., : c.coefficients].pow(2 * c.flatten_exponent) * weights
        count = c.frame_sub_frames * c.coded_coefficients
        return (by_frame(power, c.frame_sub_frames).sum(-1) / count).sqrt() + c.level_floor

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

    def decode(self, parts: Dequantized, n_q: Tensor, first: int, blocks: Blocks | None = None) -> Synthesis:
        """What `dequantize` gave, n_q int64 [B, T] -> MDCT coefficients, noise added.

        first: where the first sub-frame that comes out stands in the recording, for the noise; item b of the batch is
        coded channel b. blocks: what takes a stream through the blocks (None: all of it is here).
        """
        made = self.synthesize(parts.latent, parts.envelope, n_q, parts.onset, blocks)
        count = made.coefficients.shape[1]
        noise = torch.stack([self.noise(first, count, channel=i) for i in range(len(n_q))])
        coefficients = (made.coefficients + made.noise_amplitude * noise) * (made.n_q > 0)[..., None]
        return replace(made, coefficients=coefficients)

    def dequantize(self, codes: Tensor, n_q: Tensor, before: Tensor | None = None) -> Dequantized:
        """codes [B, K, T], n_q [B, T] -> what they stand for. before: levels of the two sub-frames before [B, 2]."""
        split, size = self.config.envelope_codebooks, self.config.frame_sub_frames
        envelope = by_sub_frame(self.envelope_quantizer.decode(codes[:, :split], n_q), size)
        rest = codes[:, split:]
        levels = self.levels(codes, n_q)
        onsets = self.onset.flags(levels, before) & (n_q > split)
        onset = torch.where(onsets, rest[:, 0] + 1, 0) if rest.shape[1] else torch.zeros_like(n_q)
        details = torch.where(onsets[:, None], F.pad(rest[:, 1:], (0, 0, 0, 1)), rest) if rest.shape[1] else rest
        packed = self.waveform_quantizer.decode(details, n_q - split - onsets.long())
        return Dequantized(self.unpack(by_sub_frame(packed, size), envelope), envelope, onset, levels)

    def synthesize(
        self, latent: Tensor, envelope: Tensor, n_q: Tensor, onset: Tensor, blocks: Blocks | None = None
    ) -> Synthesis:
        """Unpacked latent [B, S, bands + coefficients], envelope [B, S, bands], n_q, onset [B, T] -> their sound."""
        c = self.config
        n_q, onset = (x.repeat_interleave(c.frame_sub_frames, 1) for x in (n_q, onset))
        x = torch.cat([latent[..., : c.bands], envelope, latent[..., c.bands :]], -1)
        x = self.decoder_in(x) + self.decoder_n_q(n_q)
        x, latent, envelope, n_q, onset = (blocks or self.all_blocks)(x, latent, envelope, n_q, onset)
        out = self.decoder_out(x).float()
        steps = means(self.decoder_noise(x).float(), self.noise_first, self.noise_end).sigmoid()
        with torch.autocast(x.device.type, enabled=False):  # levels need float32
            coded, envelope = latent[..., c.bands :].float(), envelope.float()
            # Only what was coded: elsewhere the network would put lines that do not move, a comb in place of noise.
            flat = (out[..., c.bands :] + coded * self.decoder_direct) * (coded != 0)
            coefficients = F.pad(flat, (0, c.sub_frame - c.coefficients)) * self.scale(self.amplitude(envelope))
            largest = tables.LARGEST_CORRECTION
            correction = largest * torch.tanh(out[..., : c.bands] / largest)
            amplitude = self.amplitude(envelope + correction)
            low, high = self.noise_gains
            gain = (low + (high - low) * steps).exp() * self.audible
            missing = self.missing(amplitude.square(), coefficients.square())
        return Synthesis(coefficients, gain * (missing + 1e-14).sqrt(), envelope, n_q, onset)

    def all_blocks(self, x: Tensor, *around: Tensor) -> tuple[Tensor, ...]:
        """x [B, S, dim] through the blocks, silence before and after it; the rest as it is."""
        for block in self.decoder_net:
            x = block(x)
        return x, *around

    def inverse(self, coefficients: Tensor) -> Tensor:
        """MDCT coefficients [B, 1 + S, sub_frame], with the sub-frame before -> samples [B, S * sub_frame]."""
        spans = self.transform.inverse(coefficients)
        return overlap_add(spans[:, 1:], spans[:, 0, self.config.sub_frame :])[0]

    def sound(self, made: Synthesis, before: Tensor | None = None) -> Tensor:
        """Decoded sub-frames -> samples [B, S * sub_frame].

        before: coefficients [B, 1, sub_frame] of the sub-frame before; without them the first sub_frame samples are not
        complete.
        """
        coefficients = self._after(before, made)
        onset = made.onset[:, :: self.config.frame_sub_frames]
        reference = self.onset.reference(self.amplitude(made.envelope))
        treble = self.inverse(self.onset.treble(coefficients))
        return self.onset.shaped(self.inverse(coefficients), treble, onset, reference)

    def sound_without_onsets(self, made: Synthesis, before: Tensor | None = None) -> Tensor:
        """As `sound`, at half the cost, where there are no onsets or they are not to be heard."""
        return self.inverse(self._after(before, made))

    def _after(self, before: Tensor | None, made: Synthesis) -> Tensor:
        """Coefficients [B, 1 + S, sub_frame], with those of the sub-frame before (None: silence)."""
        before = torch.zeros_like(made.coefficients[:, :1]) if before is None else before
        return torch.cat([before, made.coefficients], 1)

    def noise(self, first: int, count: int, *, channel: int = 0) -> Tensor:
        """Noise [count, sub_frame] of a coded channel for sub-frames first .. first + count - 1.

        It repeats after `config.carrier_length` sub-frames; the second coded channel is half of that away from the
        first, the next two an eighth from these, and so on, so that none of eight has the noise of another.
        """
        length = len(self.decoder_carrier)
        begin = first + (channel % 2 * 4 + channel // 2) * length // 8
        return self.decoder_carrier[torch.arange(begin, begin + count, device=self.decoder_carrier.device) % length]


@torch.no_grad()
def start_as_classical_codec(network: Network) -> None:
    """The latent unchanged, zero corrections, noise gain 0.9 above 1 kHz (design: "The start decides")."""
    start_as_identity(network.decoder_in.weight, min(network.decoder_in.weight.shape))
    start_as_identity(network.decoder_out.weight, network.config.bands)
    for layer in (network.decoder_in.bias, network.decoder_n_q.weight, network.decoder_noise.weight):
        nn.init.zeros_(layer)
    frequency = torch.from_numpy(tables.of(network.config).frequency)
    gain = (math.log(0.9) + F.logsigmoid((frequency - 1000) / 250)).clamp_min(-4)
    low, high = network.noise_gains
    network.decoder_noise.bias.copy_(((gain - low) / (high - low)).clamp(0.01, 0.99).logit())
