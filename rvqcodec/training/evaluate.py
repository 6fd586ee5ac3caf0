"""Figures of a codec on whole clips, as a training run sees them: per bitrate, speech and the rest apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from rvqcodec.config import SUB_FRAMES
from rvqcodec.envelope import by_sub_frame
from rvqcodec.metrics import PERCEPTUAL, measure, missing
from rvqcodec.model import Codec
from rvqcodec.training.data import held_out, mapped

Samples = npt.NDArray[np.float32]

N_Q = (4, 8, 16, 32)
CLIP_SECONDS = 6


@dataclass(frozen=True)
class Clip:
    """A mono recording at the model's rate."""

    name: str
    samples: Samples


@torch.no_grad()
def reconstruct(codec: Codec, samples: Samples, n_q: int) -> Samples:
    """samples [N] -> what n_q codebooks keep of them [N], in one pass: what a stream gives, but for rounding.

    As in a stream the encoder sees silence after the end, the decoder frames without codebooks.
    """
    config = codec.config
    sub = config.sub_frame
    frames = -(-(len(samples) + sub) // config.hop)
    ahead = config.envelope_blocks + config.encoder_blocks + config.decoder_blocks  # frames; more than is needed
    padded = np.zeros((SUB_FRAMES * (frames + ahead) + 1) * sub, np.float32)
    padded[sub : sub + len(samples)] = samples
    x = torch.from_numpy(padded)[None].to(codec.envelope_mean.device)
    parts = codec.quantize(x, torch.tensor([n_q], device=x.device))
    envelope = by_sub_frame(parts.envelope.latent)
    latent = codec.unpack(by_sub_frame(parts.waveform.latent), envelope)
    used = torch.full(envelope.shape[:2], n_q, device=x.device)
    for after_the_end in (envelope, latent, used):
        after_the_end[:, SUB_FRAMES * frames :] = 0
    out = codec.synthesize(latent, envelope, used)
    noise = codec.noise(0, envelope.shape[1])
    coefficients = (out.waveform + out.noise_amplitude * noise) * (used > 0)[..., None]
    return codec.waveform(coefficients)[0, sub : sub + len(samples)].float().cpu().numpy()


def figures(codec: Codec, clips: Sequence[Clip], n_q: Sequence[int] = N_Q) -> list[dict[str, float]]:
    """A row per number of codebooks: mel, stft, si_sdr (speech_ and other_), stoi and pesq of speech.

    stoi and pesq only where the extra [metrics] is installed.
    """
    codec.eval()
    judged = [name for name in ("stoi", "pesq") if not missing(name)]
    rows = []
    for k in n_q:
        sums: dict[str, list[float]] = {}
        for clip in clips:
            speech = clip.name.startswith("speech")
            wanted = judged if speech else []
            other = reconstruct(codec, clip.samples, k)
            result = measure(clip.samples, other, codec.config.sample_rate, perceptual_metrics=wanted, align=False)
            for name in ("mel", "stft", "si_sdr", *wanted):
                value = getattr(result, name)
                kind = "" if name in PERCEPTUAL else "speech_" if speech else "other_"
                if value is not None:
                    sums.setdefault(kind + name, []).append(value)
        rows.append({"n_q": float(k)} | {name: round(float(np.mean(v)), 4) for name, v in sums.items()})
    return rows


def held_out_clips(arrays: Sequence[Path], sample_rate: int) -> list[Clip]:
    """Clips of 6 s from the files that are never trained on: at a quarter, the half and three quarters of each."""
    n, clips = CLIP_SECONDS * sample_rate, []
    for array in arrays:
        if held_out(array.name):
            track = mapped(array)
            for quarter in (1, 2, 3):
                begin = track.shape[1] * quarter // 4
                samples = track[:, begin : begin + n].mean(0, dtype=np.float32) / 32768
                if len(samples) >= sample_rate:
                    clips.append(Clip(array.name, samples.astype(np.float32)))
    return clips
