"""Figures of a codec on whole clips, as a training run sees them: per bitrate, speech and the rest apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from rvqcodec.metrics import measure
from rvqcodec.model import Codec

N_Q = (4, 8, 16, 32)


@dataclass(frozen=True)
class Clip:
    """A mono recording at the model's rate."""

    name: str
    samples: npt.NDArray[np.float32]


@torch.no_grad()
def reconstruct(codec: Codec, samples: npt.NDArray[np.float32], n_q: int) -> npt.NDArray[np.float32]:
    """samples [N] -> what n_q codebooks keep of them [N], in one pass without streaming."""
    config = codec.config
    sub = config.sub_frame
    frames = -(-(len(samples) + sub) // config.hop)
    padded = np.zeros((2 * frames + 1) * sub, np.float32)
    padded[sub : sub + len(samples)] = samples
    x = torch.from_numpy(padded)[None].to(codec.envelope_mean.device)
    kept = torch.tensor([n_q], device=x.device)
    parts = codec.quantize(x, kept)
    envelope = parts.envelope.latent.reshape(1, -1, config.bands)
    latent = parts.waveform.latent.reshape(1, -1, config.latent)
    out = codec.synthesize(latent, envelope, kept.expand(1, envelope.shape[1]))
    noise = codec.noise(0, envelope.shape[1], x.device)
    y = codec.waveform(out.waveform + out.noise_amplitude * noise)[0, sub : sub + len(samples)]
    return y.float().cpu().numpy()


def figures(codec: Codec, clips: Sequence[Clip], n_q: Sequence[int] = N_Q) -> list[dict[str, float]]:
    """A row per number of codebooks: mel, stft, si_sdr (speech_ and other_), stoi and pesq of speech."""
    codec.eval()
    rows = []
    for k in n_q:
        sums: dict[str, list[float]] = {}
        for clip in clips:
            speech = clip.name.startswith("speech")
            result = measure(clip.samples, reconstruct(codec, clip.samples, k), codec.config.sample_rate)
            for name in ("mel", "stft", "si_sdr"):
                sums.setdefault(f"{'speech' if speech else 'other'}_{name}", []).append(getattr(result, name))
            if speech:
                for name in ("stoi", "pesq"):
                    value = getattr(result, name)
                    if value is not None:
                        sums.setdefault(name, []).append(value)
        rows.append({"n_q": float(k)} | {name: round(float(np.mean(v)), 4) for name, v in sums.items()})
    return rows
