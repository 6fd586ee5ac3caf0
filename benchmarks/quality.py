"""Quality against bitrate: rvq beside Opus, MP3, Codec 2 and Speex over a folder of clips.

    python benchmarks/quality.py FOLDER --out run.json --plot quality.png --visqol

The kind of a clip is the start of its name: speech-, music-, sound-. Every codec gets the same 16-bit samples
at 44.1 kHz; its bitrate is the size of its whole file over the duration. Rows of other codecs can be taken
from an earlier run (--reuse) as long as the clip is the same.
"""

import argparse
import hashlib
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray
from peers import PEERS, Peer
from tqdm import tqdm

from rvqcodec.errors import RvqError
from rvqcodec.report.metrics import INSTALL, PERCEPTUAL, measure, missing
from rvqcodec.report.run import (
    Clip,
    Row,
    Run,
    duel,
    groups_of,
    keep_audio,
    kind_of,
    load_run,
    markdown,
    save_run,
    summarize,
    summary_table,
    table,
)

Samples = NDArray[np.float32]

RATE = 44100
ENDINGS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif"}
QUICK_CLIPS = 1  # of each kind


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        run = measure_folder(options)
    except RvqError as error:
        print(f"quality: {error}", file=sys.stderr)
        return 1
    for group, clips in groups_of(run).items():
        print(f"{group} ({len(clips)} clips, {'stereo' if options.stereo else 'mono'})")
        print(summary_table(summarize(run, clips), markdown if options.markdown else table), end="\n\n")
    for ours, theirs in (("rvq 6", "opus 6"), ("rvq 12", "opus 12")):
        won = ", ".join(f"{name} {n} of {all_}" for name, (n, all_) in duel(run, ours, theirs).items())
        if won:
            print(f"clips on which {ours} is better than {theirs}: {won}")
    for note in run.notes:
        print(f"note: {note}")
    if options.out:
        save_run(run, options.out)
    if options.page:
        from rvqcodec.report.page import make_page

        folder = options.out.parent if options.out else Path()
        options.page.write_text(make_page(run, folder, title=f"Quality over {options.folder.name}"))
    if options.plot:
        from rvqcodec.report.plot import quality_plot

        quality_plot(run, options.plot)
    return 0


def parser() -> argparse.ArgumentParser:
    form = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    form.add_argument("folder", type=Path, help="folder of clips")
    form.add_argument("--out", type=Path, help="write the run as JSON (for --reuse and `rvq report`)")
    form.add_argument("--plot", type=Path, help="write the curves of quality against kbps as PNG")
    form.add_argument("--page", type=Path, help="write an HTML page, as `rvq report` does (audio: --audio N --out)")
    form.add_argument("--codecs", default="rvq,opus,mp3,codec2,speex", help="families, or 'opus 12'")
    form.add_argument("--bitrates", default="1.5,3,6,12", help="rvq's bitrates in kbps")
    form.add_argument("--model", help="rvq's model (default: the one that `rvq encode` takes)")
    form.add_argument("--stereo", action="store_true", help="keep two channels (default: mono)")
    form.add_argument("--visqol", action="store_true", help="measure ViSQOL too (slow; faster with numba)")
    form.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    form.add_argument("--quick", action="store_true", help=f"only {QUICK_CLIPS} clip of each kind")
    form.add_argument("--reuse", type=Path, help="take rows of other codecs from this earlier run")
    form.add_argument("--audio", type=int, default=0, metavar="N", help="keep the audio of N clips a kind")
    return form


def measure_folder(options: argparse.Namespace) -> Run:
    """Every clip through every codec; the run is saved after each clip, so that what was measured is kept."""
    paths = find_clips(options.folder, quick=options.quick)
    codecs, notes = choose(options)
    wanted = [name for name in PERCEPTUAL if name != "visqol" or options.visqol]
    absent = [name for name in wanted if missing(name)]
    if absent:
        notes.append(f"not measured: {', '.join(absent)} ({INSTALL})")
        wanted = [name for name in wanted if name not in absent]
    old = reusable(options.reuse)
    command = shlex.join(["python", "benchmarks/quality.py", *sys.argv[1:]])
    run = Run(command, (), (), notes=tuple(notes))
    kept: dict[str, int] = {}
    with tqdm(total=len(paths) * len(codecs), disable=not sys.stderr.isatty(), unit="row") as bar:
        for path in paths:
            samples = prepare(path, stereo=options.stereo)
            clip = describe(path, samples)
            keep_beside = None
            if options.out and kept.get(clip.kind, 0) < options.audio:
                kept[clip.kind] = kept.get(clip.kind, 0) + 1
                keep_beside = options.out
                reference = keep_audio(samples, RATE, options.out, f"{clip.name}.reference")
                clip = replace(clip, audio=reference)
            rows = []
            for codec in codecs:
                bar.set_postfix_str(f"{clip.name} {codec.name}")
                names = [n for n in wanted if clip.kind == "speech" or n == "visqol"]
                known = old.get((clip.sha256, codec.name)) if codec.family != "rvq" else None
                rows.append(measure_one(clip, samples, codec, names, keep_beside, known))
                bar.update()
            run = replace(run, clips=(*run.clips, clip), rows=(*run.rows, *rows))
            if options.out:
                save_run(run, options.out)
    return run


