"""This checkout beside another one: whole processes and work in process, alternating, so that both meet the same load.

`speed.py --against COMMIT_OR_FOLDER` prints it. In process: file to file on one core, the start left out.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import machine

from rvqcodec.report.run import table

ROOT = Path(__file__).resolve().parent.parent
BITRATE = 6000
WORKS = [(name, clip) for name in ("encode", "decode") for clip in ("1-10", "1", "2")]
KINDS = {"1-10": "10 s mono", "1": "{:g} s mono", "2": "{:g} s stereo"}
# Prints the least CPU seconds of three times: arguments are encode or decode, source, target.
IN_PROCESS = """
import sys, time
from rvqcodec.codec import DecodeOptions, EncodeOptions, decode_file, encode_file
name, source, target = sys.argv[1:]
def work():
    if name == "encode":
        encode_file(source, target, EncodeOptions(bitrate=6000, device="cpu"), force=True)
    else:
        decode_file(source, target, DecodeOptions(device="cpu"), force=True)
work()
found = []
for _ in range(3):
    start = time.process_time()
    work()
    found.append(time.process_time() - start)
print(min(found))
"""


@contextmanager
def checkout(name: str) -> Iterator[Path]:
    """A folder as it is, or a commit of this repository in a temporary one."""
    if Path(name).is_dir():
        yield Path(name).resolve()
        return
    with tempfile.TemporaryDirectory() as temporary:
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", name], capture_output=True, check=False)
        if archive.returncode:
            raise SystemExit(f"speed: --against {name}: neither a folder nor a commit of {ROOT}")
        subprocess.run(["tar", "-x", "-C", temporary], input=archive.stdout, check=True)
        yield Path(temporary)


def compare(name: str, folder: Path, seconds: float, repeats: int) -> dict[str, Any]:
    """folder: holds 1-10.wav, 1.wav and 2.wav, of 10 and of `seconds` seconds. The best of all runs counts."""
    with checkout(name) as other:
        sides = {"now": ROOT, "then": other}
        found: dict[str, Any] = {}
        rows, inside = [], []
        for work, clip in WORKS:
            title = f"{work} {KINDS[clip].format(seconds)}"
            runs: dict[str, list[machine.Usage]] = {side: [] for side in sides}
            times: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(repeats):
                for side, root in sides.items():
                    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *_path()])}
                    source, target = _files(work, clip, side, folder)
                    command = [machine.python(), "-m", "rvqcodec", work, source, "-f", "--quiet", "-o", target]
                    runs[side].append(
                        machine.run([*command, "--device", "cpu"], environment=environment, folder=folder)
                    )
                    inner = [machine.python(), "-c", IN_PROCESS, work, source, target]
                    times[side].append(_printed(inner, {**environment, "OMP_NUM_THREADS": "1"}, folder))
            best = {side: machine.fastest(own) for side, own in runs.items()}
            found[title] = {side: asdict(used) | {"in process": min(times[side])} for side, used in best.items()}
            rows.append(_row(title, best["now"], best["then"]))
            now, then = min(times["now"]), min(times["then"])
            inside.append([title, f"{now:.2f}", f"{then:.2f}", f"{now / then:.2f}"])
    heading = f"whole process, beside {name}"
    columns = ["CPU s", "then", "ratio", "seconds", "then", "ratio", "MiB", "then"]
    print(table([heading, *columns], rows), end="\n\n")
    print(table(["in process, one core", "CPU s", "then", "ratio"], inside), end="\n\n")
    return found


def _files(work: str, clip: str, side: str, folder: Path) -> tuple[str, str]:
    """Input and output; each side decodes what it encoded."""
    coded = str(folder / f"{clip}-{side}.rvq")
    return (str(folder / f"{clip}.wav"), coded) if work == "encode" else (coded, str(folder / "out.wav"))


def _row(title: str, now: machine.Usage, then: machine.Usage) -> list[str]:
    row = [title]
    for one, other in ((now.cpu, then.cpu), (now.seconds, then.seconds)):
        row += [f"{one:.2f}", f"{other:.2f}", f"{one / other:.2f}"]
    return [*row, *("-" if used.peak_mib is None else f"{used.peak_mib:.0f}" for used in (now, then))]


def _printed(command: Sequence[str], environment: dict[str, str], folder: Path) -> float:
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _path() -> list[str]:
    """PYTHONPATH as it is, but for checkouts."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [part for part in given if part and not (Path(part) / "rvqcodec").is_dir()]
