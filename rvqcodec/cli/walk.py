"""-r: the files below a folder, and a word about everything that is passed over."""

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from rvqcodec import files
from rvqcodec.cli.errors import Batch, one_line

SHOWN = 6  # endings in a line


def files_below(folder: str, accepts: Collection[str], results: str | None, batch: Batch) -> list[Path]:
    """The files below a folder whose ending is in `accepts`, sorted; links to files among them.

    Told in `batch` and passed over: links to folders, FIFOs, devices and sockets, `results` (the folder of results,
    if it lies below), and, counted, other endings and names that begin with a dot. What cannot be looked into is a
    failure, and so is a folder without any file. A link to nowhere is among the files: opening it will fail.
    """
    found: list[Path] = []
    others: Counter[str] = Counter()
    hidden, failed = 0, batch.failed

    def fail(error: OSError) -> None:
        batch.fail(f"{one_line(error)}; what is in it was left out")

    for root, folders, names in os.walk(folder, onerror=fail):
        seen = [n for n in sorted(folders) if n[0] != "."]
        hidden += len(folders) - len(seen)
        folders[:] = [name for name in seen if _enters(os.path.join(root, name), results, batch)]
        for name in sorted(names):
            path = Path(root, name)
            if name[0] == ".":
                hidden += not name.endswith(files.SUFFIX)
            elif path.suffix.lower() not in accepts:
                others[path.suffix.lower() or "no ending"] += 1
            elif kind := _special(path):
                batch.note(f"{path}: {kind}; name it as an INPUT to take it")
            else:
                found.append(path)
    if not found and batch.failed == failed:
        batch.fail(f"{folder}: no files ending in {', '.join(accepts)}")
    if left := ", ".join(_counts(others, hidden)):
        batch.note(f"{folder}: passed over {left}")
    return found


def _enters(folder: str, results: str | None, batch: Batch) -> bool:
    if os.path.islink(folder):
        batch.note(f"{folder}: a link to a folder, which -r does not enter; name it as an INPUT to take it")
    elif results is not None and files.same_file(folder, results):
        batch.note(f"{folder}: the folder of results, which -r does not enter")
    else:
        return True
    return False


def _special(path: Path) -> str | None:
    """What a file is that -r does not take because it is none on a disk."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    kinds = {stat.S_ISFIFO: "a FIFO", stat.S_ISSOCK: "a socket", stat.S_ISCHR: "a device", stat.S_ISBLK: "a device"}
    return next((kind for is_one, kind in kinds.items() if is_one(mode)), None)


def _counts(others: Counter[str], hidden: int) -> Iterator[str]:
    if others:
        n, endings = others.total(), [ending for ending, _ in others.most_common(SHOWN)]
        more = ", ..." if len(others) > SHOWN else ""
        yield f"{n:,} file{'s' * (n > 1)} of other kinds ({', '.join(endings)}{more})"
    if hidden:
        yield f"{hidden:,} name{'s' * (hidden > 1)} that begin{'s' * (hidden == 1)} with a dot"
