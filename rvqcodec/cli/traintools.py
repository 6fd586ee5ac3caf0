"""The commands below `rvq train`: figures, usage, profile, plot, tables, name-tables, pack, unpack, credits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rvqcodec.cli import options, streams
from rvqcodec.cli.errors import guarded
from rvqcodec.cli.names import Job, check_target, result_name
from rvqcodec.cli.pipes import writing
from rvqcodec.cli.progress import Bar
from rvqcodec.errors import RvqError
from rvqcodec.files import temporary_folder

if TYPE_CHECKING:
    from rvqcodec.models.interface import Model

F = TypeVar("F", bound=Callable[..., Any])


def folder_option(name: str, *, help: str, must_exist: bool = True, required: bool = False) -> Callable[[F], F]:
    """An option that names a folder."""
    kind = click.Path(exists=must_exist, file_okay=False, path_type=Path)
    return click.option(name, metavar="FOLDER", type=kind, required=required, help=help)


def model_options(command: F) -> F:
    """--model or --checkpoint: which model a tool looks at."""
    command = click.option(
        "--checkpoint",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="The averaged weights of a run's last.pt instead.",
    )(command)
    return click.option("--model", metavar="ID", help="An installed model, or a .json. [default: the newest]")(command)


def chosen_model(model: str | None, checkpoint: Path | None) -> "Model":
    """The model that `model_options` name, on the CPU."""
    from rvqcodec.models import loading
    from rvqcodec.training import export

    if checkpoint is None:
        return loading.load(model, "cpu")
    if model is not None:
        raise click.UsageError("give --model or --checkpoint, not both")
    return export.averaged(checkpoint)


def cached_arrays(data: Path, cache: Path, sample_rate: int, *, quiet: bool) -> list[Path]:
    """The folder's audio as cached arrays, with a progress bar."""
    from rvqcodec.training.data import build_cache

    with Bar(label="decoding", unit="files", quiet=quiet) as bar:
        return build_cache(data, cache, sample_rate, warn=streams.say, shown=bar.to)


def set_threads(threads: int | None) -> None:
    """Set the number of CPU threads; None leaves torch's choice."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def print_figures(model: "Model", arrays: list[Path], step: int | None, log: Path | None) -> None:
    """Measure the held-out files; a table on stdout, and a line per row in `log`."""
    from rvqcodec.training.evaluate import figures, held_out_clips

    clips = held_out_clips(arrays, model.facts.model_rate)
    if not clips:
        streams.say("no file is held out (every 25th is, by the hash of its name): no figures")
        return
    most = model.facts.max_n_q
    rows = figures(model, clips, sorted({max(1, most // 8), most // 4, most // 2, most}))
    names = list(dict.fromkeys(name for row in rows for name in row))
    streams.show("  ".join(f"{name:>14}" for name in names))
    for row in rows:
        streams.show("  ".join(f"{row[name]:>14g}" if name in row else " " * 14 for name in names))
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"step": step} | row) + "\n" for row in rows)


@click.command()
@folder_option("--data", help="The folder that was trained on.", required=True)
@folder_option("--cache", help="Where decoded audio is kept.", must_exist=False, required=True)
@model_options
@options.THREADS
@guarded
def figures(data: Path, cache: Path, model: str | None, checkpoint: Path | None, threads: int | None) -> None:
    """Measure the held-out files of a folder: a row per number of codebooks."""
    set_threads(threads)
    chosen = chosen_model(model, checkpoint)
    print_figures(chosen, cached_arrays(data, cache, chosen.facts.model_rate, quiet=False), None, None)


@click.command()
@folder_option("--data", help="Count over the audio files in this folder and below.", required=True)
@folder_option("--cache", help="Where decoded audio is kept.", must_exist=False, required=True)
@model_options
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="How much of it, spread evenly. [default: all]",
)
@options.THREADS
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@guarded
def usage(
    data: Path,
    cache: Path,
    model: str | None,
    checkpoint: Path | None,
    minutes: float | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """How much of each codebook's entropy the codes use, in bits and percent."""
    from rvqcodec.training.codebook_usage import measure_usage

    set_threads(threads)
    chosen = chosen_model(model, checkpoint)
    arrays = cached_arrays(data, cache, chosen.facts.model_rate, quiet=False)
    with Bar(label="encoding", unit="excerpts", quiet=False) as bar:
        found = measure_usage(chosen, arrays, seconds=60 * minutes if minutes else None, shown=bar.to)
    if as_json:
        fields = {"frames": found.frames, "bits": found.code_bits, "entropy": found.entropy, "unused": found.unused}
        streams.show_json(fields)
        return
    streams.show("codebook    bits  percent  unused")
    for k, (bits, unused) in enumerate(zip(found.entropy, found.unused, strict=True)):
        streams.show(f"{k:8}  {bits:6.3f}  {100 * bits / found.code_bits:7.1f}  {unused:6}")
    least, mean = min(found.entropy), sum(found.entropy) / len(found.entropy)
    percent = 100 / found.code_bits
    shares = f"least {least * percent:.1f} %, mean {mean * percent:.1f} % of {found.code_bits} bits"
    streams.show(f"{shares}, over {found.frames} frames ({model or checkpoint or chosen.facts.model_id})")


