"""What passes between the network's stages: `Shape`, `Encoded`, `Dequantized`, `Synthesis`.

Shapes: B recordings or coded channels, S sub-frames, T frames, K codebooks.
"""

from dataclasses import dataclass
from typing import Generic

from torch import Tensor

from rvqcodec.models.rvq44.network.coders import Result


@dataclass(frozen=True)
class Shape(Generic[Result]):
    """One window as far as it is known without its waveform codes.

    envelope: its codes; latent [B, T, bands]: what they stand for, unquantized; quantized [B, S, bands];
    waveform_latent [B, T, ...]: what the waveform codebooks quantize; coefficients [B, 1 + S, coefficients]: MDCT, with
    the sub-frame before.
    """

    envelope: Result
    latent: Tensor
    quantized: Tensor
    waveform_latent: Tensor
    coefficients: Tensor


@dataclass(frozen=True)
class Encoded(Generic[Result]):
    """What a whole recording became. onsets bool [B, T]: frames that have a code onset_codes int64 [B, T]."""

    shape: Shape[Result]
    waveform: Result
    onsets: Tensor
    onset_codes: Tensor


@dataclass(frozen=True)
class Dequantized:
    """What codes stand for.

    latent [B, S, bands + coefficients], unpacked; envelope [B, S, bands]; onset [B, T]: the code and 1, or 0 where
    there is none; levels [B, S]: by which onsets are found.
    """

    latent: Tensor
    envelope: Tensor
    onset: Tensor
    levels: Tensor


@dataclass(frozen=True)
class Synthesis:
    """What the decoder network says of S sub-frames, before the inverse transform.

    coefficients, noise_amplitude [B, S, sub_frame]; envelope [B, S, bands]; n_q [B, S]: codebooks that were in use;
    onset [B, S]: code of the frame's onset and 1, or 0. Of a pair, all but the coefficients are of the main channel.
    """

    coefficients: Tensor
    noise_amplitude: Tensor
    envelope: Tensor
    n_q: Tensor
    onset: Tensor
