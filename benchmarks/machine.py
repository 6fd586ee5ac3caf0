"""What the machine is and can do, and what a child process took: time, peak memory."""

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL = 0.01  # seconds between looks at a child's memory


@dataclass(frozen=True)
class Usage:
    """Seconds on the clock, seconds of processor time, and MiB of memory at most (None without /proc)."""

    seconds: float
    cpu: float
    peak_mib: float | None = None


def describe() -> str:
    """Processor, cores that this process may use, load before we start."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    load = f", load {os.getloadavg()[0]:.1f} before the run" if hasattr(os, "getloadavg") else ""
    return f"{name}, {cores()} of {os.cpu_count()} cores, Python {platform.python_version()}{load}"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    command: Sequence[str | Path],
    feed: Iterable[bytes] | None = None,
    *,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> Usage:
    """Run a command to its end, its stdin fed with `feed`, its stdout thrown away; RuntimeError if it fails."""
    start, cpu = time.perf_counter(), _children()
    child = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=folder,
    )
    peaks: list[float] = []
    watch = threading.Thread(target=_watch, args=(child, peaks))
    watch.start()
    if feed is not None and child.stdin is not None:
        try:
            for block in feed:
                child.stdin.write(block)
        except BrokenPipeError:
            pass  # its own message says why
        child.stdin.close()
    errors = child.stderr.read() if child.stderr else b""
    child.wait()
    seconds = time.perf_counter() - start
    watch.join()
    if child.returncode:
        raise RuntimeError(f"{command[0]} failed ({child.returncode}): {errors.decode(errors='replace')[-300:]}")
    return Usage(seconds, _children() - cpu, max(peaks) if peaks else None)


def _children() -> float:
    """Processor seconds of all children so far."""
    used = os.times()
    return used.children_user + used.children_system


def _watch(child: "subprocess.Popen[bytes]", peaks: list[float]) -> None:
    """VmHWM of the child until it ends. (getrusage would count the parent's memory at the fork too.)"""
    status = Path(f"/proc/{child.pid}/status")
    while child.poll() is None:
        try:
            lines = status.read_text().splitlines()
        except OSError:
            return
        peaks.extend(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
        time.sleep(POLL)


def best(command: Sequence[str | Path], repeats: int) -> Usage:
    """The fastest of several runs: what else the machine does only ever adds."""
    return fastest([run(command) for _ in range(repeats)])


def best_of(work: Callable[[], object], repeats: int) -> Usage:
    """The fastest of several calls in this process; processor time is that of all threads."""
    runs = []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        work()
        runs.append(Usage(time.perf_counter() - start, time.process_time() - cpu))
    return fastest(runs)


def fastest(runs: Sequence[Usage]) -> Usage:
    """The least of each figure."""
    peaks = [u.peak_mib for u in runs if u.peak_mib is not None]
    return Usage(min(u.seconds for u in runs), min(u.cpu for u in runs), max(peaks) if peaks else None)


def matmul_rate(device: str, seconds: float = 1.0) -> float:
    """Floating-point operations per second of square matrix products in float32, best of many.

    On a CPU per second of processor time, so of one core, whatever else runs.
    """
    if device == "cpu":
        product, size, clock = _numpy_product, 1024, time.process_time
    else:
        product, size, clock = _torch_product, 8192, time.perf_counter
    work = product(size, device)
    best_time, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = clock()
        work()
        best_time = min(best_time, clock() - start)
    return 2.0 * size**3 / best_time


def _numpy_product(size: int, device: str) -> Callable[[], object]:
    import numpy as np

    from rvqcodec.models.threads import one_blas_thread

    a = np.random.default_rng(0).standard_normal((size, size), np.float32)

    def work() -> None:
        with one_blas_thread():
            a @ a

    return work


def _torch_product(size: int, device: str) -> Callable[[], object]:
    import torch

    a = torch.randn(size, size, device=device)

    def work() -> None:
        a @ a
        torch.cuda.synchronize()

    return work


def python() -> str:
    """The interpreter that runs us."""
    return sys.executable
