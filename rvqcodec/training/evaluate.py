"""Figures of a model on whole clips, as a training run sees them: per bitrate, speech and the rest apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rvqcodec.codec.decoding import Decoder, Span
from rvqcodec.codec.encoding import Encoder
from rvqcodec.container import Header
from rvqcodec.models.interface import Model
from rvqcodec.report.metrics import PERCEPTUAL, measure, missing
from rvqcodec.training.data import held_out, mapped
from rvqcodec.types import Samples

CLIP_SECONDS = 6


@dataclass(frozen=True)
class HeldOutClip:
    """A mono recording at the model's rate."""

    name: str
    samples: Samples


def reconstruct(model: Model, samples: Samples, n_q: int) -> Samples:
    """samples [N] -> what n_q codebooks a frame, in the mean, keep of them [N]."""
    header = Header.of(
        model.facts, sample_rate=model.facts.model_rate, channels=1, total_n_q=n_q, n_samples=len(samples)
    )
    encoder, decoder = Encoder(model, header), Decoder(model, header, Span(header))
    chunks = [*encoder.push(samples[None], more=True), *encoder.flush()]
    sound = [decoder.push(chunk, more=True) for chunk in chunks]
    decoded: Samples = np.concatenate([*sound, *decoder.flush(len(samples))], 1)[0]
    return decoded


def figures(model: Model, clips: Sequence[HeldOutClip], n_q: Sequence[int]) -> list[dict[str, float]]:
    """A row per number of codebooks: mel, stft, si_sdr (speech_ and other_), stoi and pesq of speech.

    stoi and pesq only where the extra [metrics] is installed.
    """
    judged = [name for name in ("stoi", "pesq") if not missing(name)]
    rows = []
    for k in n_q:
        sums: dict[str, list[float]] = {}
        for clip in clips:
            speech = clip.name.startswith("speech")
            wanted = judged if speech else []
            other = reconstruct(model, clip.samples, k)
            result = measure(clip.samples, other, model.facts.model_rate, perceptual_metrics=wanted, align=False)
            for name in ("mel", "stft", "si_sdr", *wanted):
                value = getattr(result, name)
                kind = "" if name in PERCEPTUAL else "speech_" if speech else "other_"
                if value is not None:
                    sums.setdefault(kind + name, []).append(value)
        rows.append({"n_q": float(k)} | {name: round(float(np.mean(v)), 4) for name, v in sums.items()})
    return rows


def held_out_clips(arrays: Sequence[Path], sample_rate: int) -> list[HeldOutClip]:
    """Clips of 6 s from the files that are never trained on, three of each: at a quarter, a half, three quarters."""
    n, clips = CLIP_SECONDS * sample_rate, []
    for array in arrays:
        if held_out(array.name):
            track = mapped(array)
            for quarter in (1, 2, 3):
                begin = track.shape[1] * quarter // 4
                samples = track[:, begin : begin + n].mean(0, dtype=np.float32) / 32768
                if len(samples) >= sample_rate:
                    clips.append(HeldOutClip(array.name, samples.astype(np.float32)))
    return clips
