"""CREDITS.md from the training corpus' MANIFEST.tsv: every source with commit, licence, files and hours."""

import csv
from dataclasses import dataclass
from pathlib import Path

from rvqcodec.errors import RvqError

COLUMNS = ("file", "domain", "repo", "commit", "licence", "kind", "channels", "duration_s", "clips", "bytes")
HEAD = """# Credits

The weights in this folder were trained on recordings from these public repositories, all under free licences. Thanks to
everyone who recorded, played, spoke and shared. Made from the corpus' `MANIFEST.tsv` by
`rvq train credits MANIFEST.tsv -f -o weights/CREDITS.md`.
"""


@dataclass(frozen=True)
class SourceFile:
    """One file of the corpus."""

    file: str
    domain: str
    repo: str
    commit: str
    licence: str
    kind: str
    seconds: float
    clips: int


def read_manifest(path: Path) -> list[SourceFile]:
    """The rows of a MANIFEST.tsv; RvqError when it is missing or has other columns."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file, delimiter="\t")
            if table.fieldnames is None or not set(COLUMNS) <= set(table.fieldnames):
                raise RvqError(f"{path}: not a manifest; its first line must name {', '.join(COLUMNS)}")
            return [
                SourceFile(
                    file=line["file"],
                    domain=line["domain"],
                    repo=line["repo"],
                    commit=line["commit"],
                    licence=line["licence"],
                    kind=line["kind"],
                    seconds=float(line["duration_s"]),
                    clips=int(line["clips"]),
                )
                for line in table
            ]
    except OSError as error:
        raise RvqError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise RvqError(f"{path}: a line is no row of a manifest ({error})") from error


def render(rows: list[SourceFile]) -> str:
    """The text of CREDITS.md: totals, then a section for every repository."""
    lines = [HEAD, "| | hours | files |", "|---|---|---|"]
    for domain in sorted({row.domain for row in rows}):
        mine = [row for row in rows if row.domain == domain]
        lines.append(f"| {domain} | {hours(mine)} | {len(mine)} |")
    lines += [f"| all | {hours(rows)} | {len(rows)} |", ""]
    for repo in sorted({row.repo for row in rows}, key=str.lower):
        lines += section(repo, [row for row in rows if row.repo == repo])
    return "\n".join(lines)


def section(repo: str, rows: list[SourceFile]) -> list[str]:
    """One repository: where, what, how much, under which licences, as which files of the corpus."""
    commits = sorted({row.commit for row in rows})
    licences = sorted({part.strip() for row in rows for part in row.licence.split(" | ")})
    kinds = sorted({f"{row.domain}: {row.kind}" for row in rows})
    return [
        f"## [{repo}](https://github.com/{repo})",
        "",
        f"{hours(rows)} hours, {sum(row.clips for row in rows)} recordings, at commit {', '.join(commits)}",
        "",
        *(f"- {kind}" for kind in kinds),
        "- licence, with the file that states it: " + "; ".join(licences),
        "- files: " + ", ".join(f"`{row.file}`" for row in sorted(rows, key=lambda row: row.file)),
        "",
    ]


def hours(rows: list[SourceFile]) -> str:
    """Length of all rows together."""
    return f"{sum(row.seconds for row in rows) / 3600:.3f}"
