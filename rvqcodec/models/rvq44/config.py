"""The architecture as data: a frozen `Config`, which travels with the weights (weights/*.json). No torch.

Whatever a decoder has to know to read codes as they were meant stands here, and has no default: a card that lacks one
is refused. What only finds codes (the width of searches, say) stands in code and may change.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rvqcodec.container import ModelFacts

DECODER = frozenset(
    f"decoder_{part}" for part in ("in", "direct", "n_q", "net", "out", "noise", "carrier")
)  # parts of the network that only decoding needs: a later decoder for the same codes has others


@dataclass(frozen=True, kw_only=True)
class Config:
    """One architecture. The network works on sub-frames, of which a frame has a few; it codes whole frames."""

    sample_rate: int  # Hz
    sub_frame: int  # samples, and MDCT coefficients
    frame_sub_frames: int  # of a frame
    # the envelope
    bands: int
    top_hz: float  # centre of the highest band
    envelope_scale: float  # envelope values are natural logarithms of amplitudes times it
    envelope_codebooks: int  # the first ones of a frame
    base_codebooks: int  # of them: those that every frame has, whatever the bitrate
    log_amplitude_least: float  # limits of a band's logarithm where it is made an amplitude
    log_amplitude_most: float
    # the coefficients
    coefficients: int  # lowest MDCT coefficients: those that may be coded
    coded_coefficients: int  # number coded in a sub-frame: the blocks that the envelope predicts to be largest
    block_size: int  # coefficients side by side that are coded or not together
    envelope_step: float  # quantized envelopes are multiples of it, so that every machine finds the same order
    share_step: float  # a block's shares of the bands are multiples of it, for the same reason
    flatten_exponent: float  # p: coefficients are multiplied by amplitude^(p-1)
    level_exponent: float  # of the frame level that coefficients are divided by
    level_floor: float  # added to the frame level, so that silence is not blown up
    flat_rms: float  # of a flattened coefficient, well below the envelope's values: it keeps loud corrections small
    importance_hz: float  # a coefficient at frequency f counts 1 / (1 + f / importance_hz)
    # onsets
    onset_slots: int  # of a frame's temporal envelope
    onset_band: int  # lowest band whose level makes an onset
    onset_coefficient: int  # lowest MDCT coefficient that is shaped
    onset_rise: float  # dB by which the level jumps at least
    # codebooks
    max_n_q: int
    codebook_size: int
    codebook_dim: int  # of the waveform codebooks
    wide_codebooks: int  # the first of them, which shape low bitrates, see more
    wide_dim: int
    # the decoder
    dim: int
    expansion: int
    decoder_blocks: int
    block_past: int  # sub-frames that a network block sees before and after the one it works on
    block_future: int
    carrier_length: int  # sub-frames after which the noise repeats
    smooth_window: int  # coefficients over which decoded power is averaged before noise fills up what is missing

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return self.sub_frame * self.frame_sub_frames

    def coefficient(self, hz: float) -> int:
        """The first MDCT coefficient from a frequency on."""
        return round(2 * hz / self.sample_rate * self.sub_frame)

    @property
    def latent_dim(self) -> int:
        """Width of a sub-frame's latent: envelope remainder and the coefficients that are coded."""
        return self.bands + self.coded_coefficients

    @property
    def envelope_dims(self) -> list[int]:
        """Width of the entries of each envelope codebook."""
        return [self.frame_sub_frames * self.bands] * self.envelope_codebooks

    @property
    def waveform_dims(self) -> list[int]:
        """Width of the entries of each waveform codebook."""
        fine = range(self.max_n_q - self.envelope_codebooks)
        return [self.wide_dim if k < self.wide_codebooks else self.codebook_dim for k in fine]

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
            first_n_q=self.base_codebooks,
            side=(1, 1 + self.max_n_q - self.envelope_codebooks),
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


NEW = Config(
    sample_rate=44100,
    sub_frame=588,
    frame_sub_frames=2,
    bands=24,
    top_hz=20000.0,
    envelope_scale=0.5,
    envelope_codebooks=4,
    base_codebooks=2,
    log_amplitude_least=-11.0,
    log_amplitude_most=3.0,
    coefficients=480,
    coded_coefficients=256,
    block_size=8,
    envelope_step=2**-12,
    share_step=2**-10,
    flatten_exponent=0.5,
    level_exponent=1.0,
    level_floor=1e-3,
    flat_rms=0.1,
    importance_hz=1000.0,
    onset_slots=42,
    onset_band=7,
    onset_coefficient=27,
    onset_rise=12.0,
    max_n_q=48,
    codebook_size=1024,
    codebook_dim=32,
    wide_codebooks=4,
    wide_dim=64,
    dim=384,
    expansion=3,
    decoder_blocks=8,
    block_past=5,
    block_future=1,
    carrier_length=256,
    smooth_window=11,
)
"""What training makes, where nobody asks for something else."""


def bitstream(names: Iterable[str]) -> list[str]:
    """Those of the names of tensors that say what codes mean: all but the decoder's."""
    return [name for name in names if name.partition(".")[0] not in DECODER]
