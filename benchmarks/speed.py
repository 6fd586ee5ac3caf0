"""Speed and memory: rvq beside opusenc/opusdec and lame on the same file in the same run, as ratios.

    python benchmarks/speed.py                       one minute of sound made here
    python benchmarks/speed.py --source FILE --seconds 60 --three-hours --out speed.json
    python benchmarks/speed.py --against COMMIT      what a change made faster or slower

Times are the fastest of --repeats runs. "x real time" is seconds of audio per second on the clock, "x a core" per
second of processor time: on a machine that does other work too, the second is the one to trust.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import against
import machine
import numpy as np
import recording
import soundfile as sf
import soxr
from numpy.typing import NDArray

from rvqcodec.report.run import table

Samples = NDArray[np.float32]

RATE = 44100
BITRATE = 6000
KINDS = ((1, "mono"), (2, "stereo"))
OPUSENC, OPUSDEC = "opusenc --comp 10 --bitrate 12", "opusdec"
SPEEDS = ("seconds", "CPU s", "x real time", "x a core", "CPU / opus")
# Operations per second of audio, in GFLOP (two a multiply-add), as their papers and repositories give them.
PUBLISHED = (("EnCodec 24 kHz", 12.2), ("Mimi 24 kHz", 16.2), ("DAC 44.1 kHz", 294.0))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    rvq = shutil.which("rvq", path=str(Path(sys.executable).parent)) or shutil.which("rvq")
    if rvq is None:
        print("speed: no rvq command; install the package first (pip install -e .)", file=sys.stderr)
        return 1
    results: dict[str, Any] = {"machine": machine.describe()}
    print(results["machine"], end="\n\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sound = make_sound(options.source, options.seconds)
        for channels in (1, 2):
            sf.write(folder / f"{channels}.wav", sound[:, :channels], RATE, subtype="PCM_16")
            sf.write(folder / f"{channels}-10.wav", sound[: 10 * RATE, :channels], RATE, subtype="PCM_16")
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "startup": lambda: startup(rvq, folder, options),
            "processes": lambda: processes(rvq, folder, options),
            "many files": lambda: many_files(rvq, folder, sound, options),
            "memory": lambda: memory(rvq, sound, options),
            "network": lambda: network(folder, options, results.get("processes", {})),
        }
        if options.against:
            parts = {"against": lambda: against.compare(options.against, folder, options.seconds, options.repeats)}
        asked = options.only.split(",") if options.only else list(parts)
        if unknown := set(asked) - set(parts):
            print(f"speed: no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}", file=sys.stderr)
            return 2
        for name, part in parts.items():
            if name in asked:
                results[name] = part()
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    form = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    form.add_argument("--source", type=Path, help="audio to use, repeated as needed (default: made here)")
    form.add_argument("--seconds", type=float, default=60.0, help="length of the recording [60]")
    form.add_argument("--repeats", type=int, default=3, help="runs of which the fastest counts [3]")
    form.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="for rvq's network [cpu]")
    form.add_argument("--only", metavar="PARTS", help="of startup, processes, many files, memory, network [all]")
    form.add_argument("--against", metavar="COMMIT", help="only compare with a commit, or a folder that has a checkout")
    form.add_argument("--three-hours", action="store_true", help="also peak memory for 3 h through a pipe")
    form.add_argument("--profile", action="store_true", help="also where the time goes, by stage")
    form.add_argument("--out", type=Path, help="write the figures as JSON")
    return form


def make_sound(source: Path | None, seconds: float) -> Samples:
    """[n, 2] at 44.1 kHz: a recording, or ten seconds of made-up voice and music, repeated."""
    count = round(seconds * RATE)
    if source is not None:
        samples, rate = sf.read(source, dtype="float32", always_2d=True)
        samples = soxr.resample(samples, rate, RATE)[:, [0, -1]]
    else:
        samples = recording.recording(10.0).T
    return np.tile(samples, (-(-count // len(samples)), 1))[:count]


def startup(rvq: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Whole processes on nothing or little, each beside what Python itself needs."""
    device = ["--device", options.device]
    encode = [rvq, "encode", folder / "1-10.wav", "-o", folder / "s.rvq", "-f", *device]
    commands: dict[str, list[str | Path]] = {
        "python -c pass": [machine.python(), "-c", "pass"],
        "python -c 'import click, numpy'": [machine.python(), "-c", "import click, numpy"],
        "rvq --help": [rvq, "--help"],
        "rvq encode, 10 s clip": encode,
        "rvq info": [rvq, "info", folder / "s.rvq"],
        "rvq decode, 10 s clip": [rvq, "decode", folder / "s.rvq", "-o", folder / "s.wav", "-f", *device],
    }
    used = {name: machine.best(command, options.repeats) for name, command in commands.items()}
    base = used["python -c 'import click, numpy'"].cpu
    rows = [
        [name, f"{u.seconds:.2f}", f"{u.cpu:.2f}", f"{u.cpu / base:.2f}", f"{u.peak_mib or 0:.0f}"]
        for name, u in used.items()
    ]
    print(table(["start-up", "seconds", "CPU s", "CPU / click, numpy", "MiB"], rows), end="\n\n")
    return {name: asdict(u) for name, u in used.items()}


