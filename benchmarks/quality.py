"""Quality against bitrate: rvq beside Opus, MP3, Codec 2 and Speex over a folder of clips; EnCodec, DAC, Mimi too.

    python benchmarks/quality.py FOLDER --out run.json --plot quality.png --visqol
    python benchmarks/quality.py FOLDER --codecs rvq --model rvq44-4 --model new.json [--stereo]
    python benchmarks/quality.py FOLDER --codecs rvq,encodec,dac,mimi    # those that `rvq models add` has added

The kind of a clip is the start of its name: speech-, music-, sound-. Every codec gets the same 16-bit samples
at 44.1 kHz; its bitrate is the size of its whole file over the duration. Rows of other codecs can be taken
from an earlier run (--reuse) as long as the clip is the same. Several models are measured side by side, under their
own names. --stereo takes the clips of two channels only, and tells how well their image was kept.
"""

import argparse
import hashlib
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from longterm import LongTerm
from numpy.typing import NDArray
from ours import PUBLISHED, published, rvq_codecs
from peers import PEERS, RATE, Peer
from tqdm import tqdm

from rvqcodec.errors import RvqError
from rvqcodec.report.metrics import INSTALL, PERCEPTUAL, measure, missing
from rvqcodec.report.run import (
    BAND_COLUMNS,
    BANDS_EXPLAINED,
    COLUMNS,
    Clip,
    Row,
    Run,
    duel,
    groups_of,
    is_ours,
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

ENDINGS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif"}
QUICK_CLIPS = 1  # of each kind


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    spectra = LongTerm(RATE)
    try:
        run = measure_folder(options, spectra)
    except RvqError as error:
        print(f"quality: {error}", file=sys.stderr)
        return 1
    draw = markdown if options.markdown else table
    for group, clips in groups_of(run).items():
        print(f"{group} ({len(clips)} clips, {'stereo' if options.stereo else 'mono'})")
        lines = summarize(run, clips)
        for columns in (COLUMNS, BAND_COLUMNS):
            print(summary_table(lines, draw, columns), end="\n\n")
    print(BANDS_EXPLAINED, end="\n\n")
    if spectra.sums:
        print(draw(spectra.headings(), spectra.rows()), end="\n\n")
    for ours, theirs in duels(run):
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
    form.add_argument(
        "--codecs", default="rvq,opus,mp3,codec2,speex", help="families, 'opus 12', or encodec, dac, mimi"
    )
    form.add_argument(
        "--bitrates", help="bitrates of rvq and of models of others, in kbps [1.5,3,6,12; with --stereo 3,6,12]"
    )
    form.add_argument(
        "--model", dest="models", action="append", default=[], metavar="ID",
        help="rvq's model, an id or a .json; may be repeated (default: the one that `rvq encode` takes)",
    )  # fmt: skip
    form.add_argument("--stereo", action="store_true", help="only clips of two channels, both kept (default: mono)")
    form.add_argument("--visqol", action="store_true", help="measure ViSQOL too (slow; faster with numba)")
    form.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    form.add_argument("--quick", action="store_true", help=f"only {QUICK_CLIPS} clip of each kind")
    form.add_argument("--reuse", type=Path, help="take rows of other codecs from this earlier run")
    form.add_argument("--audio", type=int, default=0, metavar="N", help="keep the audio of N clips a kind")
    return form


def duels(run: Run) -> list[tuple[str, str]]:
    """Pairs of codecs to set against each other: ours and Opus, and our last model and the one before it."""
    families = list(dict.fromkeys(row.family for row in run.rows if is_ours(row.family)))
    pairs = [(f"{family} {kbps}", f"opus {kbps}") for family in families for kbps in (6, 12)]
    if len(families) > 1:
        old, new = families[-2:]
        pairs += [(row.codec, row.codec.replace(new, old)) for row in run.rows if row.family == new]
    return list(dict.fromkeys(pairs))


def measure_folder(options: argparse.Namespace, spectra: LongTerm) -> Run:
    """Every clip through every codec; the run is saved after each clip, so that what was measured is kept.

    spectra: is given what every codec made of every clip, but for rows of an earlier run.
    """
    paths = find_clips(options.folder, quick=options.quick, stereo=options.stereo)
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
            rows, results = [], {}
            for codec in codecs:
                bar.set_postfix_str(f"{clip.name} {codec.name}")
                names = [n for n in wanted if clip.kind == "speech" or n == "visqol"]
                known = None if is_ours(codec.family) else old.get((clip.sha256, codec.name))
                row, decoded = measure_one(clip, samples, codec, names, keep_beside, known)
                rows.append(row)
                if decoded is not None:
                    results[codec.name] = decoded
                bar.update()
            spectra.add(samples, results)
            run = replace(run, clips=(*run.clips, clip), rows=(*run.rows, *rows))
            if options.out:
                save_run(run, options.out)
    return run


def find_clips(folder: Path, *, quick: bool, stereo: bool) -> list[Path]:
    """Audio files of a folder by name, if `stereo` only those of two channels; RvqError when there are none."""
    if not folder.is_dir():
        raise RvqError(f"{folder}: not a folder; give one that holds audio clips")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not paths:
        raise RvqError(f"{folder}: no audio in it ({', '.join(sorted(ENDINGS))})")
    if stereo:
        paths = [path for path in paths if channels_of(path) == 2]
        if not paths:
            raise RvqError(f"{folder}: no clip of two channels in it")
    if not quick:
        return paths
    kinds = [kind_of(path.name) for path in paths]
    return [path for i, path in enumerate(paths) if kinds[:i].count(kinds[i]) < QUICK_CLIPS]


def channels_of(path: Path) -> int:
    """Channels that a file says it has; RvqError when it is no audio."""
    try:
        return int(sf.info(path).channels)
    except sf.SoundFileError as error:
        raise RvqError(f"{path}: {error}") from error


def choose(options: argparse.Namespace) -> tuple[list[Peer], list[str]]:
    """The codecs asked for that can run here, and notes on those that cannot."""
    asked = [name.strip() for name in options.codecs.split(",") if name.strip()]
    bitrates = options.bitrates or ("3,6,12" if options.stereo else "1.5,3,6,12")
    others = list(published(2 if options.stereo else 1, options.bitrates))
    every = [*rvq_codecs(options.models, bitrates), *PEERS, *others]
    chosen = []
    absent = [kind for kind in PUBLISHED if kind in asked and kind not in {codec.kind for codec in others}]
    notes = [f"{kind}: left out, no model of it at these bitrates is installed (rvq models add)" for kind in absent]
    for codec in every:
        names = {codec.name, codec.family, codec.kind} | ({"rvq"} if is_ours(codec.family) else set())
        if not names & set(asked):
            continue
        if codec.missing():
            notes.append(f"{codec.name}: left out, {' and '.join(codec.missing())} not installed")
        elif options.stereo and not codec.stereo:
            notes.append(f"{codec.name}: left out, mono only")
        else:
            chosen.append(codec)
    unknown = set(asked) - {"rvq", *PUBLISHED} - {c.family for c in every} - {c.name for c in every}
    if unknown:
        known = ", ".join(c.name for c in every)
        raise RvqError(f"unknown codec {', '.join(sorted(unknown))}; there are {known}")
    return chosen, notes


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
) -> tuple[Row, Samples | None]:
    """One clip through one codec, and what it made of it; its audio is kept beside the run `out` if there is one.

    `known`: the row of an earlier run, which is taken when it holds all the figures asked for; then there may be no
    samples.
    """
    known = known if known and all(known.figures.get(name) is not None for name in names) else None
    if known and not out:
        return replace(known, clip=clip.name), None
    with tempfile.TemporaryDirectory() as work:
        encoded, decoded = codec.code(samples, Path(work))
        size = encoded.stat().st_size
    audio = keep_audio(decoded, RATE, out, f"{clip.name}.{codec.name}") if out else None
    if known:
        return replace(known, clip=clip.name, audio=audio), decoded
    result = measure(samples, decoded, RATE, perceptual_metrics=names, align=codec.align)
    figures = {k: v for k, v in result.to_dict().items() if k in names or k not in PERCEPTUAL}
    rate = size * 8 / clip.seconds
    return Row(clip.name, codec.name, codec.family, codec.asked, size, rate, figures, audio), decoded


if __name__ == "__main__":
    sys.exit(main())
