"""A published network as a `Model`: samples to codes and back, on a fixed grid of blocks, so that no cutting matters.

Every channel is coded by itself; the channels of a recording are the batch of the network.
"""

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from rvqcodec.container import ModelFacts
from rvqcodec.models.interface import Counts
from rvqcodec.types import Codes, Samples

if TYPE_CHECKING:
    from torch import Tensor

    from rvqcodec.models.published.layers import Layer

BLOCK_SECONDS = 0.5  # of audio that go through the network at once
ALL = 1 << 40  # frames: more than any recording has


class Network(Protocol):
    """What the three kinds of networks have in common; tensors [B, ...] of B channels."""

    width: int  # of latents
    fills: bool  # a recording is filled up with zeros to whole frames; else its network knows what to do

    @property
    def device(self) -> Any:
        """Where tensors have to be."""

    def analysis(self) -> "Layer":
        """A fresh stream from samples [B, 1, n] to latents [B, D, T]."""

    def synthesis(self) -> "Layer":
        """A fresh stream from latents [B, D, T] to samples [B, 1, n]."""

    def quantize(self, latents: "Tensor", n_q: int) -> "Tensor":
        """Latents -> the first n_q codes of each frame, integers [B, n_q, T]."""

    def dequantize(self, codes: "Tensor", used: "Tensor") -> "Tensor":
        """Codes [B, K, T], and 1 or 0 [B, K, 1, T] for those that are in use or not -> latents."""


class Published:
    """A network with the facts of its card; what `Model` asks for."""

    def __init__(self, network: Network, facts: ModelFacts) -> None:
        self.network, self.facts = network, facts
        self.block = max(1, round(BLOCK_SECONDS * facts.frame_rate))  # frames
        self._analysis, self._synthesis = network.analysis().reach(1), network.synthesis().reach(facts.hop)

    @property
    def context(self) -> int:
        """A network with an LSTM remembers everything: to decode a part, all before it must be decoded."""
        before = self._synthesis.before / self.facts.hop
        return ALL if math.isinf(before) else math.ceil(before) + 1

    @property
    def lookahead(self) -> int:
        return 2 * self.block * self.facts.hop + math.ceil(self._analysis.ahead + self._synthesis.ahead)

    def encoder(self, channels: int, *, paired: bool = False) -> "Encoder":
        return Encoder(self, channels)

    def decoder(self, channels: int, *, paired: bool = False, start_frame: int = 0, begins: bool = False) -> "Decoder":
        return Decoder(self, channels, start_frame)


class Encoder:
    """`interface.Encoder`: latents of whole blocks wait until somebody says how many codes they get."""

    def __init__(self, model: Published, channels: int) -> None:
        self._network, self._hop = model.network, model.facts.hop
        self._block = model.block * self._hop
        self._stream = model.network.analysis()
        self._pending = np.zeros((channels, 0), np.float32)
        self._latents: list[Tensor] = []  # in pieces as they came, of which the first may be used in part
        self._codes: npt.NDArray[np.uint16] | None = None  # of the first piece
        self._used = 0  # frames of it
        self._any = False

    @property
    def ready(self) -> int:
        return sum(latents.shape[-1] for latents in self._latents) - self._used

    def push(self, samples: Samples, *, more: bool = False) -> None:
        self._any = self._any or samples.shape[1] > 0
        self._pending = np.concatenate([self._pending, samples], 1)
        while self._pending.shape[1] >= self._block:
            block, self._pending = self._pending[:, : self._block], self._pending[:, self._block :]
            self._feed(block)

    def flush(self) -> None:
        if self._any:
            fill = -self._pending.shape[1] % self._hop if self._network.fills else 0
            self._feed(np.pad(self._pending, ((0, 0), (0, fill))), last=True)

    def demands(self, frames: int) -> None:
        return None

    def codes(self, n_q: npt.NDArray[np.integer]) -> Codes:
        channels, frames = n_q.shape
        most = int(n_q.max(initial=0))
        codes = np.zeros((channels, most, frames), np.uint16)
        at = 0
        while at < frames:
            # A piece is quantized as a whole, wherever chunks end: another number of rows may round otherwise.
            if self._codes is None or self._codes.shape[1] < most:
                self._codes = self._quantized(self._latents[0], most)
            n = min(frames - at, self._codes.shape[2] - self._used)
            codes[:, :, at : at + n] = self._codes[:, :most, self._used : self._used + n]
            at, self._used = at + n, self._used + n
            if self._used == self._codes.shape[2]:
                self._latents.pop(0)
                self._codes, self._used = None, 0
        return codes

    def _feed(self, samples: Samples, *, last: bool = False) -> None:
        import torch

        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(samples))[:, None].to(self._network.device)
            latents = self._stream.push(x, last=last)
        if latents.shape[-1]:
            self._latents.append(latents)

    def _quantized(self, latents: "Tensor", n_q: int) -> Codes:
        import torch

        with torch.inference_mode():
            return self._network.quantize(latents, n_q).cpu().numpy().astype(np.uint16)


