"""From what a user asked for to a `Trainer` that stands where it should: a new run, the same slice, or a new slice."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rvqcodec.errors import RvqError
from rvqcodec.models import cards, loading
from rvqcodec.models.rvq44.config import Config
from rvqcodec.models.rvq44.family import Rvq44
from rvqcodec.models.rvq44.network.engine import network_of
from rvqcodec.training import checkpoint
from rvqcodec.training.data import Pool
from rvqcodec.training.options import Options, check_options, new_config
from rvqcodec.training.trainer import Trainer


@dataclass(frozen=True)
class Request:
    """What the command line said. `options` and `config` hold only the fields that were named."""

    out: Path
    options: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    resume: bool = False
    init: Path | None = None
    device: str = "cpu"
    workers: int = 1


def begin(request: Request, pool: Pool, *, say: Callable[[str], None] = lambda line: None) -> Trainer:
    """The trainer to run. `say` is called with one line about where it stands.

    With a run in `out` and `resume`: exactly on, when its slice was interrupted and no named option differs; else a
    new slice, with the previous options except for those named. `init`: a new run from another's last.pt or from
    shipped weights (.json). Neither: a new run, set from data. RvqError when `out` holds a run and `resume` is not
    asked for.
    """
    last = request.out / checkpoint.LAST
    if last.exists() and not request.resume:
        raise RvqError(f"{last}: there is a run already; add --resume to go on with it, or name another --out")
    if last.exists():
        return _go_on(request, pool, last, say)
    if request.init is None:
        trainer = _trainer(request, pool, new_config(request.config), Options(**request.options))
        say("new run: setting codebooks from data")
        trainer.start()
        return trainer
    if request.init.suffix == ".json":
        card = cards.read_card(request.init)
        source = loading.open_card(card)
        if not isinstance(source, Rvq44):
            raise RvqError(f"{request.init}: a model of another family; only rvq44 is trained here")
        network = network_of(source.engine.config, loading.verified_tensors(card))
        trainer = _trainer(request, pool, _same(request, network.config, request.init), Options(**request.options))
        trainer.adopt(network)
        say(f"new run from the weights of {source.facts.model_id}")
        return trainer
    state = checkpoint.read(request.init)
    config = _same(request, checkpoint.config_of(request.init, state), request.init)
    trainer = _trainer(request, pool, config, Options(**request.options))
    trainer.load(request.init, new_slice=True)
    say(f"new run from {request.init}, step {trainer.progress.step}")
    return trainer


def _go_on(request: Request, pool: Pool, last: Path, say: Callable[[str], None]) -> Trainer:
    """The run in `out`, exactly or as a new slice."""
    if request.init is not None:
        raise RvqError(f"{last}: goes on with --resume, which needs no --init; name another --out for a new run")
    state = checkpoint.read(last)
    config = _same(request, checkpoint.config_of(last, state), last)
    before = Options(**state["options"])
    options = dataclasses.replace(before, **request.options)
    trainer = _trainer(request, pool, config, options)
    trainer.load(last, new_slice=False)
    if options == before and trainer.share_done() < 1:
        say(f"going on at step {trainer.progress.step}, {100 * trainer.share_done():.1f} % of the slice done")
        return trainer
    trainer.load(last, new_slice=True)
    why = "the last one is over" if options == before else "options differ"
    say(f"a new slice from step {trainer.progress.step}: {why}")
    return trainer


def _trainer(request: Request, pool: Pool, config: Config, options: Options) -> Trainer:
    check_options(options, config)
    pool.mix = dataclasses.replace(pool.mix, synthetic=options.synthetic)
    return Trainer(
        config=config, options=options, pool=pool, out=request.out, device=request.device, workers=request.workers
    )


def _same(request: Request, config: Config, path: Path) -> Config:
    """The architecture of a checkpoint; RvqError when another was asked for."""
    for name, value in request.config.items():
        if getattr(config, name) != value:
            raise RvqError(f"--set {name}={value}: {path} has {getattr(config, name)}; only a new run can change it")
    return config
