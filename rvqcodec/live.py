"""Encoder and Decoder for audio that comes in pieces: push, flush once; any cutting, the same result."""

from typing import TYPE_CHECKING

import numpy as np

from rvqcodec.arrays import Samples, as_samples
from rvqcodec.audio import Resampler
from rvqcodec.codec import decoding, encoding
from rvqcodec.container import Chunk, Header
from rvqcodec.errors import AudioError, FormatError
from rvqcodec.models.interface import Model

if TYPE_CHECKING:
    from rvqcodec.arrays import Audio


class Encoder:
    """Push audio, get chunks of codes; flush once at the end. Any cutting gives the same chunks."""

    def __init__(self, model: Model, header: Header, channels: int, mono: bool) -> None:
        self.header = header
        self.samples = 0  # per channel, pushed so far
        self._channels = channels
        self._encoder = encoding.Encoder(model, header, mono=mono)

    def push(self, wav: "Audio") -> list[Chunk]:
        """Take audio [n] or [C, n] at the rate that was named; give the chunks that are full, often none."""
        samples = as_samples(wav)
        if len(samples) != self._channels:
            raise AudioError(f"{len(samples)} channels; this encoder was made for {self._channels}")
        self.samples += samples.shape[1]
        return self._encoder.push(samples)

    def flush(self) -> list[Chunk]:
        """The remaining chunks; push nothing afterwards. `container.Writer.close` wants `samples`."""
        return self._encoder.flush()


class Decoder:
    """Push chunks of codes, get audio; flush once at the end. All of it together is what `decode` gives."""

    def __init__(self, model: Model, header: Header) -> None:
        self.header = header
        self._decoder = model.decoder(header.coded_channels, start_frame=header.first_frame)
        self._resampler = Resampler(header.model_rate, header.sample_rate, header.channels)
        self._held = np.zeros((header.coded_channels, 0), np.float32)
        self._skip = header.pre_skip
        self._frames = self._given = self._passed = 0

    def push(self, chunk: Chunk) -> Samples:
        """Take the next chunk; give audio float32 [C, n], what is ready so far."""
        if chunk.start_frame != self._frames:
            raise FormatError(f"chunk starts at frame {chunk.start_frame}, not {self._frames}")
        self._frames += chunk.frames
        codes = np.zeros((len(chunk.codes), max(chunk.n_q), chunk.frames), np.uint16)
        for channel, part in enumerate(chunk.codes):
            codes[channel, : len(part)] = part
        self._take(self._decoder.push(codes, chunk.n_q))
        # The end of the recording lies in the last frame: hold one back until it is known.
        return self._give(self._held.shape[1] - self.header.hop)

    def flush(self, n_samples: int | None = None) -> Samples:
        """The rest, float32 [C, n], so that there are `n_samples` in all (None: as the header says, or else
        as many as the frames hold). FormatError if that does not go with the frames that came.
        """
        header = self.header
        if n_samples is None:
            n_samples = header.samples_in(self._frames) if header.n_samples is None else header.n_samples
        if header.frames_for(n_samples) != self._frames:
            raise FormatError(f"{n_samples} samples do not go with {self._frames} frames")
        self._take(self._decoder.flush())
        rest = self._give(header.model_samples(n_samples) - self._passed)
        left = n_samples - self._given
        last = np.concatenate([rest, self._resampler.flush()], axis=1)
        return last[:, : max(0, left + rest.shape[1])]

    def _take(self, coded: Samples) -> None:
        drop = min(self._skip, coded.shape[1])
        self._skip -= drop
        self._held = np.concatenate([self._held, coded[:, drop:]], axis=1)

    def _give(self, n: int) -> Samples:
        n = max(0, n)
        samples, self._held = decoding.channels_of(self.header, self._held[:, :n]), self._held[:, n:]
        self._passed += n
        result = self._resampler.push(samples)
        self._given += result.shape[1]
        return result
