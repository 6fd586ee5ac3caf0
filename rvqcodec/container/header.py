"""`Header`: what the first bytes of a file say, and what follows from it.

Its rules are in `headerrules`, its bytes in `headerbytes`.
"""

from dataclasses import dataclass

from rvqcodec.container.allocation import Limits
from rvqcodec.container.facts import ModelFacts
from rvqcodec.container.payloads import CODED, PLAIN
from rvqcodec.container.shapes import Key
from rvqcodec.speakers import usual

CODINGS = ("mono", "mid-side", "discrete")
MAX_CHANNELS = 8
MAX_N_Q = 64
MAX_FRAMES_PER_CHUNK = 1024
FRAMES_PER_CHUNK = 128  # unless somebody chooses another number
MAX_SAMPLES = 1 << 53
"""More than a thousand years; keeps every sum inside what JSON and doubles hold exactly."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a decoder must know before the first chunk; everything but `tags` is needed to decode.

    `n_samples` counts samples per channel at `sample_rate` (None: not known when the header was written).
    `frames_per_chunk` is the most frames that a chunk has. `total_n_q` is the most codes that a frame has in the mean
    over its chunk, over all coded channels. In each coded channel a frame gets its first `first` codes before the
    demand for more counts, and never more than `most`; `side` is this pair for the second channel of mid-side coding
    (None: the same; always None with other codings). `first_frame` is not 0 in a part of a recording: the frame at
    which it stood there, for the decoder's noise. `weights_hash` is the first 8 bytes of the sha256 of the weights
    that define the codes. `codec` chooses the payload of chunks (`payloads.PAYLOADS`). `speakers` is the mask of the
    channels' loudspeakers, as in `rvqcodec.speakers` (None: the usual one of so many channels). With codec 1 `tables`
    is the first 4 bytes of the sha256 of the tables that codes are coded with, and `budget` the most that a chunk's
    payload takes, in bits per second (0: as much as its codes take).
    """

    sample_rate: int
    channels: int
    coding: str
    model_id: str
    weights_hash: bytes
    model_rate: int
    hop: int
    code_bits: int
    total_n_q: int
    frames_per_chunk: int
    pre_skip: int
    n_samples: int | None = None
    first_frame: int = 0
    tags: tuple[tuple[str, str], ...] = ()
    codec: int = PLAIN
    first: int = 1
    most: int = MAX_N_Q
    side: tuple[int, int] | None = None
    speakers: int | None = None
    tables: bytes = b""
    budget: int = 0

    def __post_init__(self) -> None:
        # One form for each header, so that one that was read equals the one that was written.
        side = (self.side or (self.first, self.most)) if self.coding == "mid-side" else None
        object.__setattr__(self, "side", side)
        if 1 <= self.channels <= MAX_CHANNELS and self.speakers == usual(self.channels):
            object.__setattr__(self, "speakers", None)

    @classmethod
    def of(
        cls,
        facts: ModelFacts,
        *,
        sample_rate: int,
        channels: int,
        total_n_q: int | None = None,
        frames_per_chunk: int = FRAMES_PER_CHUNK,
        n_samples: int | None = None,
        tags: tuple[tuple[str, str], ...] = (),
        speakers: int | None = None,
    ) -> "Header":
        """The header of a model's codes: one channel alone, two turned if the model codes pairs, else each by itself.

        total_n_q: None for one codebook a channel, where the codes themselves will tell how many there are.
        """
        return cls(
            sample_rate=sample_rate,
            channels=channels,
            coding="mono" if channels == 1 else "mid-side" if channels == 2 and facts.pairs else "discrete",
            model_id=facts.model_id,
            weights_hash=facts.weights_hash,
            model_rate=facts.model_rate,
            hop=facts.hop,
            code_bits=facts.code_bits,
            total_n_q=channels if total_n_q is None else total_n_q,
            frames_per_chunk=frames_per_chunk,
            pre_skip=facts.pre_skip,
            n_samples=n_samples,
            tags=tags,
            first=facts.first_n_q,
            most=facts.max_n_q,
            side=facts.side,
            speakers=speakers,
        )

    @property
    def facts(self) -> ModelFacts:
        """What the file says of its model."""
        return ModelFacts(
            model_id=self.model_id,
            weights_hash=self.weights_hash,
            model_rate=self.model_rate,
            hop=self.hop,
            pre_skip=self.pre_skip,
            code_bits=self.code_bits,
            max_n_q=self.most,
            first_n_q=self.first,
            side=self.side if self.side != (self.first, self.most) else None,
            pairs=not (self.coding == "discrete" and self.channels == 2),
        )

    @property
    def limits(self) -> Limits:
        """(first, most) of each coded channel."""
        if self.side is not None:
            return ((self.first, self.most), self.side)
        return ((self.first, self.most),) * self.channels

    @property
    def layout(self) -> int:
        """The mask of the loudspeakers, whether the file says it or it is the usual one."""
        return usual(self.channels) if self.speakers is None else self.speakers

    @property
    def coder(self) -> Key | None:
        """Who codes the codes; None where they are packed."""
        if self.codec != CODED:
            return None
        return Key(self.model_id, self.weights_hash, self.tables, self.coding == "mid-side")

    @property
    def coded_channels(self) -> int:
        """How many channels are coded: as many as the audio has, mixed or not."""
        return self.channels

    def model_samples(self, n_samples: int) -> int:
        """Samples at the model's rate that `n_samples` at the file's sample rate become."""
        return -(-n_samples * self.model_rate // self.sample_rate)

    def frames_for(self, n_samples: int) -> int:
        """Frames that `n_samples` samples (at the file's sample rate) take; 0 for 0."""
        return -(-(self.model_samples(n_samples) + self.pre_skip) // self.hop) if n_samples else 0

    def samples_in(self, frames: int) -> int:
        """The most samples (at the file's sample rate) that take no more than `frames` frames."""
        return max(0, frames * self.hop - self.pre_skip) * self.sample_rate // self.model_rate

    def seconds(self, frames: int) -> float:
        """The length of `frames` frames."""
        return frames * self.hop / self.model_rate
