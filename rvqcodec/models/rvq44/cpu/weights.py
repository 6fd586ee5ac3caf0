"""`Weights`: a model's tensors by name, checked against its `Config`, as float32 when they are asked for."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.tables import Floats

Shape = tuple[int, ...]


class Weights:
    """Tensors of one model, float16 or float32; those that nobody asks for cost nothing more."""

    def __init__(self, config: Config, tensors: Mapping[str, NDArray[Any]]) -> None:
        """ValueError for tensors that are not those of the architecture."""
        self.config, self._tensors = config, tensors
        expected = dict(shapes(config))
        if set(tensors) != set(expected):
            missing, unknown = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
            raise ValueError(f"missing tensors {missing[:3]}, unknown ones {unknown[:3]}")
        for name, shape in expected.items():
            if tensors[name].shape != shape:
                raise ValueError(f"{name} is {list(tensors[name].shape)}, not {list(shape)}")

    def __getitem__(self, name: str) -> Floats:
        """A copy as float32, or the tensor itself where it is float32."""
        found: Floats = self._tensors[name].astype(np.float32, copy=False)
        return found

    def dims(self, quantizer: str) -> list[int]:
        """Widths of the entries of a quantizer's codebooks."""
        return self.config.envelope_dims if quantizer == "envelope_quantizer" else self.config.waveform_dims

    def raw(self, name: str) -> NDArray[Any]:
        """As it is stored."""
        return self._tensors[name]


def shapes(config: Config) -> Iterator[tuple[str, Shape]]:
    """Name and shape of every tensor of an architecture."""
    c = config
    yield "envelope_mean", (c.bands,)
    yield "stereo_table", (c.codebook_size, 2 * c.bands)
    yield "onset.entries", (c.codebook_size, c.onset_slots)
    latents = c.frame_sub_frames * c.bands, c.frame_sub_frames * c.latent_dim
    names, widths = ("envelope_quantizer", "waveform_quantizer"), (c.envelope_dims, c.waveform_dims)
    for name, latent, dims in zip(names, latents, widths, strict=True):
        for i, dim in enumerate(dims):
            book = f"{name}.codebooks.{i}"
            yield f"{book}.entries", (c.codebook_size, dim)
            yield f"{book}.project_in.weight", (dim, latent)
            yield f"{book}.project_out.weight", (latent, dim)
    yield "decoder_in.weight", (c.dim, c.coefficients + 2 * c.bands)
    yield "decoder_in.bias", (c.dim,)
    yield "decoder_direct", (c.coefficients,)
    yield "decoder_n_q.weight", (c.max_n_q + 1, c.dim)
    for i in range(c.decoder_blocks):
        block = f"decoder_net.{i}"
        yield f"{block}.kernel", (c.block_past + 1 + c.block_future, c.dim)
        for vector in ("bias", "norm.weight", "norm.bias", "narrow.bias", "scale"):
            yield f"{block}.{vector}", (c.dim,)
        yield f"{block}.widen.weight", (c.dim * c.expansion, c.dim)
        yield f"{block}.widen.bias", (c.dim * c.expansion,)
        yield f"{block}.narrow.weight", (c.dim, c.dim * c.expansion)
    yield "decoder_out.weight", (c.bands + c.coefficients, c.dim)
    yield "decoder_noise.weight", (c.sub_frame, c.dim)
    yield "decoder_noise.bias", (c.sub_frame,)
    yield "decoder_carrier", (c.carrier_length, c.sub_frame)
