"""A network small enough for tests: every weight is random and in use, so that nothing is an identity by chance."""

import functools
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rvqcodec.models.rvq44.config import NEW, Config
from rvqcodec.models.rvq44.cpu.engine import NumpyEngine
from rvqcodec.models.rvq44.family import Rvq44
from rvqcodec.models.rvq44.network import Network
from rvqcodec.models.rvq44.network.coders import Found, Searched, Trained
from rvqcodec.models.rvq44.network.layers import Block
from rvqcodec.models.rvq44.network.parts import Encoded
from rvqcodec.models.rvq44.network.quantize import Quantized
from rvqcodec.training.onset_shapes import made_attacks, shapes_in

CONFIG = replace(
    NEW,
    bands=8,
    coefficients=32,
    coded_coefficients=16,
    block_size=4,
    dim=32,
    expansion=2,
    decoder_blocks=2,
    envelope_codebooks=4,
    onset_band=3,
    onset_coefficient=8,
    max_n_q=8,
    codebook_size=16,
    codebook_dim=8,
    wide_codebooks=1,
    wide_dim=12,
    carrier_length=32,
)


def make(seed: int = 0, config: Config = CONFIG) -> Network:
    """A network of its own, ready to run; the same seed gives the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Network(config)
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0, 0.5 / module.weight.shape[1] ** 0.5)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
            if isinstance(module, Block):
                nn.init.normal_(module.kernel, 0, 0.5)
                nn.init.ones_(module.scale)
        network.envelope_mean.fill_(-3.0)
        set_codebooks(network.eval())
    return network.eval().requires_grad_(False)


@torch.no_grad()
def set_codebooks(network: Network) -> None:
    """Entries are encodings of some sound, so that all of them are chosen; shapes of onsets are those of attacks."""
    config = network.config
    x = torch.from_numpy(sound(402 * config.sub_frame, seed=99))
    for quantizer in network.quantizers:
        shape = quantized(network, x, config.max_n_q).shape
        latent = shape.latent if quantizer is network.envelope_quantizer else shape.waveform_latent
        residual = latent.flatten(0, 1)
        for codebook in quantizer.stages:
            codebook.project_out.weight.copy_(torch.linalg.pinv(codebook.project_in.weight))
            encoded = codebook.project_in(residual)
            codebook.entries.copy_(encoded[torch.randperm(len(encoded))[: config.codebook_size]])
            residual = residual - codebook.lookup(codebook.nearest(encoded))
    attacks = shapes_in(network, made_attacks(network, 402 * config.sub_frame, 8, np.random.default_rng(98)))
    network.onset.entries.copy_(attacks[torch.randperm(len(attacks))[: config.codebook_size]])


def quantized(network: Network, x: torch.Tensor, n_q: int) -> Encoded[Quantized]:
    """x [B, (S + 2) * sub_frame] as training sees it, with n_q codebooks of each frame."""
    frames = x.shape[1] // network.config.hop - 1
    return network.encode([x], Trained(network.quantizers, torch.full((len(x), frames), n_q)))[0]


def all_codes(encoded: Encoded[Found]) -> torch.Tensor:
    """The codes of frames in the order of a file, int64 [B, K, T]: an onset's stands before those of the waveform."""
    details, onsets = encoded.waveform.codes, encoded.onsets[:, None]
    later = torch.cat([encoded.onset_codes[:, None], details[:, :-1]], 1)
    return torch.cat([encoded.shape.envelope.codes, torch.where(onsets, later, details)], 1)


@torch.no_grad()
def offline(network: Network, samples: NDArray[np.float32], n_q: int) -> NDArray[np.float32]:
    """samples [N] -> what n_q codebooks keep of them [N], in one pass: what a stream gives, but for rounding.

    As in a stream the encoder sees silence after the end, the decoder frames without codebooks.
    """
    c = network.config
    frames = -(-(len(samples) + c.pre_skip) // c.hop)
    padded = np.zeros((c.frame_sub_frames * (frames + c.decoder_blocks) + 2) * c.sub_frame, np.float32)
    padded[2 * c.sub_frame : 2 * c.sub_frame + len(samples)] = samples
    coder = Searched(network.quantizers, c.max_n_q - c.envelope_codebooks)
    codes = all_codes(network.encode([torch.from_numpy(padded)[None]], coder)[0])[:, :n_q]
    used = torch.full((1, codes.shape[2]), n_q)
    used[:, frames:] = 0
    sound = network.sound(network.decode(network.dequantize(codes, used), used, 0))
    return sound[0, c.sub_frame : c.sub_frame + len(samples)].numpy()


@functools.cache
def shared() -> Network:
    """The network of seed 0, for tests that do not change it."""
    return make()


@functools.cache
def engine() -> NumpyEngine:
    """The same in numpy, as the CPU runs it."""
    return in_numpy(shared())


def in_numpy(network: Network) -> NumpyEngine:
    """A network's weights, as they are now, in numpy."""
    return NumpyEngine(network.config, {name: x.clone().numpy() for name, x in network.state_dict().items()})


def model() -> Rvq44:
    """The same as a model."""
    return Rvq44(engine())


def sound(n: int, *, channels: int = 1, seed: int = 0) -> NDArray[np.float32]:
    """[channels, n]: noise whose level and colour change all the time, so that codes do too."""
    rng = np.random.default_rng((seed, n, channels))
    x = rng.standard_normal((channels, n)).astype(np.float32)
    levels = 10 ** rng.uniform(-3, -0.5, (channels, n // 1500 + 1)).astype(np.float32)
    return (x * np.repeat(levels, 1500, 1)[:, :n]).astype(np.float32)
