"""`rvq report`: a run of `rvq roundtrip --out` or benchmarks/quality.py as one HTML page."""

from pathlib import Path

import click

from rvqcodec.cli import streams
from rvqcodec.cli.errors import guarded
from rvqcodec.cli.names import Job, check_job, result_name
from rvqcodec.cli.pipes import writing


@click.command()
@click.argument("run", metavar="RUN.json")
@click.option("-o", "--output", metavar="PAGE.html", help="The page, or - for stdout.  [default: beside the run]")
@click.option("--title", help="Heading of the page.  [default: from the run's name]")
@click.option("--codecs", metavar="LIST", default="", help="Show only these: rvq, opus, 'opus 12', ...")
@click.option("-f", "--force", is_flag=True, help="Overwrite a page that exists.")
@guarded
def report(run: str, output: str | None, title: str | None, codecs: str, force: bool) -> None:
    """Make an HTML page of RUN.json: figures, curves, players side by side with spectrograms.

    RUN.json comes from `rvq roundtrip INPUT --out RUN.json` or benchmarks/quality.py. The page holds all
    audio and pictures itself and opens from disk, without a network. Needs: pip install 'rvqcodec[plot]'.
    """
    source = Path(run)
    target = result_name(str(source.with_suffix(".html")) if output is None else output)
    job = Job(run, target)
    check_job(job, force=force)
    from rvqcodec.report.page import make_page
    from rvqcodec.report.run import load_run

    document = load_run(source)
    chosen = [name.strip() for name in codecs.split(",") if name.strip()]
    heading = title or f"rvq: {source.stem}"
    page = make_page(document, source.parent, title=heading, codecs=chosen).encode()
    with writing(job, force=force) as sink:
        sink.write(page)
    if target != streams.STREAM:
        streams.say(f"{target}: {len(page) / 1e6:.1f} MB")
