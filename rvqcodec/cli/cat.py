"""`rvq cat`: several files in one, without the network."""

import contextlib
import os

import click

from rvqcodec.cli import options, streams
from rvqcodec.cli.errors import guarded
from rvqcodec.cli.names import Job, check_target, result_name
from rvqcodec.cli.pipes import naming, writing
from rvqcodec.cli.streams import STREAM, called
from rvqcodec.cli.text import clock
from rvqcodec.codes.edit import Joiner
from rvqcodec.container import Header, Reader
from rvqcodec.errors import RvqError


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@options.RESULT
@options.FORCE_ONE
@options.QUIET
@guarded
def cat(inputs: tuple[str, ...], output: str, force: bool, quiet: bool) -> None:
    """Join .rvq files without re-encoding: rvq cat one.rvq two.rvq -o both.rvq

    The files must be of one model, sample rate and number of channels; bitrates may differ. No frame is
    dropped, so between two recordings there are up to two frames that hold the rest of the last frame and the
    codec's delay: near silence after a recording that ended, the audio itself between parts made by rvq
    cut --frames. Tags are those of the first file. One INPUT may be - for stdin.
    """
    if inputs.count(STREAM) > 1:
        raise click.UsageError("stdin can be read only once")
    output = result_name(output)
    headers: list[Header] = []
    pipes: dict[int, Reader] = {}
    if output != STREAM:
        check_target(output, *inputs, force=force)
    with contextlib.ExitStack() as held:
        for index, name in enumerate(inputs):
            with naming(name):
                if name != STREAM and os.path.isfile(name):
                    with open(name, "rb") as file:
                        headers.append(Reader(file).header)
                else:
                    # stdin and pipes (<(rvq cut ...)) cannot be opened again: they stay open until their turn.
                    stream = streams.stdin() if name == STREAM else held.enter_context(open(name, "rb"))
                    pipes[index] = Reader(stream)
                    headers.append(pipes[index].header)
        with writing(Job(inputs[0], output), force=force) as out:
            joiner = Joiner(headers, [called(name) for name in inputs], out)
            for index, name in enumerate(inputs):
                with naming(name):
                    if index in pipes:
                        joiner.append(pipes[index])
                        continue
                    with open(name, "rb") as file:
                        reader = Reader(file)
                        if reader.header != headers[index]:
                            raise RvqError(f"{name} was changed while it was read")
                        joiner.append(reader)
            done = joiner.close()
    if not quiet and output != STREAM:
        gaps = ""
        if joiner.gaps:
            least, most = (round(gap * 1000) for gap in (min(joiner.gaps), max(joiner.gaps)))
            gaps = f", {least if least == most else f'{least} to {most}'} ms between the inputs"
        streams.say(f"{output}: {clock(done.n_samples / headers[0].sample_rate)}{gaps}")
