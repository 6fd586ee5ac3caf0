"""The `rvq` command: a click group whose verbs are imported only when they run."""

import importlib
import os
from typing import Any

import click

from rvqcodec import __version__, foreign
from rvqcodec.cli import streams
from rvqcodec.cli.signals import signals_end_us
from rvqcodec.models import threads

VERBS = {
    "encode": ("rvqcodec.cli.encode:encode", "Encode audio files to .rvq."),
    "decode": ("rvqcodec.cli.decode:decode", "Decode .rvq files to audio."),
    "info": ("rvqcodec.cli.info:info", "Describe .rvq files."),
    "verify": ("rvqcodec.cli.verify:verify", "Check .rvq files for damage."),
    "trim": ("rvqcodec.cli.trim:trim", "Lower the bitrate without re-encoding."),
    "cut": ("rvqcodec.cli.cut:cut", "Keep a part of a file without re-encoding."),
    "cat": ("rvqcodec.cli.cat:cat", "Join files without re-encoding."),
    "pack": ("rvqcodec.cli.pack:pack", "The same codes in fewer bytes, or plainly packed."),
    "tokens": ("rvqcodec.cli.tokens:tokens", "Codes out to arrays and back."),
    "compare": ("rvqcodec.cli.compare:compare", "Measure how far apart two recordings are."),
    "roundtrip": ("rvqcodec.cli.roundtrip:roundtrip", "Encode, decode and compare at several bitrates."),
    "report": ("rvqcodec.cli.report:report", "Make an HTML page from a benchmark run."),
    "models": ("rvqcodec.cli.models:models", "List the models that are installed, add and remove them."),
    "train": ("rvqcodec.cli.train:train", "Train a model (needs the extra [train])."),
}


class LazyGroup(click.Group):
    """Shows every verb's one line without importing it."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command line: text never fails for its encoding, and signals leave nothing behind."""
        foreign.hold_descriptor()
        streams.take_all_text()
        with signals_end_us():
            return super().main(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        if cmd_name != "train":  # torch, which trains, has one pool of threads for everything
            threads.hold_blas()
        module, _, name = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in VERBS and not name.startswith("-"):
            import difflib

            close = difflib.get_close_matches(name, VERBS, n=1)
            if not close and os.path.exists(name):
                close = ["decode" if name.endswith(".rvq") else "encode"]
                name = f"{close[0]} {name}"
                ctx.fail(f"{args[0]!r} is a file, not a command; did you mean `rvq {name}`?")
            if close:
                ctx.fail(f"no such command {name!r}; did you mean `rvq {close[0]}`?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rvq")
def main(**_: Any) -> None:
    """rvq: tiny audio files from a neural codec.

    \b
    rvq encode song.wav -b 6kbps
    rvq decode song.rvq
    rvq info song.rvq
    """