@click.command()
@folder_option("--data", help="Audio to train on.", required=True)
@folder_option("--cache", help="Where decoded audio is kept.", must_exist=False, required=True)
@click.option("--steps", type=click.IntRange(1), default=20, show_default=True, help="How many steps to time.")
@click.option("--stage", type=click.Choice(["reconstruct", "adversarial", "decoder"]), default="reconstruct")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="As for `rvq train`.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@options.THREADS
@click.option("--compile", "compiled", is_flag=True, help="Let torch.compile fuse the network's blocks.")
@guarded
def profile(
    data: Path,
    cache: Path,
    steps: int,
    stage: str,
    settings: tuple[str, ...],
    device: str,
    threads: int | None,
    compiled: bool,
) -> None:
    """Time some steps by part: data, network, losses, discriminators, update. Nothing is saved."""
    from rvqcodec.models.loading import device_of
    from rvqcodec.training import profile as profiling
    from rvqcodec.training.data import Pool
    from rvqcodec.training.options import STAGES, Options, check_options, new_config, parse_settings
    from rvqcodec.training.trainer import Trainer

    options, config = parse_settings(settings)
    wanted = Options(**(STAGES[stage] | options))
    architecture = new_config(config)
    check_options(wanted, architecture)
    set_threads(threads)
    rate = architecture.sample_rate
    pool = Pool(cached_arrays(data, cache, rate, quiet=False), rate)
    with temporary_folder() as folder:
        trainer = Trainer(config=architecture, options=wanted, pool=pool, out=folder, device=device_of(device))
        if compiled:
            trainer.compile_blocks()
        found = profiling.profile(trainer, steps)
    total = sum(found.seconds.values())
    for name, seconds in found.seconds.items():
        streams.show(f"{name:14} {1000 * seconds / steps:8.1f} ms a step  {100 * seconds / total:5.1f} %")
    streams.show(f"{'all':14} {1000 * total / steps:8.1f} ms a step  {found.speed:.1f} s of audio trained a second")


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Image: .png, .svg or .pdf.")
@options.FORCE_ONE
@guarded
def plot(run: Path, output: Path, force: bool) -> None:
    """Draw the curves of a run from its log (needs matplotlib)."""
    check_target(str(output), force=force)
    from rvqcodec.training.curves import draw

    draw(run, output)


