"""Test signals there and back: what recordings for training lack, and what a stranger tries first.

python benchmarks/tones.py [--model ID]

Level: of the result against the signal. SNR: of the waveform, 0 where noise of the same level stands in for it.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

import rvqcodec
from rvqcodec.codes.bitrate import total_n_q
from rvqcodec.report.run import table

RATE, SECONDS, BITRATES = 44_100, 4, (1500, 3000, 6000, 12_000)
FREQUENCIES = (60, 220, 440, 1000, 3000, 6000, 10_000)


def signals() -> dict[str, NDArray[np.float32]]:
    """Name -> float32 [SECONDS * RATE]."""
    t = np.arange(SECONDS * RATE) / RATE

    def sine(frequency: float) -> NDArray[np.float64]:
        return np.sin(2 * np.pi * frequency * t)

    made = {f"sine {f} Hz": 0.5 * sine(f) for f in FREQUENCIES}
    made["sine 1000 Hz, 44 dB lower"] = 0.003 * sine(1000)
    made["chord of four sines"] = 0.12 * sum(sine(f) for f in (261.6, 329.6, 392, 523))
    made["dial tone 770 + 1336 Hz"] = 0.25 * (sine(770) + sine(1336))
    made["beeps 880 Hz"] = 0.5 * sine(880) * ((2 * t) % 1 < 0.3)
    made["square 220 Hz"] = 0.3 * np.sign(sine(220))
    made["sawtooth 110 Hz"] = 0.3 * (2 * ((110 * t) % 1) - 1)
    made["chirp 0.1 to 8 kHz"] = 0.5 * np.sin(2 * np.pi * (100 * t + 7900 / (2 * SECONDS) * t * t))
    made["white noise"] = 0.1 * np.random.default_rng(0).standard_normal(len(t))
    return {name: x.astype(np.float32) for name, x in made.items()}


def decibels(power: float, other: float) -> float:
    return 10 * float(np.log10(power / other))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="an installed model, or a .json [the newest]")
    codec = rvqcodec.load(parser.parse_args().model)
    middle = slice(RATE // 2, -RATE // 2)
    rows = []
    for name, x in signals().items():
        codes = codec.encode(x, RATE, bitrate=max(BITRATES))
        row = [name]
        for bits in BITRATES:
            y = codec.decode(codes, n_q=total_n_q(bits, 1, codec.facts))[0]
            power = float(np.square(x[middle]).mean())
            level = decibels(float(np.square(y[middle]).mean()), power)
            row.append(f"{level:+.1f} / {decibels(power, float(np.square((x - y)[middle]).mean())):.1f}")
        rows.append(row)
    heads = [f"{bits / 1000:g} kbps" for bits in BITRATES]
    print(table(["level dB / SNR dB", *heads], rows))


if __name__ == "__main__":
    main()
