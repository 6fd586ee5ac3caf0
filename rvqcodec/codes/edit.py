"""Changes files without the network: `trim` drops codebooks, `cut` drops frames, `Joiner` joins files.

All of them read from front to back and write at once, so they work in pipes and in constant memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rvqcodec.codes import bitrate, filling
from rvqcodec.container import Allocation, Chunk, Damage, Header, RawChunk, Reader, Writer
from rvqcodec.container.chunks import trimmed, unpack_codes
from rvqcodec.container.payloads import CODED
from rvqcodec.container.writer import Writable
from rvqcodec.errors import BitrateError, FormatError, RvqError
from rvqcodec.speakers import name as layout_name

_SAME = (
    "model_id", "weights_hash", "sample_rate", "channels", "speakers", "coding", "model_rate", "hop",
    "code_bits", "pre_skip", "first", "most", "side",
)  # fmt: skip


@dataclass(frozen=True)
class Edited:
    """What an edit wrote: samples per channel at the sample rate, frames, and bytes of codes and of all."""

    n_samples: int
    frames: int
    payload_bytes: int
    total_bytes: int


def trim(reader: Reader, output: Writable, total_n_q: int, budget: int = 0) -> Edited:
    """Writes a file with at most `total_n_q` codes a frame over all coded channels, in the mean of each chunk.

    budget: the bits per second that `total_n_q` packed codes come of; where codes are coded, chunks keep as many as
    fit. The result is, byte for byte, what encoding with that many, or at that bitrate, gives; a file that has no more
    stays as it is. Parts of chunks that were cut keep their share of it. Raises BitrateError for less than a code, or
    one a discrete channel.
    """
    header = reader.header
    budget = budget if header.codec == CODED else 0
    least = header.channels if header.coding == "discrete" else 1
    if total_n_q < least:
        raise BitrateError(f"{header.channels} channels take at least {least} codebooks ({_kbps(header, least)})")
    if budget >= header.budget > 0 or (not budget and total_n_q >= header.total_n_q):
        left = header
    elif budget:
        left = filling.coded(header, header.tables, budget)
        left = replace(left, total_n_q=min(left.total_n_q, header.total_n_q))
    else:
        left = replace(header, total_n_q=total_n_q, budget=0)
    writer = Writer(output, left)
    for raw in _raw(reader):
        if left == header:
            writer.write_raw(raw)
        elif not budget:
            kept = raw.allocation.trimmed(raw.frames, total_n_q, header.total_n_q)
            writer.write_raw(trimmed(header, raw, kept.total))
        else:
            writer.write_chunk(_filled(left, header, unpack_codes(header, raw), len(raw.payload)))
    return _close(writer, _end_samples(reader))


def _filled(left: Header, header: Header, chunk: Chunk, size: int) -> Chunk:
    """What is left of a chunk whose payload has `size` bytes when the header becomes another one's budget."""
    allocation, own = chunk.allocation, None
    if allocation.part:  # it may be more than the budget, or less: it keeps its share of what it has
        before = header.budget or round(header.total_n_q * header.facts.codebook_rate)
        own = size * left.budget // before
    else:
        allocation = allocation.with_total(left.total_n_q * chunk.frames)
    most = Chunk.of(left, chunk.start_frame, allocation, chunk.codes, chunk.angle, begins=chunk.begins)
    return filling.filled(left, most, own)


def pack(reader: Reader, output: Writable, header: Header) -> Edited:
    """Writes the same codes under a header of another payload (`filling.coded`, `filling.plain`)."""
    writer = Writer(output, header)
    for chunk in reader:
        if isinstance(chunk, Damage):
            raise FormatError(chunk.reason, chunk.position)
        writer.write_chunk(chunk)
    return _close(writer, _end_samples(reader))


