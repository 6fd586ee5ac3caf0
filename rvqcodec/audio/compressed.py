"""FLAC, MP3 and Ogg files, opened so that nothing in them is passed over without a word."""

from collections.abc import Iterator
from itertools import pairwise
from typing import IO

from rvqcodec.audio import flac, mpeg, ogg
from rvqcodec.audio.chain import ChainSource
from rvqcodec.audio.found import Found, plural
from rvqcodec.audio.id3 import ape_size, read_ape, read_id3v1
from rvqcodec.audio.layouts import read_layout
from rvqcodec.audio.pieces import Pieces
from rvqcodec.audio.sources import SoundfileSource, Source
from rvqcodec.errors import AudioError

_CUT_OFF = "cut off: its last page is missing"
_FLAC_START = b"fLaC"
_STEP = 1 << 20


class UnreadCodecError(AudioError):
    """A coding that libsndfile does not read."""


def flac_source(file: IO[bytes], name: str, begin: int, end: int, found: Found) -> Source:
    """One or more FLAC streams one after another, the first at `begin`; tags are put into `found`.

    Errors: AudioError, UnreadCodecError.
    """
    end, behind = _without_tags(file, end)
    starts = [begin, *(at for at in _flac_starts(file, begin, end) if at > begin), end]

    def parts() -> Iterator[Source]:
        for start, stop in pairwise(starts):
            yield _flac_part(Pieces(file, [(start, stop - start)]), name, found if start == begin else None, behind)

    return ChainSource(name, parts()) if len(starts) > 2 else next(parts())


def _flac_starts(file: IO[bytes], begin: int, end: int) -> Iterator[int]:
    """Where streams begin: the magic word and the head of the STREAMINFO block, eight bytes that no frame has."""
    position = begin
    while position < end:
        file.seek(position)
        data = file.read(min(_STEP, end - position))
        at = -1
        while (at := data.find(_FLAC_START, at + 1)) >= 0:
            if data[at + 4 : at + 8] in (b"\0\0\0\x22", b"\x80\0\0\x22"):
                yield position + at
        if position + len(data) >= end or not data:
            break
        position += max(1, len(data) - 7)


def _without_tags(file: IO[bytes], end: int) -> tuple[int, Found]:
    """Where a file ends before the ID3v1 and APE tags at its end, and what these say."""
    found = Found()
    file.seek(max(0, end - 128))
    tag = file.read(128)
    if tag[:3] == b"TAG" and len(tag) == 128:
        found.merge(read_id3v1(tag))
        end -= 128
    file.seek(max(0, end - 32))
    if 32 <= (size := ape_size(file.read(32))) <= end:
        file.seek(end - size)
        found.merge(read_ape(file.read(size)))
        end -= size
    return end, found


def _flac_part(
    stream: Pieces, name: str, before: Found | None = None, behind: Found | None = None, *, whole: bool = True
) -> Source:
    """A FLAC stream, with tags that stood before and behind it; not `whole`: parts of it are known to be missing."""
    head = flac.read_flac_head(stream)
    if head is None:
        raise AudioError(f"{name}: cannot be read: damaged, or no audio in it")
    found = head.found  # what FLAC itself says goes before other tags
    for other in (before, behind):
        if other is not None:
            found.merge(other)
    announced, depth = head.n_samples, flac.first_depth(stream, head)
    promised = whole and announced is not None and announced == flac.last_sample(stream, head, 0, stream.size)
    layout = read_layout(stream, head.channels)
    usual = head.bits in (8, 16, 24)
    if not usual and (head.bits not in (12, 20, 32) or depth != head.bits):
        raise UnreadCodecError(f"{name}: FLAC with {head.bits} bits per sample")
    if not promised or not usual:
        # libsndfile stops at the announced length, and refuses depths that its FLAC library knows: it is told another
        # head. Frames say their own depth.
        patched = head.start(bits=head.bits if usual else 24, n_samples=announced if promised else None)
        stream = stream.behind(head.audio, patched)

    def finish(came: int, error: str | None) -> Iterator[str]:
        if announced is not None and came < announced:
            yield f"cut off or damaged: announces {announced} samples per channel, holds {came}"
        elif error is not None and came != announced:  # what follows the announced samples may be anything
            yield error
        if announced is not None and came > announced:
            source.warnings.append(f"{name}: announces {announced} samples per channel, holds {came}: read on")

    source = SoundfileSource(
        stream,
        name,
        layout=layout,
        found=found,
        exact=promised,
        expected=announced,
        whole_numbers=not usual,
        finish=finish,
    )
    return source


