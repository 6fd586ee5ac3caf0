"""Where results go: default names, -o as a file or folder, folders below folders, nothing overwritten."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from rvqcodec import files
from rvqcodec.cli.errors import Batch
from rvqcodec.cli.streams import STREAM, stdin, stdout
from rvqcodec.cli.walk import files_below
from rvqcodec.errors import RvqError
from rvqcodec.texts import printable


@dataclass(frozen=True)
class Job:
    """One input and where its result goes; either may be "-". into_folder: it is made if need be."""

    source: str
    target: str
    into_folder: bool = False


def plan(
    inputs: Sequence[str],
    output: str | None,
    *,
    ending: str,
    accepts: Collection[str],
    recursive: bool = False,
    skip_existing: bool = False,
    batch: Batch,
) -> list[Job]:
    """Names of results for many inputs.

    A file's result stands beside it, or in the folder `output`: with `ending` ".rvq" `a.wav` -> `a.rvq`;
    endings not in `accepts` are kept, `a.b` -> `a.b.rvq`. `output` is a folder if it exists as one, ends with
    a slash, or if there are several inputs. With `recursive`, a folder among the inputs stands for the files
    below it whose ending is in `accepts`, and `output` gets the same folders. stdin goes to stdout unless
    `output` says otherwise. Bad inputs are counted in `batch`; the jobs of the others are returned, with
    `skip_existing` without those whose result is there.
    Errors: click.UsageError where the command line itself makes no sense.
    """
    output = None if output is None else result_name(output)
    found: list[tuple[str, Path]] = []
    listed = False
    for name in inputs:
        if name != STREAM and os.path.isdir(name):
            if not recursive:
                batch.fail(f"{name} is a folder; use -r to take the files in it")
                continue
            listed = True
            below = files_below(name, accepts, output, batch)
            found += [(str(path), path.relative_to(name)) for path in below]
        else:
            found.append((name, Path(os.path.basename(name))))
    many = listed or len(inputs) > 1
    if output == STREAM and many:
        raise click.UsageError("-o - takes a single input: results cannot share stdout")
    if many and STREAM in inputs:
        raise click.UsageError("- (stdin) cannot stand beside other inputs")
    folder = output is not None and output != STREAM and (many or output[-1:] == "/" or os.path.isdir(output))
    if folder and output and os.path.exists(output) and not os.path.isdir(output):
        raise click.UsageError(f"-o {printable(output)} must be a folder for several inputs, and is a file")
    jobs: list[Job] = []
    taken: dict[str, str] = {}
    for name, relative in found:
        if output is None:
            target = STREAM if name == STREAM else _renamed(Path(name), ending, accepts)
        elif folder:
            relative = Path("stdin") if name == STREAM else relative
            target = _renamed(Path(output) / relative, ending, accepts)
        else:
            target = output
        if target != STREAM and target in taken:
            batch.fail(f"{name}: {target} is already the result of {taken[target]}; use -o or rename one")
            continue
        taken[target] = name
        if skip_existing and os.path.isfile(target) and not files.same_file(name, target):
            batch.present += 1
            continue
        jobs.append(Job(name, target, into_folder=folder))
    return jobs


def plan_edits(
    inputs: Sequence[str], output: str | None, *, recursive: bool, skip_existing: bool, batch: Batch
) -> list[Job]:
    """As `plan`, of .rvq files to .rvq files: the result of a single one goes to stdout unless `output` says else."""
    if output is None and len(inputs) > 1:
        raise click.UsageError("several inputs need -o FOLDER")
    return plan(
        inputs,
        STREAM if output is None else output,
        ending=".rvq",
        accepts={".rvq"},
        recursive=recursive,
        skip_existing=skip_existing,
        batch=batch,
    )


def result_name(output: str) -> str:
    """-o as we call it: /dev/stdout, and whatever else is descriptor 1, is stdout like "-"."""
    if not output:
        raise click.UsageError("the name of the result is empty; name a file, or - for stdout")
    return STREAM if files.descriptor_of(output) == 1 else output


def named_ending(output: str | None) -> str | None:
    """The ending that says the kind of the result, ".npz"; None for folders, stdout and no name."""
    if output is None or output == STREAM or output.endswith("/") or os.path.isdir(output):
        return None
    return os.path.splitext(output)[1].lower() or None


def check_job(job: Job, *, force: bool) -> None:
    """Refuse terminals and what `check_target` refuses, before any work is done; make the folders that -o names."""
    if job.source == STREAM:
        stdin()
    if job.target == STREAM:
        stdout()
        return
    if job.into_folder:
        os.makedirs(os.path.dirname(job.target) or ".", exist_ok=True)
    check_target(job.target, job.source, force=force)


def check_target(target: str, *inputs: str, force: bool) -> None:
    """Refuse a result that would overwrite an input, or without `force` anything, or that has no folder to go to."""
    if files.is_special(target):
        return
    for name in inputs:
        if name != STREAM and files.same_file(name, target):
            which = "the input itself" if len(inputs) == 1 else "one of the inputs"
            raise RvqError(f"{target} is {which}; choose another name with -o")
    if not force and os.path.exists(target):
        raise RvqError(f"{target} exists; use -f to overwrite it")
    if not os.path.isdir(os.path.dirname(target) or "."):
        raise RvqError(f"{target}: there is no such folder")


def _renamed(path: Path, ending: str, accepts: Collection[str]) -> str:
    if path.suffix.lower() in accepts:
        return str(path.with_suffix(ending))
    return str(path.with_name(path.name + ending))
