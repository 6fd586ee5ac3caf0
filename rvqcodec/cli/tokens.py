"""`rvq tokens encode` and `rvq tokens decode`: codes as token sequences for language models, and back."""

import os
import shutil
import tempfile
from dataclasses import replace

import click

from rvqcodec.audio.formats import MAX_RATE, MIN_RATE, NAMED, READ_ENDINGS
from rvqcodec.cli import options, streams
from rvqcodec.cli.errors import Batch, guarded
from rvqcodec.cli.jobs import run_jobs
from rvqcodec.cli.names import Job, plan
from rvqcodec.cli.pipes import reading, writing
from rvqcodec.cli.streams import STREAM, called
from rvqcodec.cli.text import clock, cut_line
from rvqcodec.codes import filling
from rvqcodec.codes.grid import Codes
from rvqcodec.codes.tokenfile import FORMATS, dump, layout_of, load
from rvqcodec.codes.tokens import PATTERNS, Layout, deinterleave
from rvqcodec.container import MAX_CHANNELS, MAX_N_Q, Header
from rvqcodec.container.header import MAGIC
from rvqcodec.errors import FormatError, RvqError
from rvqcodec.files import is_special
from rvqcodec.models import cards
from rvqcodec.texts import printable
from rvqcodec.types import Progress

ENDINGS = {".npz": "npz", ".npy": "npy", ".jsonl": "jsonl"}


@click.group()
def tokens() -> None:
    """Codes as token sequences for language models, and back.

    \b
    rvq tokens encode song.wav -b 3kbps --pattern delay
    rvq tokens decode song.npz -o song.wav
    """


@tokens.command()
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
@click.option(
    "-q",
    "--codebooks",
    type=click.IntRange(min=1),
    metavar="N",
    help="For audio: codebooks a frame, over all channels; instead of -b.",
)
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
    ending = _ending(output)
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
            codes = _codes_of_audio(
                source,
                bits,
                codebooks,
                mono,
                constant,
                model,
                device,
                ignore_length,
                progress,
                batch,
            )
        layout = layout_of(codes, pattern, boundaries=boundaries)
        with writing(job, force=force) as out:
            flows = job.target == STREAM or is_special(job.target)
            for piece in dump(codes, layout, file_format or ("jsonl" if flows else "npz")):
                out.write(piece)
        line = _size(codes, layout)
        if job.target == STREAM and not quiet:
            streams.say(line, prefix="")
        return line

    run_jobs(work, run, force=force, batch=batch, quiet=quiet, label="encode", preserve_modtime=preserve_modtime)
    batch.finish()


@tokens.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o", "--output", metavar="PATH", help="Result: a file (.rvq, .wav, .flac, .ogg), a folder, or - for stdout."
)
@click.option(
    "--to", type=click.Choice(["rvq", *NAMED]), help="Kind of result where no file name says it.  [default: rvq]"
)
@click.option(
    "--lenient", is_flag=True, help="Do not look at the cells between the codes, which a model may fill freely."
)
@click.option("--model", metavar="ID", help="For .npy, which does not say: the model that the codes are of.")
@click.option("--pattern", type=click.Choice(PATTERNS), help="For .npy: the pattern.  [default: parallel]")
@click.option("--boundaries", is_flag=True, help="For .npy: there are steps of start and end tokens.")
@click.option(
    "-q",
    "--codebooks",
    type=click.IntRange(1, MAX_N_Q),
    metavar="K",
    help="For .npy: codebooks of each channel; only flatten needs it.",
)
@click.option("--channels", type=click.IntRange(1, MAX_CHANNELS), metavar="N", help="For .npy: channels.  [default: 1]")
@click.option(
    "--rate",
    type=click.IntRange(MIN_RATE, MAX_RATE),
    metavar="HZ",
    help="For .npy: sample rate.  [default: the model's]",
)
@options.DEVICE
@options.PRESERVE_MODTIME
@options.SKIP_EXISTING
@options.FORCE
@options.QUIET
@guarded
def decode(
    inputs: tuple[str, ...],
    output: str | None,
    to: str | None,
    lenient: bool,
    model: str | None,
    pattern: str | None,
    boundaries: bool,
    codebooks: int | None,
    channels: int | None,
    rate: int | None,
    device: str,
    preserve_modtime: bool,
    skip_existing: bool,
    force: bool,
    quiet: bool,
) -> None:
    """Turn tokens back into .rvq or audio: song.npz becomes song.rvq beside it.

    INPUT is what rvq tokens encode wrote, or what a model made of it; - is stdin, whose result goes to stdout.
    Model id, weights, rates and lengths are checked. .npy holds nothing but tokens: say the rest by options.
    """
    kind = to or (_ending(output) or ".rvq")[1:]
    if kind not in ("rvq", *NAMED):
        kinds = ", ".join(f".{name}" for name in ("rvq", *NAMED))
        raise click.UsageError(f"-o {printable(output or '')}: must end in {kinds}; or name the kind with --to")
    batch = Batch(quiet=quiet)
    work = plan(inputs, output, ending=f".{kind}", accepts=ENDINGS, skip_existing=skip_existing, batch=batch)
    described = (model, pattern, codebooks, channels, rate)

    def run(job: Job, progress: Progress) -> str:
        with reading(job.source) as file:
            loaded = load(file.read(), strict=not lenient)
            if isinstance(loaded, Codes):
                if boundaries or any(value is not None for value in described):
                    raise RvqError("the file says itself what it holds; --model and the like are for .npy")
                codes = loaded
            else:
                header = _header(model, channels or 1, rate)
                layout = _layout(header, pattern or "parallel", boundaries, codebooks, len(loaded))
                rows = deinterleave(loaded, layout, strict=not lenient)
                grid = rows.reshape(header.coded_channels, layout.n_q, rows.shape[1])
                codes = Codes.from_array(grid, header)
        _check_weights(codes.header)
        if kind == "rvq":
            with writing(job, force=force) as out:
                _as_said(codes).write(out)
        else:
            _to_audio(codes, job, kind, device, progress, force=force)
        return f"{codes.n_q} codebooks x {codes.frames} frames, {clock(_seconds(codes))}"

    run_jobs(work, run, force=force, batch=batch, quiet=quiet, label="decode", preserve_modtime=preserve_modtime)
    batch.finish()