def processes(rvq: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Whole processes on the same file: seconds, real-time factor, and the ratio to Opus."""
    found: dict[str, Any] = {}
    for channels, kind in KINDS:
        wav, coded, opus, mp3 = (folder / f"{channels}.{ending}" for ending in ("wav", "rvq", "opus", "mp3"))
        out = folder / "out.wav"
        own = ["-f", "--device", options.device]
        encoders: dict[str, list[str | Path]] = {
            OPUSENC: ["opusenc", "--quiet", "--comp", "10", "--bitrate", "12", wav, opus],
            "lame -b 32": ["lame", "--quiet", "-b", "32", wav, mp3],
            "rvq encode -b 6": [rvq, "encode", wav, "-b", str(BITRATE), "-o", coded, *own],
        }
        decoders: dict[str, list[str | Path]] = {
            OPUSDEC: ["opusdec", "--quiet", "--rate", str(RATE), opus, out],
            "lame --decode": ["lame", "--quiet", "--decode", mp3, out],
            "rvq decode": [rvq, "decode", coded, "-o", out, *own],
        }
        rows = []
        for commands in (encoders, decoders):
            there = {name: command for name, command in commands.items() if shutil.which(command[0])}
            used = {name: machine.best(command, options.repeats) for name, command in there.items()}
            opus_cpu = next((u.cpu for name, u in used.items() if name in (OPUSENC, OPUSDEC)), None)
            for name, u in used.items():
                found[f"{name}, {kind}"] = asdict(u)
                rows.append([name, *_speeds(u, options.seconds, opus_cpu)])
        print(table([f"whole process, {options.seconds:g} s {kind}", *SPEEDS], rows), end="\n\n")
    return found


def _speeds(used: machine.Usage, seconds: float, opus_cpu: float | None) -> list[str]:
    ratio = "-" if opus_cpu is None else f"{used.cpu / opus_cpu:.1f}"
    factors = [f"{seconds / used.seconds:.0f}", f"{seconds / used.cpu:.0f}"]
    return [f"{used.seconds:.2f}", f"{used.cpu:.2f}", *factors, ratio]


def many_files(rvq: str, folder: Path, sound: Samples, options: argparse.Namespace) -> dict[str, Any]:
    """A folder of eight stereo files of 30 s: on one core, on all, and several files at once."""
    album, coded, out = (folder / name for name in ("album", "coded", "out"))
    album.mkdir()
    clip = np.resize(sound, (30 * RATE, 2))
    for i in range(8):
        sf.write(album / f"{i}.wav", clip, RATE, subtype="PCM_16")
    own = ["--quiet", "-f", "--device", options.device]
    found: dict[str, Any] = {}
    rows = []
    ways: list[tuple[str, list[str], int]] = []
    if shutil.which("taskset"):
        ways.append(("on one core", ["taskset", "-c", str(min(os.sched_getaffinity(0)))], 1))
    ways += [(f"-j {jobs}", [], jobs) for jobs in sorted({1, 2, machine.cores()})]
    for name, source, target in (("encode", album, coded), ("decode", coded, out)):
        first = None
        for how, prefix, jobs in ways:
            command = [*prefix, rvq, name, "-r", source, "-o", target, "-j", str(jobs), *own]
            used = machine.best(command, options.repeats)
            found[f"{name} {how}"] = asdict(used)
            first = first or used.seconds
            figures = [f"{used.seconds:.2f}", f"{used.cpu:.2f}", f"{240 / used.seconds:.0f}"]
            rows.append([f"rvq {name} -r folder {how}", *figures, f"{first / used.seconds:.2f}"])
    heading = "whole process, 8 stereo files of 30 s"
    print(table([heading, "seconds", "CPU s", "x real time", "speed / first"], rows), end="\n\n")
    return found


def memory(rvq: str, sound: Samples, options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of encoding mono through a pipe: it must not grow with the length."""
    ten = (np.clip(sound[: 10 * RATE, 0], -1, 1) * 32767).astype("<i2").tobytes()

    def feed(seconds: float) -> Iterator[bytes]:
        left = round(seconds * RATE) * 2
        while left > 0:
            yield ten[:left]
            left -= len(ten)

    lengths = [("10 s", 10.0), ("10 min", 600.0)] + ([("3 h", 10800.0)] if options.three_hours else [])
    raw = ["--raw", "--rate", str(RATE), "--channels", "1"]
    command = [rvq, "encode", "-", *raw, "-o", "-", "--device", options.device]
    used = {"python -c 'import numpy'": machine.run([machine.python(), "-c", "import numpy"])}
    for name, seconds in lengths:
        used[f"rvq encode, {name} through a pipe"] = machine.run(command, feed(seconds))
    rows = [
        [name, "-" if u.peak_mib is None else f"{u.peak_mib:.0f}", f"{u.seconds:.1f}", f"{u.cpu:.1f}"]
        for name, u in used.items()
    ]
    print(table(["peak memory", "MiB", "seconds", "CPU s"], rows), end="\n\n")
    return {name: asdict(u) for name, u in used.items()}


def network(folder: Path, options: argparse.Namespace, beside: dict[str, Any]) -> dict[str, Any]:
    """File to file in this process, without start-up: operations, and the share of the machine's rate."""
    from rvqcodec.codec import DecodeOptions, EncodeOptions, decode_file, encode_file
    from rvqcodec.models import threads

    rate = machine.matmul_rate(options.device)
    found: dict[str, Any] = {"threads": threads.cores(), "matmul": rate}
    operations = count_operations(options.device)
    rows, profiles = [], []
    for channels, kind in KINDS:
        wav, coded, out = folder / f"{channels}.wav", folder / f"{channels}.rvq", folder / "out.wav"

        def encode(wav: Path = wav, coded: Path = coded) -> None:
            encode_file(wav, coded, EncodeOptions(bitrate=BITRATE, device=options.device), force=True)

        def decode(coded: Path = coded, out: Path = out) -> None:
            decode_file(coded, out, DecodeOptions(device=options.device), force=True)

        for name, work in (("encode", encode), ("decode", decode)):
            work()  # loads the model, warms up
            flops = operations[name] * channels
            used = machine.best_of(work, options.repeats)
            busy = used.cpu if options.device == "cpu" else used.seconds
            share = flops * options.seconds / busy / rate
            said = f"{name} {kind}"
            found[said] = {**asdict(used), "flop_per_second": flops, "share": share}
            peer = OPUSENC if name == "encode" else OPUSDEC
            speeds = _speeds(used, options.seconds, beside.get(f"{peer}, {kind}", {}).get("cpu"))
            rows.append([said, *speeds, f"{flops / 1e9:.2f}", f"{share:.0%}"])
            if options.profile:
                profiles.append((said, work))
    heading = f"in process, {options.seconds:g} s at {BITRATE // 1000} kbps"
    print(table([heading, *SPEEDS, "GFLOP/s of audio", "of matrix rate"], rows))
    where = "a core" if options.device == "cpu" else options.device
    print(f"matrix products on {where}: {rate / 1e9:.1f} GFLOP/s; threads: {found['threads']}", end="\n\n")
    for name, work in profiles:
        import stages

        stages.print_stages(name, work, found)
    ours = sum(found[f"{name} mono"]["flop_per_second"] for name in ("encode", "decode")) / 1e9
    lines = [["rvq 44.1 kHz (counted here)", f"{ours:.2f}", "1.0"]]
    lines += [[name, f"{gflop:g}", f"{gflop / ours:.1f}"] for name, gflop in PUBLISHED]
    print(table(["operations per second of mono audio, there and back", "GFLOP", "/ rvq"], lines))
    return found


def count_operations(device: str) -> dict[str, float]:
    """Floating-point operations of matrix products and convolutions (two a multiply-add) for one channel and second of
    audio at BITRATE, as torch counts them in its engine; needs the extra [torch]."""
    from torch.utils.flop_counter import FlopCounterMode

    from rvqcodec.codes.bitrate import total_n_q
    from rvqcodec.models import cards, loading
    from rvqcodec.models.rvq44.config import Config
    from rvqcodec.models.rvq44.encoder import WINDOW
    from rvqcodec.models.rvq44.family import Rvq44
    from rvqcodec.models.rvq44.network.engine import TorchEngine

    card = cards.find()
    model = Rvq44(TorchEngine.of(Config(**card.config), loading.verified_tensors(card), device), card.facts)
    n_q, windows = total_n_q(BITRATE, 1, model.facts), 4
    samples = np.zeros((1, windows * WINDOW * model.facts.hop), np.float32)
    counters = {name: FlopCounterMode(display=False) for name in ("encode", "decode")}
    codes = np.zeros((1, n_q, windows * WINDOW), np.uint16)
    with counters["encode"]:
        encoder = model.encoder(1)
        encoder.push(samples)
        encoder.codes(np.full((1, encoder.ready), n_q))
    with counters["decode"]:
        model.decoder(1).push(codes, np.full(1, n_q))
    seconds = samples.shape[1] / model.facts.model_rate
    return {name: counter.get_total_flops() / seconds for name, counter in counters.items()}


if __name__ == "__main__":
    sys.exit(main())