def cut(reader: Reader, output: Writable, first: int, last: int | None) -> Edited:
    """Writes the samples `first` to `last` (at the file's sample rate; None: to the end).

    The result starts on a frame, at or before `first`, and ends behind `last`, exact to the sample.
    Raises RvqError when nothing is left.
    """
    header = reader.header
    at = first * header.model_rate // header.sample_rate // header.hop
    start = _sample_of(header, at)
    wanted = None if last is None else max(0, last - start)
    known = header.n_samples
    if known is not None:
        rest = _fitting(header, known - start, max(0, header.frames_for(known) - at))
        wanted = rest if wanted is None else min(wanted, rest)
        if first >= known:
            wanted = 0
    if wanted == 0:
        length = "" if known is None else f": the file ends at {known / header.sample_rate:.3f} s"
        raise RvqError(f"nothing to keep from {first / header.sample_rate:g} s on{length}")
    stop = None if wanted is None else at + header.frames_for(wanted)
    writer = Writer(output, replace(_part_of(header, at), n_samples=wanted if known is not None else None))
    end = _copy_frames(reader, writer, at, stop)
    if writer.frames == 0:
        raise RvqError(f"the file ends before {first / header.sample_rate:g} s")
    if end is None and wanted is not None:
        return _close(writer, _fitting(header, wanted, writer.frames))
    rest = _end_samples(reader) - start
    if first >= start + rest:
        raise RvqError(f"the file ends before {first / header.sample_rate:g} s")
    return _close(writer, _fitting(header, rest if wanted is None else min(rest, wanted), writer.frames))


def cut_frames(reader: Reader, output: Writable, first: int, last: int | None) -> Edited:
    """Writes the frames `first` to `last` (not with it; None: to the end) as they stand.

    `Joiner` puts pieces cut like this together again to the same codes and the same length (a sample more
    or less at rates where frames do not start on whole samples). Raises RvqError when nothing is left.
    """
    header = reader.header
    known = header.n_samples
    total = None if known is None else header.frames_for(known)
    if (last is not None and first >= last) or (total is not None and first >= total):
        has = "" if total is None else f"; the file has {total}"
        raise RvqError(f"no frames in {first}:{'' if last is None else last}{has}")
    stop = last if total is None or last is None else min(last, total)
    if total is None or known is None:
        n_samples = None
    elif stop is None or stop == total:
        n_samples = _rest(header, known, first)
    else:
        n_samples = header.samples_in(stop - first)
    writer = Writer(output, replace(_part_of(header, first), n_samples=n_samples))
    end = _copy_frames(reader, writer, first, stop)
    if writer.frames == 0:
        raise RvqError(f"the file ends before frame {first}")
    if n_samples is None:
        n_samples = header.samples_in(writer.frames) if end is None else _rest(header, end, first)
    return _close(writer, n_samples)


class Joiner:
    """Joins files that were made with one model, at one sample rate, with the same channels. Codes are coded or packed
    as those of the first.

    `headers` are those of all files, in order; `append` then takes a reader for each. All frames are
    kept, so that between the audio of one file and that of the next stands what is left of the last frame
    and the codec's pre-skip (`gaps`, in seconds): nearly silent after a whole
    recording, the audio itself after a piece that was cut by frames. Tags are those of the first file.
    Raises RvqError when the files do not agree.
    """

    def __init__(self, headers: Sequence[Header], names: Sequence[str], output: Writable) -> None:
        first = headers[0]
        alike = len({(header.codec, header.tables) for header in headers}) == 1
        for header, name in zip(headers, names, strict=True):
            for field in _SAME:
                ours, theirs = getattr(first, field), getattr(header, field)
                if ours != theirs:
                    ours, theirs = (x.hex() if isinstance(x, bytes) else x for x in (ours, theirs))
                    if field == "speakers":
                        ours, theirs = (layout_name(h.layout, h.channels) for h in (first, header))
                    what = {"speakers": "channel layout"}.get(field, field.replace("_", " "))
                    raise RvqError(f"{name} has {what} {theirs}, {names[0]} has {ours}: they must agree to be joined")
        counts = [h.n_samples for h in headers]
        known: int | None = 0
        frames = 0
        for count in counts:
            if count is None:
                known = None
                break
            if count:
                known = _joined(first, frames, count)
                frames += first.frames_for(count)
        self.gaps: list[float] = []
        self._n_samples = 0
        self._writer = Writer(
            output,
            replace(
                first,
                n_samples=known,
                total_n_q=max(h.total_n_q for h in headers),
                frames_per_chunk=max(h.frames_per_chunk for h in headers),
                budget=max(h.budget for h in headers) if alike and all(h.budget for h in headers) else 0,
            ),
        )

    def append(self, reader: Reader) -> None:
        """Copies all of a file behind what was written."""
        writer, before = self._writer, self._writer.frames
        alike = (reader.header.codec, reader.header.tables) == (writer.header.codec, writer.header.tables)
        for raw in _raw(reader):
            # Where a recording begins its decoder knows of nothing before, as its encoder did.
            begins = raw.begins or (raw.start_frame == 0 and before > 0 and not reader.header.first_frame)
            moved = replace(raw, start_frame=writer.frames, begins=begins)
            if alike:
                writer.write_raw(moved)
            else:
                writer.write_chunk(unpack_codes(reader.header, moved))
        n_samples = _end_samples(reader)
        if not n_samples:
            return
        if before:
            gap = before * self._writer.header.hop - self._writer.header.model_samples(self._n_samples)
            self.gaps.append(gap / self._writer.header.model_rate)
        self._n_samples = _joined(writer.header, before, n_samples)

    def close(self) -> Edited:
        """Writes the end."""
        return _close(self._writer, self._n_samples)


