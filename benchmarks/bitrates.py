"""Prints the tables of docs/bitrates.md: codebooks, and the true size of a minute of sound; what coding codes saves.

python benchmarks/bitrates.py [--seconds 60]
python benchmarks/bitrates.py --clips ../shared/dev
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
from recording import RATE, recording

from rvqcodec.codec import EncodeOptions
from rvqcodec.codec.encoding import Encoder, header_of
from rvqcodec.codes import filling
from rvqcodec.codes.bitrate import total_n_q
from rvqcodec.codes.edit import pack, trim
from rvqcodec.container import Reader, Writer
from rvqcodec.models import coding, loading

CODED_KBPS = (0.75, 1.5, 3, 6, 12)
KBPS = (0.375, 0.75, 1.5, 3, 4.5, 6, 9, 12, 18, 24)


def size(samples: np.ndarray, bits: int) -> tuple[int, int]:
    """(bytes of codes, bytes in all) of float32 [C, n] at RATE, encoded at most at `bits` per second."""
    model = loading.load(None, "cpu")
    options = EncodeOptions(bitrate=bits, plain=True)
    header = header_of(model.facts, options, RATE, len(samples), samples.shape[1], ())
    writer, encoder = Writer(io.BytesIO(), header), Encoder(model, header)
    for chunk in [*encoder.push(samples), *encoder.flush()]:
        writer.write_chunk(chunk)
    writer.close(samples.shape[1])
    return writer.payload_bytes, writer.total_bytes


def sizes(clip: Path, mono: bool, rates: Sequence[int]) -> dict[int, tuple[int, int, int, int]]:
    """Bytes of the same codes of a clip packed and coded, and of the files, by bitrate.

    Of codes: payloads, where coded with their lengths and the record of the tables.
    """
    samples, rate = sf.read(clip, dtype="float32", always_2d=True)
    samples = samples.mean(1, keepdims=True).T if mono else samples.T
    model, found = loading.load(None, "cpu"), {}
    options = EncodeOptions(bitrate=max(rates), plain=True)
    header = header_of(model.facts, options, rate, len(samples), samples.shape[1], ())
    encoder, whole = Encoder(model, header), io.BytesIO()
    writer = Writer(whole, header)
    for chunk in [*encoder.push(np.ascontiguousarray(samples)), *encoder.flush()]:
        writer.write_chunk(chunk)
    writer.close(samples.shape[1])
    tables = coding.tables_hash(header.model_id, header.weights_hash)
    for bits in rates:
        plain, coded = io.BytesIO(), io.BytesIO()
        trim(Reader(io.BytesIO(whole.getvalue())), plain, total_n_q(bits, len(samples), model.facts))
        reader = Reader(io.BytesIO(plain.getvalue()))
        done = pack(reader, coded, filling.coded(reader.header, tables, 0))
        more = done.total_bytes - done.payload_bytes - (reader.total_bytes - reader.payload_bytes)
        found[bits] = reader.payload_bytes, done.payload_bytes + more, reader.total_bytes, done.total_bytes
    return found


def savings(folder: Path) -> None:
    """A table of what coding saves of codes and of whole files, by kind of clip; worst: of a clip, of its codes."""
    rates = [int(kbps * 1000) for kbps in CODED_KBPS]
    clips = sorted(folder.glob("*.flac"))
    print("| clips | " + " | ".join(f"{kbps:g} kbps" for kbps in CODED_KBPS) + " |")
    print("|---|" + "---|" * len(rates))
    for mono in (False, True):
        rows = {clip.name: sizes(clip, mono, rates) for clip in clips}
        for kind in ("", "speech", "music", "sound"):
            some = [row for name, row in rows.items() if name.startswith(kind)]
            cells = []
            for bits in rates:
                codes, files = ([100 * (1 - r[bits][i + 1] / r[bits][i]) for r in some] for i in (0, 2))
                before, after = (sum(row[bits][i] for row in some) for i in (0, 1))
                cells.append(
                    f"{before:,} to {after:,} bytes, {np.mean(codes):.1f} % (worst {min(codes):.1f}); "
                    f"files {np.mean(files):.1f} %"
                )
            print(f"| {kind or 'all'}, {'mixed to mono' if mono else 'as they are'} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--clips", type=Path, help="a folder of .flac: what coding their codes saves")
    given = parser.parse_args()
    if given.clips:
        savings(given.clips)
        return
    seconds = given.seconds
    facts = loading.load(None, "cpu").facts
    stereo = np.tile(recording(6.0), -(-seconds // 6))[:, : seconds * RATE]
    print(f"| `-b` | `-q` | sound | codes | file of {seconds} s | true total | of it container | 16-bit PCM is |")
    print("|---|---|---|---|---|---|---|---|")
    for kbps in KBPS:
        for name, samples in (("mono", stereo[:1]), ("stereo", stereo)):
            bits = int(kbps * 1000)
            if bits > facts.codebook_rate * facts.max_n_q * len(samples) or (name == "stereo" and kbps < 1.5):
                continue
            codes, total = size(samples, bits)
            pcm = seconds * RATE * 2 * len(samples)
            total_n = total_n_q(bits, len(samples), facts)
            print(
                f"| {kbps:g}kbps | {total_n} | {name} | {codes * 8 / seconds / 1000:.3f} kbps "
                f"| {total:,} bytes | {total * 8 / seconds / 1000:.3f} kbps | {100 * (total - codes) / total:.2f} % "
                f"| {pcm / total:.0f} times as large |"
            )


if __name__ == "__main__":
    main()
