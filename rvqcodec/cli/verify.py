"""`rvq verify`: is every byte of these files as it was written?"""

import click

from rvqcodec.cli import streams
from rvqcodec.cli.errors import Batch, guarded
from rvqcodec.cli.pipes import reading
from rvqcodec.cli.streams import called
from rvqcodec.cli.text import clock
from rvqcodec.codes.verify import Fault, Verdict
from rvqcodec.codes.verify import verify as check


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each file, one to a line.")
@click.option("--decode", "decoding", is_flag=True, help="Decode each file too, which needs its model.")
@click.option("--quiet", is_flag=True, help="Print only what is wrong.")
@guarded
def verify(inputs: tuple[str, ...], as_json: bool, decoding: bool, quiet: bool) -> None:
    """Check .rvq files: every header, chunk, checksum, count and padding bit.

    Says where and what is wrong, for each fault, and exits 1 if anything is. No model is needed, unless with
    --decode. INPUT may be - for stdin.
    """
    batch = Batch()
    if decoding and "-" in inputs:
        raise click.UsageError("--decode reads a file twice, which stdin cannot; give it a name")
    for name in inputs:
        with batch.item(called(name)):
            with reading(name) as file:
                verdict = check(file)
            if decoding and verdict.ok:
                verdict = _decoded(name, verdict)
            if as_json:
                streams.show_json(_as_dict(name, verdict))
            elif not (quiet and verdict.ok):
                streams.show(*_lines(name, verdict))
            batch.failed += not verdict.ok
    batch.finish()


def _lines(name: str, verdict: Verdict) -> list[str]:
    shown = called(name)
    length = clock(verdict.seconds)
    if verdict.ok:
        return [f"{shown}: ok, {length} in {verdict.chunks:,} chunks, {verdict.total_bytes:,} bytes"]
    lines = [f"{shown}: {_fault(verdict, fault)}" for fault in verdict.faults]
    if verdict.header is None:
        return lines
    count = len(verdict.faults)
    lost = f"{verdict.lost_seconds:.2f} s of {length} lost" if verdict.lost_seconds else f"nothing of {length} lost"
    return [
        *lines,
        f"{shown}: DAMAGED in {count:,} place{'s' * (count > 1)}, {lost}; rvq decode --salvage takes what is left",
    ]


def _fault(verdict: Verdict, fault: Fault) -> str:
    where = "" if fault.position is None else f"at byte {fault.position:,}: "
    lost = ""
    if fault.frames and verdict.header is not None:
        first, last = fault.start_frame, fault.start_frame + fault.frames - 1
        lost = f"; frames {first:,} to {last:,} lost, from {clock(verdict.header.seconds(first))}"
    return f"{where}{fault.reason}{lost}"


def _as_dict(name: str, verdict: Verdict) -> dict[str, object]:
    return {
        "file": called(name),
        "ok": verdict.ok,
        "chunks": verdict.chunks,
        "frames": verdict.frames,
        "n_samples": verdict.n_samples,
        "duration": verdict.seconds,
        "total_bytes": verdict.total_bytes,
        "faults": [
            {"position": x.position, "reason": x.reason, "start_frame": x.start_frame, "frames": x.frames}
            for x in verdict.faults
        ],
    }


def _decoded(name: str, verdict: Verdict) -> Verdict:
    """Adds a fault when the network cannot decode the file to the length that it promises."""
    import os
    from dataclasses import replace

    from rvqcodec.codec import DecodeOptions, decode_file
    from rvqcodec.errors import RvqError

    try:
        report = decode_file(name, os.devnull, DecodeOptions(format="raw"))
    except RvqError as error:
        return replace(verdict, faults=(Fault(None, f"does not decode: {error}"),))
    if report.n_samples != verdict.n_samples:
        wrong = f"decodes to {report.n_samples} samples, not {verdict.n_samples}"
        return replace(verdict, faults=(Fault(None, wrong),))
    return verdict