@click.command()
@folder_option("--data", help="Audio to learn from; held-out files are left out, as in training.", required=True)
@folder_option("--cache", help="Where decoded audio is kept.", must_exist=False, required=True)
@click.option("--model", metavar="ID", help="An installed model, or a .json. [default: the newest]")
@folder_option("--to", help="Where the tables go; a model's must lie beside it.", must_exist=False, required=True)
@click.option("--audio", type=click.FloatRange(1), default=300, show_default=True, help="Minutes of it to encode.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=15, show_default=True, help="To train.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of excerpts and weights.")
@options.THREADS
@click.option("-f", "--force", is_flag=True, help="Overwrite tables of that model.")
@guarded
def tables(
    data: Path,
    cache: Path,
    model: str | None,
    to: Path,
    audio: float,
    minutes: float,
    seed: int,
    threads: int | None,
    force: bool,
) -> None:
    """Make the tables by which a model's codes are coded in fewer bytes: MODEL.tables.safetensors.

    They say how likely each code is after others. Files name the tables that they were coded with: other tables, other
    files.
    """
    from rvqcodec.models import cards
    from rvqcodec.models.coding import ENDING
    from rvqcodec.training import tables as making
    from rvqcodec.training.data import held_out

    set_threads(threads)
    card = cards.find(model)
    target = to / f"{card.model_id}{ENDING}"
    if target.exists() and not force:
        raise RvqError(f"{target}: exists; use -f to replace it")
    chosen, network = making.opened(card)
    arrays = [a for a in cached_arrays(data, cache, chosen.facts.model_rate, quiet=False) if not held_out(a.name)]
    if not arrays:
        raise RvqError(f"{data}: all files are held out by the hash of their names; add more files")
    with Bar(label="encoding", unit="s", quiet=False) as bar:
        collected = making.collect(chosen, arrays, 60 * audio, seed, shown=bar.to)
    with Bar(label="training", unit="%", quiet=False) as bar:
        tensors = making.train(network, collected, 60 * minutes, seed, shown=lambda share: bar.to(share, 1))
    to.mkdir(parents=True, exist_ok=True)
    click.echo(f"{target} {making.write(tensors, target, card.bitstream_sha256, force=force)}")


@click.command()
@click.argument("path", metavar="TABLES", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@guarded
def name_tables(path: Path) -> None:
    """Write the sha256 of MODEL.tables.safetensors into the cards of its model beside it.

    A card without it, or with another, makes rvq refuse the tables. `tables` and `export` write it too.
    """
    from rvqcodec.training import tables as making

    named = making.name_in_cards(path)
    if not named:
        raise RvqError(f"{path}: no card beside it is of the model and bitstream that the tables are made for")
    streams.show(*map(str, named))


def bytes_of(text: str) -> int:
    """ "60MiB", "16MB", "1GiB", "5000" -> bytes. RvqError for anything else."""
    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
    digits = text.strip().rstrip("bBkKmMgGiI")
    unit = text.strip()[len(digits) :].upper()
    try:
        size = int(float(digits) * units[unit])
    except (ValueError, KeyError, OverflowError) as error:
        raise RvqError(f"size {text!r}: give something like 60MiB, 16MB or 5000") from error
    return size


@click.command()
@click.argument("source", metavar="PATH", type=click.Path(exists=True, path_type=Path))
@folder_option("--to", help="Where the pieces go.", must_exist=False, required=True)
@click.option("--piece", default="60MiB", show_default=True, metavar="SIZE", help="The most that a piece takes.")
@guarded
def pack(source: Path, to: Path, piece: str) -> None:
    """Cut a corpus or a run into pieces for transport, with their hashes."""
    from rvqcodec.training import pieces

    streams.show(str(pieces.pack(source, to, bytes_of(piece))))


@click.command()
@click.argument("listing", metavar="NAME.pieces.json", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@folder_option("--to", help="Where what was packed goes.", must_exist=False, required=True)
@guarded
def unpack(listing: Path, to: Path) -> None:
    """Check the pieces that lie beside NAME.pieces.json and put them together again."""
    from rvqcodec.training import pieces

    with Bar(label="checking", unit="B", quiet=False) as bar:
        target = pieces.unpack(listing, to, shown=bar.to)
    streams.show(str(target))


@click.command()
@click.argument("manifest", metavar="MANIFEST.tsv", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, metavar="PATH", help="The CREDITS.md to write, or - for stdout.")
@options.FORCE_ONE
@guarded
def credits(manifest: Path, output: str, force: bool) -> None:
    """Write the credits of a corpus: every source with commit, licences, files and hours."""
    from rvqcodec.training import credits as crediting

    text = crediting.render(crediting.read_manifest(manifest))
    with writing(Job(str(manifest), result_name(output)), force=force) as sink:
        sink.write(text.encode())


TOOLS: tuple[click.Command, ...] = (figures, usage, profile, plot, tables, name_tables, pack, unpack, credits)
