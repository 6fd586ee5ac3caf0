"""`rvq train`: train a model, or go on with a run; its tools are commands below it."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rvqcodec.cli import options, streams
from rvqcodec.cli.errors import guarded
from rvqcodec.cli.progress import Bar
from rvqcodec.cli.text import clock
from rvqcodec.cli.trainexport import EXPORTS
from rvqcodec.cli.traintools import TOOLS, cached_arrays, folder_option, print_figures, set_threads
from rvqcodec.errors import RvqError, needs_torch

if TYPE_CHECKING:
    from rvqcodec.training.trainer import Trainer

WITHOUT_TORCH = ("credits", "pack", "unpack")  # tools that need only files


@click.group(invoke_without_command=True)
@folder_option("--data", help="Train on the audio files in this folder and below.")
@click.option("--out", metavar="RUN", type=click.Path(path_type=Path), help="Folder of the run: last.pt, log.jsonl.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out: exactly, or as a new slice.")
@click.option(
    "--init",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Begin with a checkpoint (last.pt) or with weights (.json).",
)
@click.option(
    "--stage",
    type=click.Choice(["reconstruct", "adversarial", "decoder"]),
    help="reconstruct (the default): no discriminators; adversarial: with them; decoder: leave encoder and codebooks "
    "as they are, so that files stay valid.",
)
@click.option("--hours", type=click.FloatRange(0, min_open=True), help="End after so long, the rate annealed.")
@click.option("--steps", type=click.IntRange(1), help="End after so many steps, the rate annealed. [default: 100000]")
@click.option("--batch", type=click.IntRange(1), help="Crops a step. [default: 16]")
@click.option("--seed", type=click.IntRange(0), help="Of crops and weights. [default: 0]")
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="Any other setting of training, or of a new network; a wrong name lists them all. May be repeated.",
)
@options.device("Where to train")
@options.THREADS
@folder_option("--cache", help="Where decoded audio is kept. [default: RUN/cache]", must_exist=False)
@click.option("--compile", "compiled", is_flag=True, help="Let torch.compile fuse the network's blocks.")
@click.option("--no-figures", is_flag=True, help="Do not measure the held-out files at the end.")
@click.option("--quiet", is_flag=True, help="Print only warnings, errors and figures.")
@click.pass_context
@guarded
def train(
    ctx: click.Context,
    data: Path | None,
    out: Path | None,
    resume: bool,
    init: Path | None,
    stage: str | None,
    hours: float | None,
    steps: int | None,
    batch: int | None,
    seed: int | None,
    settings: tuple[str, ...],
    device: str,
    threads: int | None,
    cache: Path | None,
    compiled: bool,
    no_figures: bool,
    quiet: bool,
) -> None:
    """Train a model: rvq train --data FOLDER --out RUN --hours 8

    Every few minutes, at the end, and on Ctrl-C, SIGTERM and SIGHUP the run is saved; --resume goes on. A slice that
    was interrupted goes on exactly where it stood; one that is over, or other options, begin a new slice, whose
    learning rate rises and falls again. Every 25th file (by the hash of its name) is held out and measured at the end.
    """
    if ctx.invoked_subcommand not in WITHOUT_TORCH:
        needs_torch("training", extra="train")
    if ctx.invoked_subcommand is not None:
        return
    if data is None or out is None:
        raise click.UsageError("give --data FOLDER and --out RUN, or one of the commands below")
    from rvqcodec.models.loading import device_of
    from rvqcodec.training.data import Pool, held_out
    from rvqcodec.training.loop import run
    from rvqcodec.training.options import STAGES, new_config, parse_settings
    from rvqcodec.training.session import Request, begin

    options, config = parse_settings(settings)
    named = {"hours": hours, "steps": steps, "batch": batch, "seed": seed}
    options |= {name: value for name, value in named.items() if value is not None}
    chosen = device_of(device)
    set_threads(threads)
    arrays = cached_arrays(data, cache or out / "cache", new_config(config).sample_rate, quiet=quiet)
    trained = [array for array in arrays if not held_out(array.name)]
    if not trained:
        raise RvqError(f"{data}: all {len(arrays)} files are held out by the hash of their names; add more files")
    request = Request(
        out=out,
        options=(STAGES[stage] if stage else {}) | options,
        config=config,
        resume=resume,
        init=init,
        device=chosen,
        workers=min(8, os.cpu_count() or 1) if chosen == "cuda" else 1,
    )

    def say(line: str) -> None:
        if line and not quiet:
            streams.say(f"{out}: {line}")

    trainer = begin(request, Pool(trained, new_config(config).sample_rate), say=say)
    say(f"training on {len(trained)} files, {len(arrays) - len(trained)} held out; {machine_line(trainer)}")
    if compiled:
        trainer.compile_blocks()
    before = trainer.progress.step, trainer.progress.seconds
    with Bar(label="training", unit="%", quiet=quiet) as bar:
        stopped = run(trainer, shown=lambda share: bar.to(100 * share, 100))
    say(speed(trainer, *before))
    if stopped is not None:
        streams.say(f"{out}: saved at step {trainer.progress.step}; --resume goes on")
        os.kill(os.getpid(), signal.Signals(stopped))
        return
    if not no_figures:
        print_figures(trainer.model, arrays, trainer.progress.step, out / "figures.jsonl")


def machine_line(trainer: "Trainer") -> str:
    """Device, precision and size, for the line at the start."""
    import torch

    parameters = sum(p.numel() for p in trainer.network.parameters()) / 1e6
    where = f"{torch.get_num_threads()} CPU threads"
    if trainer.device.type == "cuda":
        where = torch.cuda.get_device_name(trainer.device)
    return f"{where}, {'bfloat16' if trainer.bf16 else 'float32'}, {parameters:.1f} M parameters"


def speed(trainer: "Trainer", step: int, seconds: float) -> str:
    """How fast it went since `step` and `seconds` of the slice; empty when it did not go."""
    steps, took = trainer.progress.step - step, trainer.progress.seconds - seconds
    if steps <= 0 or took <= 0:
        return ""
    config, options = trainer.network.config, trainer.options
    audio = steps * options.batch * options.sub_frames * config.sub_frame / config.sample_rate
    return f"{steps} steps in {clock(took)}, {audio / took:.1f} s of audio trained a second"


for tool in (*TOOLS, *EXPORTS):
    train.add_command(tool)
