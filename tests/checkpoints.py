"""Small checkpoints with random weights, laid out as Hugging Face does: the seven that are published, but small.

Needs torch and transformers. Codebooks are drawn like the latents that they code, or every code would be the same.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

SEANET = {"num_filters": 4, "hidden_size": 16}
WIDTHS = {"encoder_hidden_size": 4, "decoder_hidden_size": 48, "codebook_dim": 4}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "encodec-24khz": ("Encodec", {**SEANET, "codebook_dim": 16}),
    "encodec-32khz": (
        "Encodec",
        {
            **SEANET, "sampling_rate": 32000, "upsampling_ratios": [8, 5, 4, 4], "use_causal_conv": False,
            "codebook_size": 2048, "target_bandwidths": [2.2],
        },
    ),
    "encodec-48khz": (
        "Encodec",
        {
            **SEANET, "sampling_rate": 48000, "audio_channels": 2, "normalize": True, "chunk_length_s": 1.0,
            "overlap": 0.01, "norm_type": "time_group_norm", "use_causal_conv": False,
            "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
        },
    ),
    "dac-16khz": ("Dac", {**WIDTHS, "downsampling_ratios": [2, 4, 5, 8], "n_codebooks": 12}),
    "dac-24khz": (
        "Dac", {**WIDTHS, "sampling_rate": 24000, "downsampling_ratios": [2, 4, 5, 8], "n_codebooks": 32},
    ),
    "dac-44khz": ("Dac", {**WIDTHS, "sampling_rate": 44100, "downsampling_ratios": [2, 4, 8, 8], "n_codebooks": 9}),
    "mimi": (
        "Mimi",
        {
            "num_filters": 4, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48,
            "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "upsample_groups": 32,
            "vector_quantization_hidden_dimension": 8, "codebook_dim": 8, "sliding_window": 20,
        },
    ),
}  # fmt: skip
CODED = [name for name in VARIANTS if name != "encodec-48khz"]
REFINES = 0.93  # each codebook is so much smaller than the one before; the last must stay above the rounding of floats


def noise(n: int, channels: int = 1, *, seed: int = 0) -> NDArray[np.float32]:
    """Noise whose level moves, float32 [channels, n]."""
    rng = np.random.default_rng(seed)
    level = np.repeat(10 ** rng.uniform(-2, -0.5, n // 1000 + 1), 1000)[:n]
    return (rng.normal(0, 1, (channels, n)) * level).astype(np.float32)


def make(name: str, folder: Path, *, seed: int = 0, **other: Any) -> Any:
    """Write the folder of a variant, with other settings if there are some; gives the model of transformers."""
    kind, settings = VARIANTS[name]
    settings = settings | other
    torch.manual_seed(seed)
    config = getattr(transformers, f"{kind}Config")(**settings)
    model = getattr(transformers, f"{kind}Model")(config).eval()
    with torch.inference_mode():
        _fill(model, kind)
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    if bars:
        transformers.utils.logging.enable_progress_bar()
    return model


def _fill(model: Any, kind: str) -> None:
    latents = _latents(model)
    if kind == "Dac":
        return  # its codebooks are drawn already, and only their direction counts
    if kind == "Encodec":
        for name, parameter in model.encoder.named_parameters():
            if "bias" in name:
                parameter.mul_(0.05)  # or the latents hardly move
        last = model.encoder.layers[-1].conv
        gain = last.weight if model.config.normalize else last.parametrizations.weight.original0
        gain.mul_(1 / latents.std(2).mean())
        last.bias.sub_(_latents(model).mean((0, 2)))
        latents = _latents(model)
        _draw([layer.codebook.embed for layer in model.quantizer.layers], latents)
        return
    for half in (
        model.quantizer.semantic_residual_vector_quantizer,
        model.quantizer.acoustic_residual_vector_quantizer,
    ):
        _draw([layer.codebook.embed_sum for layer in half.layers], half.input_proj(latents))


def _latents(model: Any) -> Any:
    """Of a second of noise, [1, D, T]."""
    channels = getattr(model.config, "audio_channels", 1)
    found = model.encoder(torch.from_numpy(noise(model.config.sampling_rate, channels))[None])
    return getattr(found, "latents", found)


def _draw(codebooks: list[Any], latents: Any) -> None:
    mean, spread = latents.mean((0, 2)), latents.std((0, 2))
    for k, codebook in enumerate(codebooks):
        codebook.copy_(torch.randn(codebook.shape) * spread * REFINES**k + (mean if k == 0 else 0))


def codes_of(model: Any, samples: NDArray[np.float32]) -> NDArray[np.int64]:
    """All codes of one channel [n] in one pass, [K, T]; the last frame of DAC is filled with zeros."""
    config = model.config
    hop = config.hop_length if config.model_type == "dac" else 1
    x = torch.from_numpy(np.pad(samples, (0, -len(samples) % hop)))[None, None]
    with torch.inference_mode():
        if config.model_type == "encodec":
            return np.asarray(model.encode(x, bandwidth=config.target_bandwidths[-1]).audio_codes[0, 0])
        return np.asarray(model.encode(x).audio_codes[0])


def rounding(model: Any, quantize: Any, samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The frames of a channel [n] whose codes hang on the rounding of floats, bool [T].

    quantize: latents -> all codes [1, K, T]. Two entries are then equally near, and all codes behind that one differ.
    """
    config = model.config
    hop = config.hop_length if config.model_type == "dac" else 1
    with torch.inference_mode():
        found = model.encoder(torch.from_numpy(np.pad(samples, (0, -len(samples) % hop)))[None, None])
        latents = getattr(found, "latents", found)
        codes = quantize(latents)
        moved = [codes != quantize(latents + torch.randn_like(latents) * latents.std() * 1e-5) for _ in range(8)]
    return np.asarray(torch.stack(moved).any(0).any(1)[0])


def sound_of(model: Any, codes: NDArray[np.int64]) -> NDArray[np.float32]:
    """The sound of codes [K, T] in one pass, [n]."""
    grid = torch.from_numpy(np.ascontiguousarray(codes))[None]
    with torch.inference_mode():
        if model.config.model_type == "encodec":
            return np.asarray(model.decode(grid[None], [None]).audio_values[0, 0])
        found = model.decode(audio_codes=grid).audio_values
        return np.asarray(found.reshape(-1))