def _ending(output: str | None) -> str | None:
    """The ending that says the kind of the result; None for folders, stdout and no name."""
    if output is None or output == STREAM or output.endswith("/") or os.path.isdir(output):
        return None
    return os.path.splitext(output)[1].lower() or None


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


def _codes_of_audio(
    source: str,
    bits: int | None,
    codebooks: int | None,
    mono: bool,
    constant: bool,
    model: str | None,
    device: str,
    ignore_length: bool,
    progress: Progress,
    batch: Batch,
) -> Codes:
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
    codes, remarks = encode_codes(source, wanted, progress=progress)
    batch.tell(remarks)
    return _coded(codes)


def _coded(codes: Codes) -> Codes:
    """The same, which back in a file take fewer bytes where the model's tables are installed, as `rvq encode` does."""
    from rvqcodec.models import coding

    tables = coding.tables_hash(codes.header.model_id, codes.header.weights_hash)
    return replace(codes, header=filling.coded(codes.header, tables, 0)) if tables else codes


def _as_said(codes: Codes) -> Codes:
    """The same, coded if their header says so, but packed where the tables are not installed that it names."""
    if not codes.header.tables:
        return codes
    from rvqcodec.models import coding

    installed = coding.tables_hash(codes.header.model_id, codes.header.weights_hash)
    return codes if installed == codes.header.tables else replace(codes, header=filling.plain(codes.header))


def _to_audio(codes: Codes, job: Job, kind: str, device: str, progress: Progress, *, force: bool) -> None:
    from rvqcodec.codec import DecodeOptions, decode_file

    wanted = DecodeOptions(device=device, format=kind)
    report = decode_file(codes, job.target, wanted, force=force, progress=progress)
    if report.clipped:
        streams.say(f"{called(job.source)}: {cut_line(report)}; an .rvq file can be decoded with --no-clip")
    if report.layout_note:
        streams.say(f"{called(job.source)}: {report.layout_note}")


def _header(model: str | None, channels: int, rate: int | None) -> Header:
    """What .npy does not say, from the options and the installed model."""
    if model is None:
        raise FormatError(".npy holds tokens alone: say with --model which model they are of (see rvq models)")
    facts = cards.find(model).facts
    return Header.of(facts, sample_rate=rate or facts.model_rate, channels=channels)


def _layout(header: Header, pattern: str, boundaries: bool, codebooks: int | None, streams: int) -> Layout:
    channels = header.coded_channels
    if pattern == "flatten" and codebooks is None:
        raise FormatError("pattern flatten in .npy: say with -q how many codebooks each channel has")
    n_q = codebooks or streams // channels
    if n_q > MAX_N_Q:
        raise FormatError(f"{streams} rows of tokens: {channels} channels have at most {channels * MAX_N_Q}")
    size = 1 << header.code_bits
    return Layout(pattern, n_q, channels=channels, codebook_size=size, boundaries=boundaries)


def _check_weights(header: Header) -> None:
    """Refuse codes of a model that has the id of an installed one and other weights. An unknown id passes:
    an .rvq file can be made without its model, and decoding will ask for it.
    """
    if any(card.model_id == header.model_id for card in cards.available()):
        cards.find(header.model_id, bitstream=header.weights_hash)


def _seconds(codes: Codes) -> float:
    return (codes.header.n_samples or 0) / codes.header.sample_rate


def _size(codes: Codes, layout: Layout) -> str:
    steps = layout.steps(codes.frames)
    channels = "" if len(codes.codes) == 1 else f"{len(codes.codes)} channels x "
    size, rate = f"{1 << codes.header.code_bits:,}", codes.header.facts.frame_rate
    grid = (
        f"{channels}{codes.n_q} codebooks of {size} codes x {codes.frames} frames, {rate:g}/s, {clock(_seconds(codes))}"
    )
    tokens = f"{steps:,} steps x {layout.streams} tokens = {steps * layout.streams:,}"
    return f"{grid}; {layout.pattern}: {tokens} of a vocabulary of {layout.special.vocabulary:,}"