def mpeg_source(file: IO[bytes], name: str, end: int) -> Source:
    """MPEG audio from the file's start to `end`: all runs of frames, whatever stands between them."""
    walk = mpeg.walk(file, 0, end)
    runs = [run for run in walk.runs if run.frames]
    if not runs:
        if walk.runs:
            raise AudioError(f"{name}: holds the head of an MP3 file and no frame of sound: cut off")
        return SoundfileSource(Pieces(file, [(0, end)]), name, found=walk.found, exact=False)

    def parts() -> Iterator[Source]:
        for run in runs:
            yield SoundfileSource(Pieces(file, run.whole()), name, found=walk.found, expected=run.samples)

    rate = runs[0].first.rate
    expected = sum(run.samples * rate // run.first.rate for run in runs)
    source = ChainSource(name, parts(), expected) if len(runs) > 1 else next(parts())
    if walk.before:
        source.notes.append(f"{name}: {walk.before:,} bytes before the first MP3 frame were passed over")
    source.losses += [f"{name}: {text}" for text in _mpeg_losses(walk, runs)]
    return source


def _mpeg_losses(walk: mpeg.Walk, runs: list[mpeg.Run]) -> Iterator[str]:
    missing = sum(max(0, (run.announced or 0) - run.frames) * run.first.samples for run in runs)
    announced = sum(run.samples for run in runs) + missing
    counted = all(run.announced is not None for run in runs)
    if walk.junk:
        n_bytes, at = sum(size for _, size in walk.junk), walk.junk[0][0]
        lost = f", {missing} of {announced} announced samples per channel are missing" if missing else ""
        yield f"damaged: {n_bytes:,} bytes from byte {at:,} on are no MP3 frames: left out{lost}"
    elif missing:
        yield f"cut off: announces {announced} samples per channel, holds {announced - missing}"
    elif walk.cut and not counted:
        yield f"cut off within its last frame; {walk.cut} bytes of it were left out"
    if walk.behind and not counted:
        yield f"{walk.behind:,} bytes behind the last MP3 frame are none: damaged, or cut off; they were left out"


def ogg_source(file: IO[bytes], name: str, begin: int, end: int) -> Source:
    """The links of an Ogg file one after another; of streams side by side the first that can be read.

    Errors: AudioError; UnreadCodecError where the first link holds only codecs that are not read (Speex).
    """
    links = ogg.walk(file, begin, end)
    if not links or not links[0].streams:
        raise AudioError(f"{name}: cannot be read: no Ogg stream begins in it: damaged")
    if links[0].chosen() is None:
        raise UnreadCodecError(f"{name}: Ogg with {', '.join(s.codec for s in links[0].streams)}")
    losses, notes = _side_by_side(links)

    def parts() -> Iterator[Source]:
        for link in links:
            stream = link.chosen()
            if stream is not None:
                yield _ogg_part(file, name, stream, alone=len(links) == 1)

    source = ChainSource(name, parts(), _expected(links)) if len(links) > 1 else next(parts())
    source.losses += [f"{name}: {text}" for text in losses]
    source.notes += [f"{name}: {text}" for text in notes]
    return source


def _expected(links: list[ogg.Link]) -> int | None:
    chosen = [s for s in (link.chosen() for link in links) if s is not None]
    if not chosen or not all(s.rate for s in chosen):
        return None
    return sum(s.n_samples * chosen[0].rate // s.rate for s in chosen)


def _side_by_side(links: list[ogg.Link]) -> tuple[list[str], list[str]]:
    """Lines about sound, and about other things, that stand beside the streams that are read, or after them."""
    losses: list[str] = []
    notes: list[str] = []
    for index, link in enumerate(links, 1):
        chosen = link.chosen()
        where = f"part {index}: " if len(links) > 1 else ""
        for stream in link.streams:
            if stream is chosen or stream.codec == "Skeleton":
                continue
            sounds = stream.codec in ogg.AUDIO.values()
            (losses if sounds else notes).append(f"{where}a stream of {stream.codec} was left out")
        if link.orphans:
            losses.append(f"{where}{plural(link.orphans, 'page')} left out of a stream whose first page is missing")
        elif link.strange and not any(s.lost or not s.ended for s in link.streams):
            losses.append(f"{where}{plural(link.strange, 'damaged Ogg page')} left out that fit no stream")
    return losses, notes


def _ogg_part(file: IO[bytes], name: str, stream: ogg.Stream, *, alone: bool) -> Source:
    pages = Pieces(file, stream.pieces)
    if stream.codec == "FLAC":
        source = _flac_part(pages, name, whole=not stream.lost)
        source.losses += [f"{name}: {text}" for text in _page_losses(stream, None)]
        return source

    def finish(came: int, error: str | None) -> Iterator[str]:
        rate = sound.sample_rate
        due = stream.n_samples * rate // (stream.rate or rate)
        yield from [error] if error is not None else _page_losses(stream, max(0, due - came) / rate)

    exact = alone and not stream.lost
    found = ogg.read_tags(file, stream)
    sound = SoundfileSource(pages, name, found=found, exact=exact, expected=stream.n_samples, finish=finish)
    return sound


def _page_losses(stream: ogg.Stream, seconds: float | None) -> Iterator[str]:
    """Lines about damaged and missing pages, which took `seconds` of sound with them (None: not known)."""
    if stream.lost:
        lost = "what they hold" if seconds is None else f"{seconds:.2f} s of sound"
        yield f"damaged: {plural(stream.lost, 'Ogg page')} broken or missing: {lost} left out"
    elif not stream.ended:
        yield _CUT_OFF
