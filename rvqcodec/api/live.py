"""Encoder and Decoder for audio that comes in pieces: push, flush once; any cutting, the same result."""

from typing import TYPE_CHECKING

import numpy as np

from rvqcodec.api.arrays import as_samples
from rvqcodec.audio.layouts import Layout
from rvqcodec.codec import decoding, encoding
from rvqcodec.codec.channels import Mix
from rvqcodec.container import Chunk, Header
from rvqcodec.errors import AudioError, FormatError
from rvqcodec.models.interface import Model
from rvqcodec.types import Samples

if TYPE_CHECKING:
    from rvqcodec.api.arrays import Audio


class Encoder:
    """Push audio, get chunks of codes; flush once at the end. Any cutting gives the same chunks."""

    def __init__(self, model: Model, header: Header, layout: Layout, mono: bool, constant: bool) -> None:
        """layout: of the channels as they are pushed."""
        self.header = header
        self.samples = 0  # per channel, pushed so far
        self._layout = layout
        mix = Mix(layout.speakers, layout.channels) if mono else None
        self._encoder = encoding.Encoder(model, header, mix=mix, constant=constant)

    def push(self, wav: "Audio") -> list[Chunk]:
        """Take audio [n] or [C, n] at the rate that was named; give the chunks that are full, often none."""
        samples = as_samples(wav)
        if len(samples) != self._layout.channels:
            raise AudioError(f"{len(samples)} channels; this encoder was made for {self._layout.channels}")
        self.samples += samples.shape[1]
        return self._encoder.push(self._layout.sorted(samples))

    def flush(self) -> list[Chunk]:
        """The remaining chunks; push nothing afterwards. `container.Writer.close` wants `samples`."""
        return self._encoder.flush()


class Decoder:
    """Push chunks of codes, get audio; flush once at the end. All of it together is what `decode` gives."""

    def __init__(self, model: Model, header: Header) -> None:
        self.header = header
        self._span = decoding.Span(header)
        self._decoder = decoding.Decoder(model, header, self._span)
        self._frames = 0

    def push(self, chunk: Chunk) -> Samples:
        """Take the next chunk; give audio float32 [C, n], what is ready so far."""
        if chunk.start_frame != self._frames:
            raise FormatError(f"chunk starts at frame {chunk.start_frame}, not {self._frames}")
        self._frames += chunk.frames
        return self._decoder.push(chunk)

    def flush(self, n_samples: int | None = None) -> Samples:
        """The rest, float32 [C, n], so that there are `n_samples` in all (None: as the header says, or else
        as many as the frames hold). FormatError if that does not go with the frames that came.
        """
        header = self.header
        if n_samples is None:
            n_samples = header.samples_in(self._frames) if header.n_samples is None else header.n_samples
        if header.frames_for(n_samples) != self._frames:
            raise FormatError(f"{n_samples} samples do not go with {self._frames} frames")
        self._span.end_at(n_samples)
        nothing = np.zeros((header.channels, 0), np.float32)
        return np.concatenate([nothing, *self._decoder.flush(n_samples)], axis=1)
