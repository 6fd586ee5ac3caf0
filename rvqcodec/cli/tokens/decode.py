"""`rvq tokens decode`: token sequences back to .rvq or audio."""

from dataclasses import replace

import click

from rvqcodec.audio.formats import MAX_RATE, MIN_RATE, NAMED
from rvqcodec.cli import options, streams
from rvqcodec.cli.errors import Batch, guarded
from rvqcodec.cli.jobs import run_jobs
from rvqcodec.cli.names import Job, named_ending, plan
from rvqcodec.cli.pipes import reading, writing
from rvqcodec.cli.streams import called
from rvqcodec.cli.text import cut_line, length_of
from rvqcodec.codes import filling
from rvqcodec.codes.grid import Codes
from rvqcodec.codes.tokenfile import ENDINGS, load
from rvqcodec.codes.tokens import PATTERNS, Layout, deinterleave
from rvqcodec.container import MAX_CHANNELS, MAX_N_Q, Header
from rvqcodec.errors import FormatError, RvqError
from rvqcodec.models import cards
from rvqcodec.texts import printable
from rvqcodec.types import Progress


@click.command()
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
    kind = to or (named_ending(output) or ".rvq")[1:]
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
        return f"{codes.n_q} codebooks x {codes.frames} frames, {length_of(codes)}"

    run_jobs(work, run, force=force, batch=batch, label="decode", preserve_modtime=preserve_modtime)


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
