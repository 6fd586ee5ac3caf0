"""The torch engine: what `engine.Engine` asks for, from a network, on its device; windows are merged on CUDA."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.decoder import DECODER_GROUP
from rvqcodec.models.rvq44.encoder import GROUP
from rvqcodec.models.rvq44.engine import Counts, Window
from rvqcodec.models.rvq44.network.chain import Chain
from rvqcodec.models.rvq44.network.coders import Searched
from rvqcodec.models.rvq44.network.model import Network
from rvqcodec.models.rvq44.network.pair import PairDecoder
from rvqcodec.models.rvq44.onsets import Onsets
from rvqcodec.models.rvq44.scales import Scales
from rvqcodec.models.rvq44.tables import Floats
from rvqcodec.models.rvq44.timing import WAIT
from rvqcodec.types import Codes, Samples


class TorchEngine:
    """A network as an engine, as it is now: make another one after it has learned."""

    def __init__(self, network: Network) -> None:
        self.network, self.config = network, network.config
        self.windows_in_one = GROUP if network.device.type != "cpu" else 1  # wants large operations
        self.scales = Scales(network.config, as_numpy(network.envelope_mean))
        self.onsets = Onsets(network.config, as_numpy(network.onset.entries))
        self.stereo_table = as_numpy(network.stereo_table)
        self._coder = Searched(network.quantizers)

    @classmethod
    def of(cls, config: Config, tensors: Mapping[str, npt.NDArray[Any]], device: str) -> "TorchEngine":
        """From a model's tensors. RuntimeError or ValueError where they do not fit the config."""
        return cls(network_of(config, tensors).to(device))

    @torch.inference_mode()
    def analyse(self, windows: Sequence[Samples], *, paired: bool) -> list[Window]:
        network = self.network
        samples = [torch.from_numpy(window).to(network.device) for window in windows]
        found = []
        for shape, all_channels in zip(
            network.shapes([x[:1] if paired else x for x in samples], self._coder), samples, strict=True
        ):
            heads = as_numpy(shape.envelope.codes.transpose(1, 2))
            levels = as_numpy(network.levels(shape.envelope.codes))
            second = as_numpy(network.analyse(all_channels[1:])[1][0]) if paired else None
            quantized, latents = as_numpy(shape.quantized), as_numpy(shape.waveform_latent)
            found.append(Window(heads, quantized, levels, latents, as_numpy(shape.coefficients), second))
        return found

    @torch.inference_mode()
    def details(self, latents: Sequence[Floats], n_q: Sequence[int]) -> list[npt.NDArray[np.int64]]:
        if not latents:
            return []
        rows = torch.from_numpy(np.stack(latents)).to(self.network.device)
        return list(as_numpy(self._coder.details(rows, n_q)))

    def synthesis(self, channels: int, *, paired: bool, first: int) -> "TorchSynthesis":
        return TorchSynthesis(self.network, channels, paired=paired, first=first)

    def windows_together(self) -> int:
        return max(self.windows_in_one, DECODER_GROUP if self.windows_in_one > 1 else 1)


def network_of(config: Config, tensors: Mapping[str, npt.NDArray[Any]]) -> Network:
    """The network of a model's tensors, ready to run. RuntimeError or ValueError where they do not fit the config."""
    network = Network(config)
    network.load_state_dict({name: torch.from_numpy(tensor).float() for name, tensor in tensors.items()})
    return network.eval().requires_grad_(False)


class TorchSynthesis:
    """Windows of codes to sound; see `engine.Synthesis`."""

    def __init__(self, network: Network, channels: int, *, paired: bool, first: int) -> None:
        config = network.config
        self.network = network
        self._own = 1 if paired else channels  # channels that the network makes
        self._chain = Chain(network.decoder_net, self._own, network.envelope_mean)
        self._pair = PairDecoder(network, self._chain.lag) if paired else None
        self.lag = self._chain.lag + (WAIT * config.frame_sub_frames if paired else 0)
        self._before = network.envelope_mean.new_zeros(channels, 1, config.sub_frame)  # coefficients
        self._levels: torch.Tensor | None = None  # of the last two sub-frames
        self._position = first - self._chain.lag  # of the next sub-frame that leaves the blocks

    def __call__(self, windows: Sequence[tuple[Codes, Counts]]) -> list[Samples]:
        return [self._window(codes, counts) for codes, counts in windows]

    @torch.inference_mode()
    def _window(self, codes: Codes, counts: Counts) -> Samples:
        most, device = int(counts.max()), self._before.device
        x = torch.from_numpy(codes[:, :most].astype(np.int64)).to(device)
        n_q = torch.from_numpy(np.ascontiguousarray(counts)).to(device)
        parts = self.network.dequantize(x[: self._own], n_q[: self._own], self._levels)
        made = self.network.decode(parts, n_q[: self._own], self._position, self._chain)
        self._levels = parts.levels[:, -2:]
        self._position += made.coefficients.shape[1]
        if self._pair is not None:
            made = self._pair.push(made, x[1], n_q[1])
        sound = self.network.sound if made.onset.any() else self.network.sound_without_onsets
        samples = as_numpy(sound(made, self._before))
        self._before = made.coefficients[:, -1:]
        return samples


def as_numpy(x: torch.Tensor) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = x.detach().cpu().numpy().copy()
    return found
