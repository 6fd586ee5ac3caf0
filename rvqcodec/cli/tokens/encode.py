"""`rvq tokens encode`: the codes of audio or .rvq files as token sequences."""

import os
import shutil
import tempfile
from dataclasses import replace

import click

from rvqcodec.audio.formats import READ_ENDINGS
from rvqcodec.cli import options, streams
from rvqcodec.cli.errors import Batch, guarded
from rvqcodec.cli.jobs import run_jobs
from rvqcodec.cli.names import Job, named_ending, plan
from rvqcodec.cli.pipes import reading, writing
from rvqcodec.cli.streams import STREAM
from rvqcodec.cli.text import length_of
from rvqcodec.codes import filling
from rvqcodec.codes.grid import Codes
from rvqcodec.codes.tokenfile import ENDINGS, FORMATS, dump, layout_of
from rvqcodec.codes.tokens import PATTERNS, Layout
from rvqcodec.container.headerbytes import MAGIC
from rvqcodec.errors import RvqError
from rvqcodec.files import is_special
from rvqcodec.texts import printable
from rvqcodec.types import Progress


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--output", metavar="PATH", help="Result: a file (.npz, .npy, .jsonl), a folder, or - for stdout.")
@click.option(
    "--to",
    type=click.Choice(FORMATS),
    help="Kind of result where no file name says it.  [default: npz; on stdout and in pipes jsonl]",
)
@click.option(
    "--pattern",
    type=click.Choice(PATTERNS),
    default="parallel",
    show_default=True,
    help="At which step each code stands (formats/patterns.md).",
)
@click.option("--boundaries", is_flag=True, help="Add a step of start tokens and a step of end tokens.")
@click.option("-b", "--bitrate", help="For audio: the most that the codes take, as in rvq encode.  [default: 6kbps]")
@options.codebooks("For audio: ")
@options.mono("For audio: ")
@click.option("--constant", is_flag=True, help="For audio: give every frame the same number of codes.")
@click.option("--model", metavar="ID", help="For audio: model to use (see `rvq models`).")
@options.IGNORE_LENGTH
@options.DEVICE
@options.recursive("audio and .rvq")
@options.PRESERVE_MODTIME
@options.SKIP_EXISTING
@options.FORCE
@options.QUIET
@guarded
def encode(
    inputs: tuple[str, ...],
    output: str | None,
    to: str | None,
    pattern: str,
    boundaries: bool,
    bitrate: str | None,
    codebooks: int | None,
    mono: bool,
    constant: bool,
    model: str | None,
    ignore_length: bool,
    device: str,
    recursive: bool,
    preserve_modtime: bool,
    skip_existing: bool,
    force: bool,
    quiet: bool,
) -> None:
    """Write the codes of audio or .rvq files as tokens: song.wav becomes song.npz beside it.

    INPUT is an .rvq file, which needs no network, or audio as for rvq encode; - is stdin, whose result goes to
    stdout. Prints codebooks, frames, steps and the number of tokens.
    """
    bits = options.asked_bitrate(bitrate, model)
    ending = named_ending(output)
    if ending is not None and ending not in ENDINGS:
        raise click.UsageError(
            f"-o {printable(output or '')}: must end in {', '.join(ENDINGS)}; or name the kind with --to"
        )
    file_format = to or ENDINGS.get(ending or "")
    batch = Batch(quiet=quiet)
    accepts = {*READ_ENDINGS, ".rvq"}
    name = f".{file_format or 'npz'}"
    work = plan(
        inputs, output, ending=name, accepts=accepts, recursive=recursive, skip_existing=skip_existing, batch=batch
    )

    def run(job: Job, progress: Progress) -> str:
        source = _reread(job.source)
        if _is_rvq(source):
            if bitrate or codebooks or mono or constant or model or ignore_length:
                raise RvqError(
                    "-b, -q, --mono, --constant, --ignore-length, --model are for audio; use rvq trim on .rvq first"
                )
            with reading(source) as file:
                codes = Codes.read(file)
        else:
            from rvqcodec.codec import EncodeOptions, encode_codes

            wanted = EncodeOptions(
                bitrate=bits,
                n_q=codebooks,
                mono=mono,
                constant=constant,
                model=model,
                device=device,
                plain=True,
                ignore_length=ignore_length,
            )
            found, remarks = encode_codes(source, wanted, progress=progress)
            batch.tell(remarks)
            codes = _coded(found)
        layout = layout_of(codes, pattern, boundaries=boundaries)
        with writing(job, force=force) as out:
            flows = job.target == STREAM or is_special(job.target)
            for piece in dump(codes, layout, file_format or ("jsonl" if flows else "npz")):
                out.write(piece)
        line = _size(codes, layout)
        if job.target == STREAM and not quiet:
            streams.say(line, prefix="")
        return line

    run_jobs(work, run, force=force, batch=batch, label="encode", preserve_modtime=preserve_modtime)


def _reread(source: str) -> str:
    """An input that can be looked into first: stdin and pipes are put into a temporary file, which becomes stdin."""
    if source != STREAM and not is_special(source):
        return source
    spool = tempfile.TemporaryFile(prefix="rvq-")  # noqa: SIM115
    with reading(source) as stream:
        shutil.copyfileobj(stream, spool)
    spool.seek(0)
    os.dup2(spool.fileno(), 0)
    return STREAM


def _is_rvq(source: str) -> bool:
    with open(os.dup(0) if source == STREAM else source, "rb", buffering=0) as file:
        found = file.read(len(MAGIC)) == MAGIC
        file.seek(0)  # of stdin too, whose place a duplicate shares
    return found


def _coded(codes: Codes) -> Codes:
    """The same, which back in a file take fewer bytes where the model's tables are installed, as `rvq encode` does."""
    from rvqcodec.models import coding

    tables = coding.tables_hash(codes.header.model_id, codes.header.weights_hash)
    return replace(codes, header=filling.coded(codes.header, tables, 0)) if tables else codes


def _size(codes: Codes, layout: Layout) -> str:
    steps = layout.steps(codes.frames)
    channels = "" if len(codes.codes) == 1 else f"{len(codes.codes)} channels x "
    size, rate = f"{1 << codes.header.code_bits:,}", codes.header.facts.frame_rate
    grid = f"{channels}{codes.n_q} codebooks of {size} codes x {codes.frames} frames, {rate:g}/s, {length_of(codes)}"
    tokens = f"{steps:,} steps x {layout.streams} tokens = {steps * layout.streams:,}"
    return f"{grid}; {layout.pattern}: {tokens} of a vocabulary of {layout.special.vocabulary:,}"
