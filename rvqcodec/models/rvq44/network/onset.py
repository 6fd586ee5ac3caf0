"""Onsets in torch, as `onsets` has them in numpy: which frames, their codes, shaping of decoded treble."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.network.envelope import by_frame
from rvqcodec.models.rvq44.onsets import BEGIN, FIRST, GAINS, LEAST, LOUDEST, LOUDNESS, QUIETEST, RAMP, STEEP


class Onsets(nn.Module):
    """Finds frames with onsets, and their codes; shapes the treble of decoded frames. Part of what codes mean."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        c = config
        assert c.hop % c.onset_slots == 0, "slots must fill a frame"
        self.entries: Tensor
        self.register_buffer("entries", torch.zeros(c.codebook_size, c.onset_slots))  # dB / 10
        self.config = c

    def level(self, coarse: Tensor) -> Tensor:
        """coarse envelope [B, S, bands], quantized by the codebooks that all frames have -> treble level [B, S].

        A sum of logarithms in multiples of envelope_step: exact, so that every machine finds the same frames.
        """
        return (coarse[..., self.config.onset_band :].double() / self.config.envelope_step).round().sum(-1)

    def flags(self, levels: Tensor, before: Tensor | None = None) -> Tensor:
        """levels [B, S] of the sub-frames of whole frames, and of the two before [B, 2] -> bool [B, T]: with onsets.

        Levels that nobody knows are infinite, for nothing jumps from there. before: None at the start of a stream.
        """
        c = self.config
        before = torch.full_like(levels[:, :2], torch.inf) if before is None else before
        levels = torch.cat([before, levels], 1)
        rise = c.onset_rise / 8.686 * c.envelope_scale / c.envelope_step * (c.bands - c.onset_band)
        jump = levels[:, 2:] - torch.minimum(levels[:, 1:-1], levels[:, :-2]) > rise
        return by_frame(jump[..., None], c.frame_sub_frames).any(-1)

    def reference(self, amplitude: Tensor) -> Tensor:
        """amplitude [B, S, sub_frame], S even -> treble power per sample of each frame's louder window [B, S / 2]."""
        c = self.config
        power = amplitude[..., c.onset_coefficient :].square().sum(-1, keepdim=True) / c.sub_frame
        return by_frame(power, c.frame_sub_frames).amax(-1)

    def treble(self, coefficients: Tensor) -> Tensor:
        """MDCT coefficients [B, S, F] -> those that are shaped, the others zero [B, S, sub_frame]."""
        c = self.config
        kept = coefficients[..., c.onset_coefficient :]
        return F.pad(kept, (c.onset_coefficient, c.sub_frame - coefficients.shape[2]))

    def powers(self, treble: Tensor) -> Tensor:
        """treble [B, T * hop] samples -> mean power in slots [B, T, slots]."""
        c = self.config
        frames = treble.shape[1] // c.hop
        return treble.reshape(len(treble), frames, c.onset_slots, c.hop // c.onset_slots).square().mean(-1)

    def shape(self, powers: Tensor, reference: Tensor) -> Tensor:
        """powers [B, T, slots], reference [B, T] -> what is coded [B, T, slots], dB / 10."""
        ratio = (powers + 1e-12) / (reference[..., None] + 1e-12)
        return torch.log10(ratio).clamp(QUIETEST / 10, LOUDEST / 10)

    def heard(self, shape: Tensor) -> "Heard":
        """What counts in the choice of a code for shape [n, slots]: loud slots, silence before them, the first 5 ms."""
        highest = shape.amax(1, keepdim=True)
        weight = 10 ** (STEEP * (shape - highest)) + LEAST
        begin = (shape > highest - BEGIN).int().argmax(1)
        end = (begin + FIRST).clamp_max(shape.shape[1])
        return Heard(weight, begin, end, _between(shape, begin, end))

    def encode(self, shape: Tensor) -> Tensor:
        """shape [..., slots] -> codes int64 [...]."""
        rows = shape.flatten(0, -2)
        heard = self.heard(rows)
        errors = heard.weight @ self.entries.square().t() - 2 * (heard.weight * rows) @ self.entries.t()
        found = (errors + LOUDNESS * heard.louder_all(self.entries).square()).argmin(1)
        return found.view(shape.shape[:-1])

    def gains(self, codes: Tensor, reference: Tensor, treble: Tensor) -> Tensor:
        """codes int64 [n], reference [n], treble [n, hop] as decoded -> gain of each sample [n, hop]."""
        c = self.config
        wanted = reference[:, None] * 10 ** F.embedding(codes, self.entries)
        made = F.pad(self.powers(treble)[:, 0], (1, 1), mode="replicate")
        smooth = 0.25 * made[:, :-2] + 0.5 * made[:, 1:-1] + 0.25 * made[:, 2:]
        gain = (wanted / (smooth + 1e-12)).sqrt().clamp(*GAINS)
        steps = F.pad(gain.repeat_interleave(c.hop // c.onset_slots, 1), (RAMP // 2, RAMP // 2), mode="replicate")
        return F.avg_pool1d(steps[:, None], RAMP, 1)[:, 0]

    def shaped(self, samples: Tensor, treble: Tensor, onset: Tensor, reference: Tensor) -> Tensor:
        """Samples and their treble [C, T * hop]; onset (code and 1, or 0), reference [B, T] -> samples, shaped.

        B is C, or 1: then the gains of the first channel are those of all.
        """
        hop = self.config.hop
        high = treble.unflatten(1, (-1, hop))
        with torch.no_grad():
            led = high[: len(onset)].flatten(0, 1)
            gains = self.gains((onset - 1).clamp_min(0).flatten(), reference.flatten(), led)
            change = ((gains - 1) * (onset > 0).view(-1, 1)).view(*onset.shape, hop)
        shaped: Tensor = samples + (change * high).flatten(1)
        return shaped


@dataclass(frozen=True)
class Heard:
    """Of shapes: weights of slots [n, slots]; where the first 5 ms begin and end, and their power, dB / 10 [n]."""

    weight: Tensor
    begin: Tensor
    end: Tensor
    power: Tensor

    def louder(self, other: Tensor) -> Tensor:
        """By how much the first 5 ms of other [n, slots] are louder than those of the shapes [n], dB / 10."""
        return _between(other, self.begin, self.end) - self.power

    def louder_all(self, entries: Tensor) -> Tensor:
        """The same for every shape and every entry [K, slots]: [n, K]."""
        sums = _sums(entries).t()
        return (sums[self.end] - sums[self.begin]).log10() - self.power[:, None]


def _between(shape: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """Power of slots begin .. end - 1 [n] of shape [n, slots]: [n], dB / 10."""
    sums = _sums(shape)
    return (sums.gather(1, end[:, None]) - sums.gather(1, begin[:, None]))[:, 0].log10()


def _sums(shape: Tensor) -> Tensor:
    """shape [n, slots] -> power of all slots before each, and of all [n, slots + 1]."""
    return F.pad((10 ** shape.double()).cumsum(1), (1, 0))
