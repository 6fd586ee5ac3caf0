"""`rvq cut`: a part of a file, without the network."""

import re

import click

from rvqcodec.cli import options, streams
from rvqcodec.cli.errors import guarded
from rvqcodec.cli.names import Job, result_name
from rvqcodec.cli.options import Seconds
from rvqcodec.cli.pipes import reading, writing
from rvqcodec.cli.streams import STREAM, called
from rvqcodec.cli.text import clock
from rvqcodec.codes.edit import cut as cut_file
from rvqcodec.codes.edit import cut_frames
from rvqcodec.container import Reader
from rvqcodec.errors import RvqError
from rvqcodec.files import copy_time


@click.command()
@click.argument("source", metavar="INPUT")
@click.option("--start", type=Seconds(), default="0", metavar="TIME", help="Keep from here: 90, 1:30 or 1:02:03.5.")
@click.option("--duration", type=Seconds(), metavar="TIME", help="Keep so much.  [default: to the end]")
@click.option("--frames", metavar="A:B", help="Keep the frames A to B (not with B) instead; either may be left out.")
@options.RESULT
@options.PRESERVE_MODTIME
@options.FORCE_ONE
@options.QUIET
@guarded
def cut(
    source: str,
    start: float,
    duration: float | None,
    frames: str | None,
    output: str,
    preserve_modtime: bool,
    force: bool,
    quiet: bool,
) -> None:
    """Keep a part of an .rvq file: rvq cut song.rvq --start 1:30 --duration 20 -o part.rvq

    Nothing is encoded again. The part begins on a frame, so at most a frame before --start, and ends where it
    was asked to, to the sample. The codes stay as they are, but the decoder begins afresh: the first half
    second may sound slightly different from the same place in the whole file.

    With --frames the part is made of whole frames; rvq cat joins such parts again to what they were.
    """
    if frames is not None and (start or duration is not None):
        raise click.UsageError("--frames goes without --start and --duration")
    span = _frames(frames)
    output = result_name(output)
    with reading(source) as file:
        reader = Reader(file)
        header = reader.header
        first = round(start * header.sample_rate)
        last = None if duration is None else first + round(duration * header.sample_rate)
        with writing(Job(source, output), force=force) as out:
            if last is not None and last <= first:
                raise RvqError(f"--duration {duration:g} is less than a sample")
            done = cut_frames(reader, out, *span) if span else cut_file(reader, out, first, last)
    if output == STREAM:
        return
    if preserve_modtime:
        copy_time(source, output)
    if not quiet:
        at = span[0] if span else first * header.model_rate // header.sample_rate // header.hop
        length = clock(done.n_samples / header.sample_rate)
        streams.say(f"{called(output)}: {length} from {clock(header.seconds(at))} on, frame {at}")


def _frames(text: str | None) -> tuple[int, int | None] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{0,10}):(\d{0,10})", text)
    if not match or text == ":":
        raise click.BadParameter(f"{text!r} is not A:B, A: or :B", param_hint="--frames")
    return int(match[1] or 0), int(match[2]) if match[2] else None
