"""Options that several verbs have in common."""

from collections.abc import Callable
from typing import Any

import click

from rvqcodec.cli.streams import STREAM
from rvqcodec.codes import bitrate as bitrates


def device(what: str) -> Callable[[Any], Any]:
    """--device: `what` is done there."""
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help=f"{what}; auto takes CUDA where there is one.",
    )


DEVICE = device("Where the network runs")
FORCE = click.option("-f", "--force", is_flag=True, help="Overwrite results that exist.")
FORCE_ONE = click.option("-f", "--force", is_flag=True, help="Overwrite a result that exists.")
QUIET = click.option("--quiet", is_flag=True, help="Print only warnings and errors.")
SKIP_EXISTING = click.option(
    "--skip-existing", is_flag=True, help="Leave results that exist, even with -f, and take only what is missing."
)
PRESERVE_MODTIME = click.option(
    "--preserve-modtime", is_flag=True, help="Give each result the time of modification of its input."
)
THREADS = click.option("--threads", type=click.IntRange(1), help="CPU threads of the network. [default: torch's]")
IGNORE_LENGTH = click.option(
    "--ignore-length",
    is_flag=True,
    help="Take WAV, AIFF, AU, CAF and W64 to their end, whatever length their header states.",
)
RESULT = click.option(
    "-o",
    "--output",
    metavar="PATH",
    default=STREAM,
    show_default=True,
    help="Result: a file, or - for stdout.",
)


def codebooks(before: str = "") -> Callable[[Any], Any]:
    """-q of a verb that takes -b; `before` is put before its help."""
    return click.option(
        "-q",
        "--codebooks",
        type=click.IntRange(min=1),
        metavar="N",
        help=f"{before}{'c' if before else 'C'}odebooks a frame, over all channels; instead of -b.",
    )


def mono(before: str = "") -> Callable[[Any], Any]:
    """--mono of a verb that encodes; `before` is put before its help."""
    text = (
        "mix all channels down to one by ITU-R BS.775: left and right 0.71, centre 1, surround 0.5, low frequencies "
        "(LFE) 0, all of it scaled so that nothing clips."
    )
    return click.option("--mono", is_flag=True, help=f"{before}{text if before else text[0].upper() + text[1:]}")


def jobs(verb: str) -> Callable[[Any], Any]:
    """-j of a verb that takes many files."""
    return click.option(
        "-j",
        "--jobs",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="N",
        help=f"Files to {verb} at the same time.",
    )


def sample_format(end: str) -> Callable[[Any], Any]:
    """--format of a verb whose --raw is its input or its output."""
    from rvqcodec.audio.formats import RAW_FORMATS  # here: most verbs start without the folder of audio

    return click.option(
        "--format",
        "sample_format",
        type=click.Choice(list(RAW_FORMATS)),
        default="s16le",
        show_default=True,
        help=f"Sample format of --raw {end}.",
    )


def recursive(kinds: str) -> Callable[[Any], Any]:
    """-r of a verb that takes files of these kinds."""
    return click.option(
        "-r",
        "--recursive",
        is_flag=True,
        help=f"Take the {kinds} files in folders, and below. Not entered: links to folders, the folder of results; not "
        "taken: names that begin with a dot, FIFOs, devices. What is passed over is told.",
    )


class Seconds(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Seconds as 90, 1:30 or 1:02:03.5."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            parts = [float(part) for part in str(value).split(":")]
            if len(parts) > 3 or not all(0 <= part < 1e9 for part in parts):
                raise ValueError
        except ValueError:
            self.fail(f"{value!r} is no time; write seconds (90), 1:30 or 1:02:03.5", param, ctx)
        return float(sum(part * 60**place for place, part in enumerate(reversed(parts))))


class Decibels(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A gain from -120 to 120 dB: -3, 1.5 or 6dB."""

    name = "dB"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            gain = float(str(value).lower().removesuffix("db"))
            if not -120 <= gain <= 120:
                raise ValueError
        except ValueError:
            self.fail(f"{value!r} is no gain; write decibels from -120 to 120, such as -3 or 1.5", param, ctx)
        return gain


def asked_bitrate(text: str | None, model: str | None) -> int | None:
    """The bitrate of -b in bits per second (None: the default); one that no audio can have with this model is refused.

    model: as for --model. Errors: BitrateError, WeightsError.
    """
    return None if text is None else possible_bitrate(text, model)


def possible_bitrate(text: str, model: str | None) -> int:
    """A bitrate as text in bits per second; one that no audio can have with this model is refused.

    model: as for --model. Errors: BitrateError, WeightsError.
    """
    from rvqcodec.models import cards

    bits_per_second = bitrates.parse_bitrate(text)
    bitrates.check_possible(bits_per_second, cards.find(model).facts)
    return bits_per_second
