"""Checks a file to its last bit: every header, chunk, checksum, count and padding bit; no network."""

from dataclasses import dataclass

from rvqcodec.container import Damage, Header, Reader
from rvqcodec.container.source import Readable
from rvqcodec.errors import FormatError


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: the byte where it shows, why, and the frames that are lost (0: none)."""

    position: int | None
    reason: str
    start_frame: int = 0
    frames: int = 0


@dataclass(frozen=True)
class Verdict:
    """What was read, and the faults in order of position; a file without any is exactly what a writer wrote.

    `header` is None when not even that could be read; `n_samples` None when no length is known.
    """

    header: Header | None
    chunks: int
    frames: int
    n_samples: int | None
    total_bytes: int
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        return not self.faults

    @property
    def seconds(self) -> float:
        """The length, as far as known."""
        return (self.n_samples or 0) / self.header.sample_rate if self.header else 0.0

    @property
    def lost_seconds(self) -> float:
        """How much of it cannot be decoded."""
        return self.header.seconds(sum(fault.frames for fault in self.faults)) if self.header else 0.0


def verify(fileobj: Readable) -> Verdict:
    """Reads all of a file and lists every fault. Raises OSError alone."""
    faults: list[Fault] = []
    reader = None
    try:
        reader = Reader(fileobj, salvage=True)
        for item in reader.raw():
            if isinstance(item, Damage):
                faults.append(Fault(item.position, item.reason, item.start_frame, item.frames))
    except FormatError as error:
        faults.append(Fault(error.position, error.reason))
    if reader is None:
        return Verdict(None, 0, 0, None, 0, tuple(faults))
    return Verdict(reader.header, reader.chunks, reader.frames, reader.n_samples, reader.total_bytes, tuple(faults))
