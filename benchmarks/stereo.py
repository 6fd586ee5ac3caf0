"""How should mid and side share a chunk's codebooks? Measures several rules on the stereo clips of a folder.

    python benchmarks/stereo.py FOLDER [--kbps 3,6,9]

Each rule gives codebooks one by one to the channel of which more is left, reckoning that each lowers it by so many
dB (`rvqcodec.container.sharing.split` is that rule at 0.5 dB), or does not look at the signal at all.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from rvqcodec.audio import Resampler
from rvqcodec.codec import EncodeOptions
from rvqcodec.codec.channels import to_coded
from rvqcodec.codec.chunker import Chunker
from rvqcodec.codec.encoding import header_of
from rvqcodec.codes import bitrate
from rvqcodec.container import sharing
from rvqcodec.models import loading
from rvqcodec.report.metrics.spectra import spectral_distances

RATE = 44100
Split = Callable[[int, int], tuple[int, int]]


def filling(decibels: float) -> Split:
    """The rule that a codebook lowers what is left of its channel by so many dB."""

    def split(total: int, balance: int) -> tuple[int, int]:
        if balance in (sharing.SIDE_SILENT, sharing.MID_SILENT):
            return sharing.split(total, balance)
        mid = side = 0
        for _ in range(total):
            if balance - decibels * mid >= -decibels * side:
                mid += 1
            else:
                side += 1
        return min(mid, 32), min(side, 32)

    return split


RULES: dict[str, Split] = {
    "half each": lambda total, _: (total - total // 2, total // 2),
    "three quarters mid": lambda total, _: (total - total // 4, total // 4),
    "all to mid": lambda total, _: (min(total, 32), 0),
    "0.5 dB a codebook (used)": filling(0.5),
    "0.75 dB a codebook": filling(0.75),
    "1 dB a codebook": filling(1.0),
    "1.5 dB a codebook": filling(1.5),
    "3 dB a codebook": filling(3.0),
}


def load(path: Path) -> NDArray[np.float32]:
    """A clip at 44.1 kHz, float32 [C, n]."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    resampler = Resampler(rate, RATE, samples.shape[1])
    return np.concatenate([resampler.push(np.ascontiguousarray(samples.T)), resampler.flush()], axis=1)


def measure(samples: NDArray[np.float32], totals: list[int]) -> dict[tuple[str, int], tuple[float, float]]:
    """(rule, codebooks) -> mel distance and signal-to-noise ratio in dB, mean over left and right."""
    model = loading.load(None, "cpu")
    most = min(model.facts.max_n_q, max(totals))
    coded = to_coded(samples)
    header = header_of(model.facts, EncodeOptions(n_q=max(totals)), RATE, 2, None, ())
    encoder, chunker = model.encoder(2, most), Chunker(header, model.facts.max_n_q)
    codes = np.concatenate([encoder.push(coded), encoder.flush()], axis=2)
    chunks = [*chunker.push(coded, codes[:, :, :0]), *chunker.flush(codes)]
    balances = [(c.start_frame, c.frames, c.balance) for c in chunks]
    results = {}
    for name, rule in RULES.items():
        for total in totals:
            decoder = model.decoder(2)
            parts = [decoder.push(codes[:, :, at : at + n], rule(total, balance)) for at, n, balance in balances]
            raw = np.concatenate([*parts, decoder.flush()], axis=1)[:, header.pre_skip :][:, : samples.shape[1]]
            made = np.stack([raw[0] + raw[1], raw[0] - raw[1]])
            mel = np.mean([spectral_distances(samples[i], made[i], RATE)[0] for i in range(2)])
            noise = ((made - samples) ** 2).mean(axis=1)
            snr = np.mean(10 * np.log10((samples**2).mean(axis=1) / noise))
            results[name, total] = float(mel), float(snr)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kbps", default="3,6,9")
    options = parser.parse_args()
    facts = loading.load(None, "cpu").facts
    totals = [bitrate.total_n_q(bitrate.parse_bitrate(text), 2, facts) for text in options.kbps.split(",")]
    found = []
    for path in sorted(options.folder.iterdir()):
        if soundfile.info(path).channels == 2 if path.suffix in (".flac", ".wav") else False:
            samples = load(path)
            if np.abs(samples[0] - samples[1]).max() > 1e-3:
                found.append(measure(samples, totals))
                print(f"{path.name}", flush=True)
    columns = [f"{float(t * facts.codebook_rate) / 1000:g} kbps: mel | SNR dB" for t in totals]
    print(f"\n{len(found)} stereo clips\n| rule | {' | '.join(columns)} |")
    print("|---" * (1 + 2 * len(totals)) + "|")
    for name in RULES:
        means = [np.mean([result[name, total] for result in found], axis=0) for total in totals]
        print(f"| {name} | " + " | ".join(f"{mel:.3f} | {snr:.2f}" for mel, snr in means) + " |")


if __name__ == "__main__":
    main()
