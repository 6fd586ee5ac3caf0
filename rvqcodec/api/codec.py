"""`load` a model as an `AudioCodec`: encode and decode arrays, alone, in batches or in pieces."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from rvqcodec.api.arrays import as_asked, as_numpy, as_samples, is_torch
from rvqcodec.api.live import Decoder, Encoder
from rvqcodec.audio import layouts
from rvqcodec.audio.samples import check_rate_and_channels
from rvqcodec.codec import DecodeOptions, EncodeOptions, decoding, encoding
from rvqcodec.codec.channels import Mix
from rvqcodec.codes import bitrate as bitrates
from rvqcodec.codes.grid import Codes, CodesReader
from rvqcodec.container import Chunk, Header
from rvqcodec.errors import WeightsError
from rvqcodec.models import loading
from rvqcodec.models.interface import Model
from rvqcodec.types import Samples

if TYPE_CHECKING:
    from torch import Tensor

    from rvqcodec.api.arrays import Audio, Batch, Grid


def load(name: str | None = None, device: str = "cpu") -> "AudioCodec":
    """The codec of an installed model (None: the default one), on "cpu", "cuda" or "auto".

    The weights are read once a process and checked against their hash. Errors: WeightsError, RvqError.
    """
    return AudioCodec(loading.load(name, device))


class AudioCodec:
    """A model ready to encode and decode. Make it with `load`; several threads may share it.

    `facts` is what files have to know of the model; of these there are here `model_id`, `weights_hash` (the first 8
    bytes of the sha256 of the weights that define the codes), `sample_rate` (the model's own in Hz; other rates are
    converted on the way in and out), `frame_rate` (frames a second) and `max_n_q` (codebooks that a coded channel can
    have).
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.facts: Final = model.facts
        self.model_id: Final = model.facts.model_id
        self.weights_hash: Final = model.facts.weights_hash
        self.sample_rate: Final = model.facts.model_rate
        self.frame_rate: Final = model.facts.frame_rate
        self.max_n_q: Final = model.facts.max_n_q

    @overload
    def encode(
        self,
        wav: "Audio",
        sample_rate: int,
        *,
        bitrate: int | str | None = None,
        n_q: int | None = None,
        mono: bool = False,
        constant: bool = False,
        layout: str | None = None,
        tags: Sequence[tuple[str, str]] = (),
    ) -> Codes: ...
    @overload
    def encode(
        self,
        wav: "Batch[Audio]",
        sample_rate: int,
        *,
        bitrate: int | str | None = None,
        n_q: int | None = None,
        mono: bool = False,
        constant: bool = False,
        layout: str | None = None,
        tags: Sequence[tuple[str, str]] = (),
    ) -> list[Codes]: ...
    def encode(
        self,
        wav: "Audio | Batch[Audio]",
        sample_rate: int,
        *,
        bitrate: int | str | None = None,
        n_q: int | None = None,
        mono: bool = False,
        constant: bool = False,
        layout: str | None = None,
        tags: Sequence[tuple[str, str]] = (),
    ) -> Codes | list[Codes]:
        """Audio to `Codes`: floats [n] or [C, n]; a list or tuple of such gives a list of Codes.

        bitrate: the most that the codes take over all channels, in bits per second or as text (None: 6000, or what
        of the model's comes nearest); n_q (codebooks a frame, over all channels) overrides it. mono: mix down, as
        `rvq encode --mono`. constant: every frame gets the same number of codes. layout: the loudspeakers of the
        channels, "5.1" or "FL+FC+FR" (None: the usual ones); what is decoded has them in the order of WAV. AudioError,
        BitrateError.
        """
        if isinstance(wav, (list, tuple)):
            return [
                self.encode(
                    one, sample_rate, bitrate=bitrate, n_q=n_q, mono=mono, constant=constant, layout=layout, tags=tags
                )
                for one in wav
            ]
        samples = as_samples(wav)
        options = _options(bitrate, n_q, mono, constant)
        check_rate_and_channels("audio", sample_rate, len(samples))
        said = _layout(layout, len(samples))
        header = encoding.header_of(
            self.facts, options, sample_rate, len(samples), samples.shape[1], tuple(tags), said.speakers
        )
        mix = Mix(said.speakers, said.channels) if mono else None
        encoder = encoding.Encoder(self._model, header, mix=mix, constant=constant)
        chunks: list[Chunk] = []
        for start in range(0, samples.shape[1], sample_rate):
            chunks += encoder.push(said.sorted(samples[:, start : start + sample_rate]), more=True)
        return Codes.from_chunks(header, chunks + encoder.flush())

    @overload
    def decode(self, codes: "Codes | Grid", *, n_q: int | None = None, as_torch: Literal[False] = False) -> Samples: ...
    @overload
    def decode(self, codes: "Codes | Grid", *, n_q: int | None = None, as_torch: Literal[True]) -> "Tensor": ...
    @overload
    def decode(self, codes: "Tensor", *, n_q: int | None = None, as_torch: bool = False) -> "Tensor": ...
    @overload
    def decode(
        self, codes: "Batch[Codes] | Batch[Grid]", *, n_q: int | None = None, as_torch: Literal[False] = False
    ) -> list[Samples]: ...
    @overload
    def decode(
        self, codes: "Batch[Codes] | Batch[Grid]", *, n_q: int | None = None, as_torch: Literal[True]
    ) -> "list[Tensor]": ...
    def decode(self, codes: Any, *, n_q: int | None = None, as_torch: bool = False) -> Any:
        """`Codes` to audio float32 [C, n], at the rate and of the length that was encoded; lists give lists.

        Arrays of codes (see `codes`) are taken as well; torch codes, or `as_torch`, give a torch tensor. n_q:
        limit of codebooks a frame, over all channels. WeightsError for another model's codes.
        """
        if isinstance(codes, (list, tuple)):
            return [self.decode(one, n_q=n_q, as_torch=as_torch) for one in codes]
        if not isinstance(codes, Codes):
            as_torch = as_torch or is_torch(codes)
            codes = self.codes(codes)
        self._check(codes.header)
        return as_asked(
            decoding.decode_samples(CodesReader(codes), DecodeOptions(n_q=n_q), model=self._model), as_torch
        )

    def codes(self, codes: "Grid | Tensor", *, sample_rate: int | None = None, n_samples: int | None = None) -> Codes:
        """Integers [K, T] (mono) or [C, K, T] from anywhere, say a language model, as `Codes` of this model.

        One more than the largest code stands where a codebook is not in use. sample_rate: of the audio to make (None:
        the model's own); n_samples: its exact length per channel (None: as much as the frames hold). FormatError.
        """
        grid = as_numpy(codes)
        channels = 1 if grid.ndim < 3 else len(grid)
        rate = sample_rate or self.sample_rate
        check_rate_and_channels("codes", rate, channels)
        return Codes.from_array(grid, self._header(rate, channels, n_samples))

    def encoder(
        self,
        sample_rate: int,
        channels: int = 1,
        *,
        bitrate: int | str | None = None,
        n_q: int | None = None,
        mono: bool = False,
        constant: bool = False,
        layout: str | None = None,
        chunk_seconds: float | None = None,
    ) -> "Encoder":
        """An encoder for audio that comes in pieces; chunk_seconds: length of its chunks (None: 128 frames)."""
        check_rate_and_channels("audio", sample_rate, channels)
        options = _options(bitrate, n_q, mono, constant, chunk_seconds)
        said = _layout(layout, channels)
        header = encoding.header_of(self.facts, options, sample_rate, channels, None, (), said.speakers)
        return Encoder(self._model, header, said, mono, constant)

    def decoder(self, header: Header) -> "Decoder":
        """A decoder for chunks that come one by one. Errors: WeightsError for codes of another model."""
        self._check(header)
        return Decoder(self._model, header)

    def _header(self, sample_rate: int, channels: int, n_samples: int | None) -> Header:
        return Header.of(self.facts, sample_rate=sample_rate, channels=channels, n_samples=n_samples)

    def _check(self, header: Header) -> None:
        if (header.model_id, header.weights_hash) != (self.model_id, self.weights_hash):
            raise WeightsError(
                f"the codes are of model {header.model_id} with weights {header.weights_hash.hex()}, this is "
                f"{self.model_id} with {self.weights_hash.hex()}; load the model that made them"
            )


def _layout(text: str | None, channels: int) -> layouts.Layout:
    return layouts.unsaid(channels) if text is None else layouts.named(text, channels, "audio")


def _options(
    bitrate: int | str | None, n_q: int | None, mono: bool, constant: bool, chunk_seconds: float | None = None
) -> EncodeOptions:
    bits = bitrates.parse_bitrate(bitrate) if isinstance(bitrate, str) else bitrate
    return EncodeOptions(bitrate=bits, n_q=n_q, mono=mono, constant=constant, chunk_seconds=chunk_seconds)
