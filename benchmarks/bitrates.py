"""Prints the table of docs/bitrates.md: codebooks, and the true size of a minute of sound.

python benchmarks/bitrates.py [--seconds 60]
"""

import argparse
import io

import numpy as np
from recording import RATE, recording

from rvqcodec.codec import EncodeOptions
from rvqcodec.codec.encoding import Encoder, header_of
from rvqcodec.codes.bitrate import total_n_q
from rvqcodec.container import Writer
from rvqcodec.models import loading

KBPS = (0.375, 0.75, 1.5, 3, 4.5, 6, 9, 12, 18, 24)


def size(samples: np.ndarray, bits: int) -> tuple[int, int]:
    """(bytes of codes, bytes in all) of float32 [C, n] at RATE, encoded at most at `bits` per second."""
    model = loading.load(None, "cpu")
    header = header_of(model.facts, EncodeOptions(bitrate=bits), RATE, len(samples), samples.shape[1], ())
    writer, encoder = Writer(io.BytesIO(), header), Encoder(model, header)
    for chunk in [*encoder.push(samples), *encoder.flush()]:
        writer.write_chunk(chunk)
    writer.close(samples.shape[1])
    return writer.payload_bytes, writer.total_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
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