class Decoder:
    """`interface.Decoder`: whole blocks of codes go through the network; frames without codes are silent."""

    def __init__(self, model: Published, channels: int, start_frame: int) -> None:
        facts = model.facts
        self._network, self._hop, self._block, self._at = model.network, facts.hop, model.block, start_frame
        self._most, self._size = facts.max_n_q, 1 << facts.code_bits
        self._stream = model.network.synthesis()
        self._codes = np.zeros((channels, 0, 0), np.uint16)
        self._counts = np.zeros((channels, 0), np.int64)
        self._heard = np.zeros((channels, 0), np.bool_)  # of frames whose sound has not come out yet
        self._begun = 0  # samples of the first of these that came out
        self._any = False

    def push(self, codes: Codes, n_q: Counts, *, more: bool = False) -> Samples:
        self._take(codes, n_q)
        self._any = self._any or self._counts.shape[1] > 0
        pieces = [np.zeros((len(codes), 0), np.float32)]
        while self._counts.shape[1] >= (n := self._block - self._at % self._block):
            pieces.append(self._feed(n))
        return np.concatenate(pieces, 1)

    def flush(self) -> Samples:
        if not self._any:
            return np.zeros((len(self._counts), 0), np.float32)
        samples = self._feed(self._counts.shape[1], last=True)
        missing = self._heard.shape[1] * self._hop - self._begun  # a network may end a few samples early
        return np.pad(samples, ((0, 0), (0, max(0, missing))))

    def _take(self, codes: Codes, n_q: Counts) -> None:
        """Check codes and hold them; of those that are not in use any value is legal."""
        channels, rows, frames = codes.shape
        if channels != len(self._counts):
            raise ValueError(f"{channels} channels, not {len(self._counts)}")
        wanted = np.asarray(n_q, np.int64)
        counts = np.broadcast_to(wanted[:, None] if wanted.ndim == 1 else wanted, (channels, frames))
        if counts.min(initial=0) < 0 or counts.max(initial=0) > min(rows, self._most):
            raise ValueError(f"{counts.max(initial=0)} codebooks of {min(rows, self._most)}")
        codes = np.where(np.arange(rows)[:, None] < counts[:, None], codes, 0).astype(np.uint16)
        if codes.max(initial=0) >= self._size:
            raise ValueError(f"code {codes.max()} is over {self._size - 1}")
        most = max(1, rows, self._codes.shape[1])
        self._codes = np.concatenate([_rows(self._codes, most), _rows(codes, most)], 2)
        self._counts = np.concatenate([self._counts, counts], 1)

    def _feed(self, frames: int, *, last: bool = False) -> Samples:
        import torch

        codes, self._codes = self._codes[:, :, :frames], self._codes[:, :, frames:]
        counts, self._counts = self._counts[:, :frames], self._counts[:, frames:]
        self._at += frames
        self._heard = np.concatenate([self._heard, counts > 0], 1)
        codes = codes[:, : max(1, int(counts.max(initial=0)))]
        used = np.arange(codes.shape[1])[:, None] < counts[:, None]
        device = self._network.device
        with torch.inference_mode():
            latents = torch.zeros((len(codes), self._network.width, 0), device=device)
            if frames:
                latents = self._network.dequantize(
                    torch.from_numpy(codes.astype(np.int64)).to(device),
                    torch.from_numpy(used[:, :, None].astype(np.float32)).to(device),
                )
            samples = self._stream.push(latents, last=last)[:, 0].cpu().numpy()
        return self._gated(samples)

    def _gated(self, samples: Samples) -> Samples:
        """Silence where frames have no codes."""
        end = self._begun + samples.shape[1]
        done = end // self._hop
        if not self._heard.all():
            samples = np.where(np.repeat(self._heard, self._hop, 1)[:, self._begun : end], samples, np.float32(0))
        self._heard, self._begun = self._heard[:, done:], end - done * self._hop
        return samples


def _rows(codes: Codes, rows: int) -> Codes:
    return np.pad(codes, ((0, 0), (0, rows - codes.shape[1]), (0, 0)))
