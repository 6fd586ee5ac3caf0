"""Makes formats/vectors and formats/SHA256SUMS: python formats/make_vectors

A changed vector is a changed format, and the format is frozen. So nothing is overwritten: the command only adds
vectors that are not there yet, and refuses if one that is there would become another. The codes of all
vectors are (211 * coded channel + 37 * codebook + 11 * frame) mod 2^bits, so that any language can make
them.
"""

import argparse
import hashlib
import io
import json
import sys
from dataclasses import asdict
from pathlib import Path

from coded import coded, faulty_coded
from faulty import faulty_files, faulty_headers
from good import uncommon, valid

from rvqcodec.container import Chunk, Reader

HERE = Path(__file__).resolve().parents[1]
SUMS = HERE / "SHA256SUMS"

INTRODUCTIONS = {
    "valid": "Every reader must read these and find what `../expected.json` says.",
    "coded": "Every reader of codec 1 must read these, with the tables that they name, and find what "
    "`../expected.json` says; their codes are likely ones, `codes_sha256` is of all of them as 16-bit little-endian "
    "numbers, chunk by chunk, channel by channel, codebook by codebook, 0 where a frame has none. Others refuse codec "
    "1.",
    "uncommon": "Valid files that few writers make. A reader may refuse one with a clear message, "
    "but must not misread it.",
    "faulty": "No reader may take these for good. Each is wrong in one thing, and all its other checksums "
    "are "
    "right. `../expected.json` has the byte at which this program sees it.",
}


def expected(data: bytes) -> dict[str, object]:
    """What a reader must find in a good file."""
    reader = Reader(io.BytesIO(data))
    chunks = [
        {
            "start_frame": chunk.start_frame,
            "frames": chunk.frames,
            "n_q": [" ".join(map(str, row)) for row in chunk.n_q.tolist()],
            "weights": list(chunk.allocation.weights),
            "angle": chunk.angle,
        }
        | ({"begins": True} if chunk.begins else {})
        for chunk in reader
    ]
    header = asdict(reader.header)
    for name in ("weights_hash", "tables"):
        header[name] = header[name].hex()
    if not header["tables"]:  # of codec 1 alone
        del header["tables"], header["budget"]
    if len(str(header["tags"])) > 1000:
        header["tags"] = len(reader.header.tags)
    n_samples = reader.end.n_samples if reader.end else None
    found = {"header": header, "n_samples": n_samples, "frames": reader.frames, "chunks": chunks}
    return found if reader.header.codec == 0 else found | {"codes_sha256": codes_sha256(data)}


def codes_sha256(data: bytes) -> str:
    """Of all codes of a file."""
    digest = hashlib.sha256()
    for chunk in Reader(io.BytesIO(data)):
        assert isinstance(chunk, Chunk)
        for rows in chunk.codes:
            digest.update(rows.astype("<u2").tobytes())
    return digest.hexdigest()


def make() -> dict[str, bytes]:
    """All files by their path below formats/."""
    made: dict[str, bytes] = {}
    results: dict[str, object] = {}
    pages = {folder: [f"# {folder}", "", text, ""] for folder, text in INTRODUCTIONS.items()}
    for vector in (*valid(), *coded(), *uncommon(), *faulty_headers(), *faulty_files(), *faulty_coded()):
        name = f"{vector.folder}/{vector.name}.rvq"
        made[f"vectors/{name}"] = vector.data
        fault = {"position": vector.position, "reason": vector.reason}
        results[name] = fault if vector.folder == "faulty" else expected(vector.data)
        pages[vector.folder] += [f"**{vector.name}**: {vector.text}", ""]
    for folder, lines in pages.items():
        made[f"vectors/{folder}/README.md"] = "\n".join(lines).encode()
    made["vectors/expected.json"] = (json.dumps(results, indent=1) + "\n").encode()
    return made


def main() -> int:
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    made = make()
    changed = [
        name
        for name, data in made.items()
        if name.endswith(".rvq") and (HERE / name).exists() and (HERE / name).read_bytes() != data
    ]
    gone = [str(p.relative_to(HERE)) for p in (HERE / "vectors").rglob("*.rvq")]
    gone = [name for name in gone if name not in made]
    if changed or gone:
        for name in changed + gone:
            print(f"{name} would change or vanish", file=sys.stderr)
        print("a changed vector is a changed format; nothing was written", file=sys.stderr)
        return 1
    for name, data in made.items():
        path = HERE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    SUMS.write_text("".join(f"{hashlib.sha256(made[n]).hexdigest()}  {n}\n" for n in sorted(made)))
    print(f"{sum(n.endswith('.rvq') for n in made)} vectors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