def find_clips(folder: Path, *, quick: bool) -> list[Path]:
    """Audio files of a folder by name; RvqError when there are none."""
    if not folder.is_dir():
        raise RvqError(f"{folder}: not a folder; give one that holds audio clips")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not paths:
        raise RvqError(f"{folder}: no audio in it ({', '.join(sorted(ENDINGS))})")
    if not quick:
        return paths
    kinds = [kind_of(path.name) for path in paths]
    return [path for i, path in enumerate(paths) if kinds[:i].count(kinds[i]) < QUICK_CLIPS]


def choose(options: argparse.Namespace) -> tuple[list[Peer], list[str]]:
    """The codecs asked for that can run here, and notes on those that cannot."""
    asked = [name.strip() for name in options.codecs.split(",") if name.strip()]
    every = [*rvq_codecs(options), *PEERS]
    chosen, notes = [], []
    for codec in every:
        if codec.family not in asked and codec.name not in asked:
            continue
        if codec.missing():
            notes.append(f"{codec.name}: left out, {' and '.join(codec.missing())} not installed")
        elif options.stereo and not codec.stereo:
            notes.append(f"{codec.name}: left out, mono only")
        else:
            chosen.append(codec)
    unknown = set(asked) - {c.family for c in every} - {c.name for c in every}
    if unknown:
        known = ", ".join(c.name for c in every)
        raise RvqError(f"unknown codec {', '.join(sorted(unknown))}; there are {known}")
    return chosen, notes


def rvq_codecs(options: argparse.Namespace) -> Iterator[Peer]:
    """rvq through the functions behind `rvq encode` and `rvq decode`; the model is loaded once and kept."""
    from rvqcodec.codes.bitrate import parse_bitrate

    for text in options.bitrates.split(","):
        yield rvq(parse_bitrate(text.strip()), options.model)


def rvq(bitrate: int, model: str | None) -> Peer:
    """rvq at one bitrate; it leaves no delay to take out."""

    def code(samples: Samples, folder: Path) -> tuple[Path, Samples]:
        from rvqcodec.report.roundtrip import code_file

        wav = folder / "in.wav"
        sf.write(wav, samples.T, RATE, subtype="PCM_16")
        result = code_file(wav, folder, bitrate, model=model)
        return result.encoded, result.decoded.samples

    return Peer("rvq", bitrate, (), code, align=False)


def reusable(path: Path | None) -> dict[tuple[str, str], Row]:
    """Rows of an earlier run by the clip's samples and the codec's name."""
    if path is None:
        return {}
    run = load_run(path)
    hashes = {clip.name: clip.sha256 for clip in run.clips}
    return {(hashes[row.clip], row.codec): replace(row, audio=None) for row in run.rows}


def prepare(path: Path, *, stereo: bool) -> Samples:
    """A clip as every codec gets it: float32 [C, n] at 44.1 kHz, values of 16 bits, mono unless `stereo`."""
    try:
        samples, rate = sf.read(path, dtype="float32", always_2d=True)
    except sf.SoundFileError as error:
        raise RvqError(f"{path}: {error}") from error
    samples = samples if stereo else samples.mean(axis=1, keepdims=True)
    samples = soxr.resample(samples, rate, RATE).T
    return (np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16).astype(np.float32) / 32768.0


def describe(path: Path, samples: Samples) -> Clip:
    digest = hashlib.sha256((samples * 32768.0).astype("<i2").tobytes()).hexdigest()
    return Clip(path.stem, kind_of(path.name), samples.shape[1] / RATE, RATE, samples.shape[0], digest)


def measure_one(
    clip: Clip, samples: Samples, codec: Peer, names: Sequence[str], out: Path | None, known: Row | None
) -> Row:
    """One clip through one codec; its audio is kept beside the run `out` if there is one.

    `known`: the row of an earlier run, which is taken when it holds all the figures asked for.
    """
    known = known if known and all(known.figures.get(name) is not None for name in names) else None
    if known and not out:
        return replace(known, clip=clip.name)
    with tempfile.TemporaryDirectory() as work:
        encoded, decoded = codec.code(samples, Path(work))
        size = encoded.stat().st_size
    audio = keep_audio(decoded, RATE, out, f"{clip.name}.{codec.name}") if out else None
    if known:
        return replace(known, clip=clip.name, audio=audio)
    result = measure(samples, decoded, RATE, perceptual_metrics=names, align=codec.align)
    figures = {k: v for k, v in result.to_dict().items() if k in names or k not in PERCEPTUAL}
    rate = size * 8 / clip.seconds
    return Row(clip.name, codec.name, codec.family, codec.asked, size, rate, figures, audio)


if __name__ == "__main__":
    sys.exit(main())
