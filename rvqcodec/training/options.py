"""Options of a training run, its three stages and NAME=VALUE settings; `RunState`: where a run stands."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from rvqcodec.errors import RvqError
from rvqcodec.models.rvq44.config import NEW, Config
from rvqcodec.training.data import Mix
from rvqcodec.training.losses import LONGEST


@dataclass(frozen=True)
class Options:
    """Everything that a run's result depends on, beside the data."""

    steps: int = 100_000  # the slice ends here or at `hours`, whichever comes first
    hours: float = 0.0  # 0: no limit
    batch: int = 16
    sub_frames: int = 56  # per crop; 56 are 0.75 s
    rate: float = 8e-4
    warm_up: int = 100
    anneal: float = 0.35  # the last share of the slice, in which the learning rate falls to `floor`
    floor: float = 0.02
    weight_decay: float = 1e-2
    synthetic: float = Mix.synthetic  # share of the crops
    average: float = 0.999  # of the weights that are evaluated and shipped
    codebook_decay: float = 0.99
    mel: float = 34.0
    waveform: float = 40.0
    spectrum: float = 10.0
    energy: float = 15.0
    commitment: float = 16.0  # at 4 the latents ran away from codebooks of 32 dimensions
    adversarial: float = 0.0  # 0: no judges
    matching: float = 6.0
    judge_rate: float = 4e-4
    judge_channels: int = 16
    judge_warm_up: int = 0  # first steps of the slice, in which the judges learn and the codec does not hear them
    decoder_only: bool = False
    start_batches: int = 330  # of 32 crops, from which means and codebooks are set
    carrier_steps: int = 1500  # that make the decoder's noise, in a new run
    stereo_steps: int = 160  # that make the table of a pair's parameters, in a new run
    seed: int = 0
    save_minutes: float = 5.0
    log_every: int = 50


@dataclass
class RunState:
    """Where a run stands. `sums` holds what the next log line is the mean of, still on the device."""

    step: int = 0
    run_start: int = 0  # step at which this slice began: learning rate and hours count from there
    seconds: float = 0.0  # spent in this slice
    sums: dict[str, list[Tensor]] = field(default_factory=dict)


STAGES: dict[str, dict[str, Any]] = {
    "reconstruct": {"adversarial": 0.0, "decoder_only": False},
    "adversarial": {"adversarial": 3.0, "decoder_only": False},
    "decoder": {"adversarial": 0.0, "decoder_only": True},
}

_OF_CONFIG = {field.name for field in dataclasses.fields(Config)}
_KINDS: dict[str, Any] = {field.name: type(field.default) for field in dataclasses.fields(Options)}
_KINDS |= {name: type(value) for name, value in NEW.to_dict().items()}
assert len(_KINDS) == len(_OF_CONFIG) + len(dataclasses.fields(Options)), "a name may mean one thing only"


def parse_settings(texts: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """("spectrum=10", "dim=512", ...) -> fields of Options, fields of Config. RvqError: unknown name, no number."""
    options: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        kind = _KINDS.get(name)
        if kind is None:
            raise RvqError(f"--set {text}: no such setting; there are {', '.join(sorted(_KINDS))}")
        try:
            if kind is bool:
                parsed: Any = {"true": True, "1": True, "false": False, "0": False}[value.lower()]
            else:
                parsed = kind(value)
        except (ValueError, KeyError) as error:
            raise RvqError(f"--set {text}: {value!r} is no {kind.__name__}; give {name}=NUMBER") from error
        (config if name in _OF_CONFIG else options)[name] = parsed
    return options, config


def new_config(changes: dict[str, Any]) -> Config:
    """The architecture of a new network: `NEW` but for the fields that were named."""
    return dataclasses.replace(NEW, **changes)


def check_options(options: Options, config: Config) -> None:
    """RvqError for values that no run can work with."""
    for name in ("steps", "batch", "sub_frames", "warm_up", "judge_channels", "start_batches", "log_every"):
        if getattr(options, name) < 1:
            raise RvqError(f"{name} {getattr(options, name)}: must be at least 1")
    if options.sub_frames % config.frame_sub_frames:
        raise RvqError(f"sub_frames {options.sub_frames}: must be whole frames, of {config.frame_sub_frames} each")
    if options.sub_frames * config.sub_frame < LONGEST:
        least = -(-LONGEST // config.sub_frame)
        raise RvqError(f"sub_frames {options.sub_frames}: must be at least {least}, for the longest window")
    if not 0 <= options.synthetic <= 1:
        raise RvqError(f"synthetic {options.synthetic}: must be a share between 0 and 1")
    if options.hours < 0 or options.rate <= 0:
        raise RvqError(f"hours {options.hours}, rate {options.rate}: hours must not be negative, rate positive")
