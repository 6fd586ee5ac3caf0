"""A codec small enough for tests: every weight is random and in use, so that nothing is an identity by chance."""

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rvqcodec.config import Config
from rvqcodec.layers import Block
from rvqcodec.model import Codec

CONFIG = Config(
    bands=8,
    coefficients=32,
    coded=16,
    block=4,
    dim=32,
    envelope_dim=16,
    expansion=2,
    envelope_blocks=2,
    encoder_blocks=3,
    decoder_blocks=2,
    envelope_codebooks=4,
    max_n_q=8,
    codebook_size=16,
    codebook_dim=8,
    wide_codebooks=1,
    wide_dim=12,
    carrier=32,
)


def make(seed: int = 0, config: Config = CONFIG) -> Codec:
    """A codec of its own, ready to run; the same seed gives the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        codec = Codec(config)
        for module in codec.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, 0, 0.5 / module.weight.shape[1] ** 0.5)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
            if isinstance(module, Block):
                nn.init.normal_(module.kernel, 0, 0.5)
                nn.init.ones_(module.scale)
        codec.envelope_mean.fill_(-3.0)
        set_codebooks(codec.eval())
    return codec.eval().requires_grad_(False)


@torch.no_grad()
def set_codebooks(codec: Codec) -> None:
    """Entries are encodings of some sound, so that all of them are chosen."""
    config = codec.config
    x = torch.from_numpy(sound(401 * config.sub_frame, seed=99))
    n_q = torch.tensor([config.max_n_q])
    for quantizer in (codec.envelope_quantizer, codec.waveform_quantizer):
        parts = codec.quantize(x, n_q)
        latent = parts.envelope_latent if quantizer is codec.envelope_quantizer else parts.waveform_latent
        residual = latent.flatten(0, 1)
        for codebook in quantizer.stages:
            codebook.project_out.weight.copy_(torch.linalg.pinv(codebook.project_in.weight))
            encoded = codebook.project_in(residual)
            codebook.entries.copy_(encoded[torch.randperm(len(encoded))[: config.codebook_size]])
            residual = residual - codebook.lookup(codebook.nearest(encoded))


@functools.cache
def shared() -> Codec:
    """The codec of seed 0, for tests that do not change it."""
    return make()


def sound(n: int, *, channels: int = 1, seed: int = 0) -> NDArray[np.float32]:
    """[channels, n]: noise whose level and colour change all the time, so that codes do too."""
    rng = np.random.default_rng((seed, n, channels))
    x = rng.standard_normal((channels, n)).astype(np.float32)
    levels = 10 ** rng.uniform(-3, -0.5, (channels, n // 1500 + 1)).astype(np.float32)
    return (x * np.repeat(levels, 1500, 1)[:, :n]).astype(np.float32)
