"""MP3 and Ogg files, opened so that nothing in them is passed over without a word."""

from collections.abc import Iterator
from itertools import chain
from typing import IO

from rvqcodec.audio import mpeg, ogg
from rvqcodec.audio.chain import ChainSource
from rvqcodec.audio.flacsource import flac_parts
from rvqcodec.audio.found import Found, plural
from rvqcodec.audio.pieces import Pieces
from rvqcodec.audio.soundfiles import UnreadCodecError
from rvqcodec.audio.sources import SoundfileSource, Source
from rvqcodec.audio.tails import without_tags
from rvqcodec.errors import AudioError

_CUT_OFF = "cut off: its last page is missing"


def mpeg_source(file: IO[bytes], name: str, end: int) -> Source:
    """MPEG audio from the file's start to `end`: all runs of frames, whatever stands between them."""
    end, behind = without_tags(file, end)
    walk = mpeg.walk(file, 0, end)
    walk.found.merge(behind)
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


def ogg_source(file: IO[bytes], name: str, begin: int, end: int, before: Found) -> Source:
    """The links of an Ogg file one after another; of streams side by side the first that can be read. `before`: tags
    that stood before it.

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
                yield _ogg_part(file, name, stream, before, alone=len(links) == 1)

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


def _ogg_part(file: IO[bytes], name: str, stream: ogg.Stream, before: Found, *, alone: bool) -> Source:
    if stream.codec == "FLAC":
        parts = flac_parts(Pieces(file, stream.pieces), name, before, lost=_lost_pages(stream))
        first = next(parts)
        source: Source = ChainSource(name, chain([first], parts)) if first.more else first
        source.losses += [] if stream.ended or stream.lost else [f"{name}: {_CUT_OFF}"]
        return source

    def finish(came: int, error: str | None) -> Iterator[str]:
        rate = sound.sample_rate
        due = stream.n_samples * rate // (stream.rate or rate)
        if error is not None:
            yield error
        elif stream.lost:
            yield f"{_lost_pages(stream)}: {max(0, due - came) / rate:.2f} s of sound left out"
        elif not stream.ended:
            yield _CUT_OFF

    exact = alone and not stream.lost
    found = ogg.read_tags(file, stream)
    found.merge(before)
    sound = SoundfileSource(
        ogg.pages(file, stream), name, found=found, exact=exact, expected=stream.n_samples, finish=finish
    )
    return sound


def _lost_pages(stream: ogg.Stream) -> str:
    return f"damaged: {plural(stream.lost, 'Ogg page')} broken or missing" if stream.lost else ""
