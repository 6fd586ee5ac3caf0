"""Audio out: `open_output` takes blocks of float32 [C, n] to a file (whole or not at all) or to stdout."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from rvqcodec.audio import layouts
from rvqcodec.audio.formats import ENDINGS, FORMATS, OPUS_RATES, SUBTYPES
from rvqcodec.audio.layouts import Layout
from rvqcodec.audio.limiter import Limiter
from rvqcodec.audio.samples import check_rate_and_channels
from rvqcodec.audio.sinks import PcmSink, Sink, SoundfileSink
from rvqcodec.audio.tags import kept
from rvqcodec.errors import AudioError
from rvqcodec.files import is_special

BLOCK = 65_536

_ENCODING = {"U8": "PCM_U8", "S16LE": "PCM_16", "F32LE": "FLOAT"}


class AudioOutput:
    """One recording being written. Make it with `open_output`; use it as a context manager.

    Leaving the `with` block normally closes (only then a file gets its name); leaving it by an exception,
    Ctrl-C included, removes what was written. `clipped` counts values beyond full scale that were cut
    (FLOAT keeps them), `limited` those that a limiter turned down; `peak` is the largest value before that.
    `samples_written` is per channel. `lost_tags` and `layout_note` tell what the format has no place for.
    """

    def __init__(
        self,
        sink: Sink,
        layout: Layout,
        lost_tags: tuple[str, ...],
        *,
        gain: float = 1.0,
        limiter: Limiter | None = None,
    ) -> None:
        """layout: as the file will hold the channels; its note: what it cannot say. gain: a factor."""
        self.channels, self.layout_note = layout.channels, layout.note
        self.lost_tags = lost_tags
        self._layout = layout
        self.samples_written = 0
        self.peak, self._closed = 0.0, False
        self._sink, self._gain, self._limiter = sink, np.float32(gain), limiter

    @property
    def clipped(self) -> int:
        return self._sink.clipped

    @property
    def limited(self) -> int:
        return 0 if self._limiter is None else self._limiter.limited

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append float32 [channels, n], channels in the order of the layout's mask."""
        assert samples.shape == (self.channels, samples.shape[-1]), samples.shape
        for start in range(0, samples.shape[1], BLOCK):
            block = self._layout.sorted(samples[:, start : start + BLOCK])
            if self._gain != 1:
                block = block * self._gain
            self.peak = max(self.peak, float(np.abs(block).max(initial=0)))
            self._put(block if self._limiter is None else self._limiter.push(block))
            self.samples_written += samples[:, start : start + BLOCK].shape[1]

    def close(self) -> None:
        """Finish; may be called twice."""
        if self._limiter is not None and not self._closed:
            self._put(self._limiter.flush())
        self._closed = True
        self._sink.close()

    def _put(self, block: NDArray[np.float32]) -> None:
        if block.shape[1]:
            self._sink.write(block)

    def abort(self) -> None:
        """Remove what was written; without effect after `close`."""
        self._sink.abort()

    def __enter__(self) -> "AudioOutput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.abort()


def output_format(target: str | Path, format: str | None = None) -> str:
    """The one of FORMATS that `target` gets: `format` if given, else by its ending, "wav" for stdout and pipes.

    Raises AudioError naming the legal ones. It opens no file, so a command can check before it works.
    """
    stdout = str(target) == "-"
    if format is not None and format not in FORMATS:
        raise AudioError(f"format {format!r}: must be one of {', '.join(FORMATS)}")
    if format is None:
        format = "wav" if stdout else ENDINGS.get(Path(target).suffix.lower())
    if format is None and is_special(target):
        format = "wav"
    if format is None:
        raise AudioError(f"{target}: the name must end in one of {', '.join(ENDINGS)}")
    if stdout and format not in ("wav", "raw"):
        raise AudioError(f"{format} cannot go to stdout, only wav and raw can: name a file")
    return format


def output_subtype(target: str | Path, format: str, subtype: str | None = None) -> str:
    """The one of SUBTYPES[format] that is meant: `subtype` in any case, or the default for `target`."""
    legal = SUBTYPES[format]
    if subtype is None:
        return "OPUS" if Path(target).suffix.lower() == ".opus" else legal[0]
    name = subtype.upper()
    name = "U8" if name == "PCM_U8" else name
    if name not in legal:
        raise AudioError(f"subtype {subtype!r}: {format} takes {', '.join(legal)}")
    return name


def open_output(
    target: str | Path,
    sample_rate: int,
    channels: int,
    *,
    format: str | None = None,
    subtype: str | None = None,
    layout: int | None = None,
    n_samples: int | None = None,
    tags: Mapping[str, str] | None = None,
    gain: float = 0.0,
    limit: bool = False,
    force: bool = True,
) -> AudioOutput:
    """Open a file, or stdout for "-", for writing.

    `layout` is the mask of the channels' loudspeakers (`rvqcodec.speakers`; None: the usual one). `format` and
    `subtype` as in `output_format` and `output_subtype`. `n_samples` per channel, when known, makes the sizes in a
    WAV header on stdout exact, and then that many must be written. `tags` as in AudioInput; each format keeps the
    keys that it has a place for. `gain` in dB is applied to all samples; with `limit` what is then over full scale is
    turned down smoothly, where it else is cut. Without `force` a file that exists is an error. Raises AudioError, in
    one line; BrokenPipeError passes as it is.
    """
    chosen = output_format(target, format)
    subtype = output_subtype(target, chosen, subtype)
    check_rate_and_channels(str(target), sample_rate, channels)
    if subtype == "OPUS" and sample_rate not in OPUS_RATES:
        rates = ", ".join(map(str, OPUS_RATES))
        raise AudioError(f"{target}: Opus takes {rates} Hz, not {sample_rate}: use --rate 48000, or .ogg (Vorbis)")
    tags = tags or {}
    takes = kept(tags, chosen)
    lost = tuple(key for key in tags if chosen != "raw" and tags[key] and key.upper() not in takes)
    held = layouts.stored(layout, channels, chosen)
    if chosen in ("wav", "raw"):
        sink: Sink = PcmSink(
            target,
            sample_rate,
            channels,
            encoding=_ENCODING.get(subtype, subtype),
            header=chosen == "wav",
            layout=held.speakers,
            n_samples=n_samples,
            tags=takes,
            force=force,
        )
    else:
        sink = SoundfileSink(
            target,
            sample_rate,
            channels,
            format=chosen,
            subtype=subtype,
            layout=held.speakers,
            tags=takes,
            force=force,
        )
    limiter = Limiter(sample_rate, channels) if limit else None
    return AudioOutput(sink, held, lost, gain=10 ** (gain / 20), limiter=limiter)
