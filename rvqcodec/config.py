"""Models as data: a frozen `Config`, the architecture, and `WeightsInfo`, what stands beside the weights. No torch."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rvqcodec.container import ModelFacts

SUB_FRAMES = 2  # per frame


@dataclass(frozen=True)
class Config:
    """The architecture; it travels with the weights (weights/*.json) and is never implied by code."""

    sample_rate: int = 44100
    sub_frame: int = 588  # samples, and MDCT coefficients
    bands: int = 24
    top_hz: float = 20000.0
    coefficients: int = 480  # lowest MDCT coefficients, of which a frame codes some
    coded: int = 256  # ... so many: the blocks that the envelope expects to be largest
    block: int = 8  # coefficients side by side
    dim: int = 384
    envelope_dim: int = 128
    expansion: int = 3
    envelope_blocks: int = 0
    encoder_blocks: int = 0
    decoder_blocks: int = 8
    envelope_codebooks: int = 4
    max_n_q: int = 32
    codebook_size: int = 1024
    codebook_dim: int = 32  # of the waveform codebooks
    wide_codebooks: int = 4  # the first of them, which shape low bitrates, see more
    wide_dim: int = 64
    flatten: float = 0.5  # exponent p: coefficients are multiplied by A^(p-1)
    envelope_scale: float = 0.5
    carrier: int = 256  # sub-frames after which the noise repeats
    level: float = 1.0  # exponent of the frame level that coefficients are divided by

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return self.sub_frame * SUB_FRAMES

    @property
    def latent(self) -> int:
        """Width of a sub-frame's latent: envelope remainder and the coefficients that are coded."""
        return self.bands + self.coded

    @property
    def code_bits(self) -> int:
        """Bits per code."""
        return (self.codebook_size - 1).bit_length()

    @property
    def pre_skip(self) -> int:
        """Samples that the decoder puts out before the recording's first one."""
        return self.sub_frame

    def facts(self, model_id: str, weights_hash: bytes) -> ModelFacts:
        """What files have to know of a model of this architecture."""
        return ModelFacts(
            model_id=model_id,
            weights_hash=weights_hash,
            model_rate=self.sample_rate,
            hop=self.hop,
            pre_skip=self.pre_skip,
            code_bits=self.code_bits,
            max_n_q=self.max_n_q,
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class WeightsInfo:
    """What stands in NAME.json. `training` is for people to read."""

    model_id: str
    decoder_version: int
    sha256: str  # of NAME.safetensors
    bitstream_sha256: str
    config: Config
    licence: str
    training: dict[str, Any]
    path: Path  # of NAME.safetensors

    @property
    def weights_hash(self) -> bytes:
        """The eight bytes that a file's header carries."""
        return bytes.fromhex(self.bitstream_sha256)[:8]

    @property
    def facts(self) -> ModelFacts:
        """What files have to know of this model."""
        return self.config.facts(self.model_id, self.weights_hash)
