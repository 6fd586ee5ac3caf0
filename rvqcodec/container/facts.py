"""What a file has to know of its model; a container holds the codes of any model that these facts describe."""

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Who a model is and what its codes look like.

    `weights_hash` is the first 8 bytes of the sha256 of the weights that define the codes. `model_rate` is in Hz,
    `hop` in samples a frame; `pre_skip` samples come out of the decoder before the first one of a recording.
    A code has `code_bits` bits, a coded channel at most `max_n_q` codebooks; each of its frames gets `first_n_q` codes
    before the demand for more counts. `side`: these two, (first, most), of the second channel of a stereo pair, where
    they are others.

    Two more, which a file does not say of its model and which are not compared: `pairs` is whether stereo is turned
    into a main and a second channel (else each channel is coded by itself), `steps` are the only numbers of codebooks
    a channel that a bitrate may stand for (none: all).
    """

    model_id: str
    weights_hash: bytes
    model_rate: int
    hop: int
    pre_skip: int
    code_bits: int
    max_n_q: int
    first_n_q: int = 1
    side: tuple[int, int] | None = None
    pairs: bool = field(default=True, compare=False)
    steps: tuple[int, ...] = field(default=(), compare=False)

    def capacity(self, channels: int) -> int:
        """The most codes that a frame can have, over that many coded channels."""
        return self.max_n_q * channels if self.side is None or channels != 2 else self.max_n_q + self.side[1]

    def least(self, channels: int) -> int:
        """The fewest codes that a frame can have, over that many coded channels."""
        return 1 if channels == 1 or (channels == 2 and self.pairs) else channels

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.model_rate / self.hop

    @property
    def codebook_rate(self) -> Fraction:
        """Bits per second of one codebook of one coded channel, exactly."""
        return Fraction(self.code_bits * self.model_rate, self.hop)
