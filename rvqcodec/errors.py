"""Errors that a user's input can cause; each message is one line: the value, the rule, the remedy."""

import importlib.util


class RvqError(Exception):
    """Anything that is wrong with what we were given. The command line prints it as one line and exits 1."""


class FormatError(RvqError):
    """Bytes that are no valid `.rvq` data.

    `position` is the offset in bytes of what is wrong, counted from the start of the file (None: unknown);
    `reason` is the message without it.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message if position is None else f"{message} (at byte {position})")
        self.reason = message
        self.position = position


class AudioError(RvqError):
    """Audio that cannot be read, written or represented."""


class WeightsError(RvqError):
    """Weights that are missing, altered or do not fit the file."""


class BitrateError(RvqError):
    """A bitrate or number of codebooks that no model can serve."""


def needs_torch(what: str, *, extra: str = "torch") -> None:
    """RvqError that says what to install, where torch is missing and something needs it."""
    if importlib.util.find_spec("torch") is None:
        raise RvqError(f"{what} needs torch, which is not installed: pip install 'rvqcodec[{extra}]'")