def _raw(reader: Reader) -> Iterator[RawChunk]:
    for item in reader.raw():
        if isinstance(item, Damage):
            raise FormatError(item.reason, item.position)
        yield item


def _copy_frames(reader: Reader, writer: Writer, first: int, stop: int | None) -> int | None:
    """Copies frames up to `stop`; returns the samples of the file if it was read to its end, else None."""
    reader.seek_frame(first)
    for raw in _raw(reader):
        begin = max(first, raw.start_frame)
        end = raw.start_frame + raw.frames if stop is None else min(stop, raw.start_frame + raw.frames)
        if end <= begin:
            return None
        if end - begin == raw.frames:
            writer.write_raw(replace(raw, start_frame=writer.frames))
        else:
            chunk = unpack_codes(reader.header, raw)
            part = slice(begin - raw.start_frame, end - raw.start_frame)
            writer.write_chunk(_part(reader.header, chunk, part, writer.frames))
        if end == stop and (end < raw.start_frame + raw.frames or reader.header.n_samples is not None):
            return None  # else this may be the last frame, and only the end tells how full it is
    return _end_samples(reader)


def _part(header: Header, chunk: Chunk, part: slice, start_frame: int) -> Chunk:
    """Some of a chunk's frames, with the codes that they have: the rule gives the same number to each again."""
    allocation = chunk.allocation
    demand = None if allocation.demand is None else tuple(row[part] for row in allocation.demand)
    total = int(chunk.n_q[:, part].sum())
    found = Allocation(total=total, weights=allocation.weights, demand=demand, part=demand is not None)
    begins = chunk.begins and part.start == 0
    codes = [codes[:, part] for codes in chunk.codes]
    return Chunk.of(header, start_frame, found, codes, chunk.angle, begins=begins)


def _end_samples(reader: Reader) -> int:
    if reader.end is None:
        raise FormatError("file is cut short", reader.total_bytes)
    return reader.end.n_samples


def _part_of(header: Header, frame: int) -> Header:
    """The header of a part that starts at a frame: its noise goes on as in the whole."""
    return replace(header, first_frame=header.first_frame + frame)


def _sample_of(header: Header, frame: int) -> int:
    """The sample (at the file's sample rate) at which a frame starts, or the next one."""
    return -(-frame * header.hop * header.sample_rate // header.model_rate)


def _rest(header: Header, n_samples: int, first: int) -> int:
    """Samples from the start of frame `first` to the end of a file of `n_samples`."""
    rest = n_samples - _sample_of(header, first)
    if rest < 1:
        raise RvqError(f"from frame {first} on there is only the codec's delay, no sample; start earlier")
    return _fitting(header, rest, header.frames_for(n_samples) - first)


def _fitting(header: Header, n_samples: int, frames: int) -> int:
    """The number of samples nearest to `n_samples` that takes exactly `frames` frames.

    Frames seldom start on a whole sample at the file's rate, so that sums are off by a few samples.
    """
    if frames == 0:
        return 0
    least, most = header.samples_in(frames - 1) + 1, header.samples_in(frames)
    if least > most:
        raise FormatError(f"no number of samples takes {frames} frames at {header.sample_rate} Hz")
    return min(max(n_samples, least), most)


def _joined(header: Header, frames: int, n_samples: int) -> int:
    """Samples of `frames` whole frames and, behind them, a file of `n_samples`."""
    return _fitting(header, _sample_of(header, frames) + n_samples, frames + header.frames_for(n_samples))


def _close(writer: Writer, n_samples: int) -> Edited:
    end = writer.close(n_samples)
    return Edited(
        n_samples=end.n_samples,
        frames=end.frames,
        payload_bytes=writer.payload_bytes,
        total_bytes=writer.total_bytes,
    )


def _kbps(header: Header, n_q: int) -> str:
    return bitrate.format_kbps(float(n_q * header.facts.codebook_rate))
