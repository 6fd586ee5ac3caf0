"""Print a residual quantizer's error against d, codebook length and number of codebooks, beside Hawley's.

    python benchmarks/article.py [--quick]

The article: Scott H. Hawley, "Residual Vector Quantization", 2023-06-12,
https://drscotthawley.github.io/blog/posts/2023-06-12-RVQ.html. Its figures below are copied from the outputs
stored in its notebook (section "Error Analysis: Exponential Convergence"). By the notebook's code they are
the mean squared error per component of 4096 vectors from the *standard normal* distribution (torch.randn; the
range [-0.5, 0.5] is that of the article's earlier sections), after k-means of 10 rounds on the very vectors
that are then measured. It has no figures for K = 5 and 7.

First table: the article's experiment. An error measured on the training vectors flatters: with 1024 entries
there are four vectors to an entry, and the figures fall below what the rate-distortion bound allows for new
vectors, 2^(-2 K log2(size) / d) of the variance. Second table: vectors from [-0.5, 0.5]^d as the project's
issue asks, trained on more of them, measured on the training vectors and on new ones, relative to the
variance, 1/12.
"""

import argparse
import math
import time

import numpy as np

from rvqcodec.api.residual import ResidualQuantizer

DIMS, SIZES, MAX_K = (2, 8, 32), (256, 1024), 8
ARTICLE = {  # (d, cb_len): {K: error}
    (2, 256): {1: 8.5e-03, 2: 1.9e-04, 3: 7.4e-06, 4: 4.5e-07, 6: 3.1e-09, 8: 1.8e-11},
    (2, 1024): {1: 2.0e-03, 2: 2.4e-05, 3: 9.6e-07, 4: 6.1e-08, 6: 9.4e-11, 8: 4.8e-14},
    (8, 256): {1: 2.7e-01, 2: 7.1e-02, 3: 1.9e-02, 4: 5.2e-03, 6: 3.9e-04, 8: 3.0e-05},
    (8, 1024): {1: 1.3e-01, 2: 1.8e-02, 3: 2.5e-03, 4: 3.5e-04, 6: 6.6e-06, 8: 1.3e-07},
    (32, 256): {1: 6.7e-01, 2: 4.4e-01, 3: 3.0e-01, 4: 2.0e-01, 6: 9.0e-02, 8: 4.1e-02},
    (32, 1024): {1: 4.6e-01, 2: 2.2e-01, 3: 1.0e-01, 4: 4.7e-02, 6: 9.9e-03, 8: 2.3e-03},
}
HEAD = f"{'d':>3} {'cb_len':>6} {'':>8}" + "".join(f"{f'K = {k}':>9}" for k in range(1, MAX_K + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="8,192 training vectors in table two")
    many = 8192 if parser.parse_args().quick else 32768
    begin = time.perf_counter()
    print("Standard normal vectors, 4096, error on these same vectors (the article's experiment)")
    print(HEAD)
    for d in DIMS:
        for size in SIZES:
            vectors = np.random.default_rng(0).normal(size=(4096, d))
            ours = ResidualQuantizer.fit(vectors, MAX_K, size).errors(vectors)
            theirs = [ARTICLE[d, size].get(k) for k in range(1, MAX_K + 1)]
            row(f"{d:>3} {size:>6}", "article", [f"{t:.1e}" if t else "-" for t in theirs])
            row("", "here", [f"{e:.1e}" for e in ours])
            row("", "ratio", [f"{e / t:.2g}" if t else "-" for e, t in zip(ours, theirs, strict=True)])
    print(f"\nUniform vectors in [-0.5, 0.5]^d, {many} to train, 16384 new; error over variance (1/12)")
    print(HEAD + "  a codebook")
    for d in DIMS:
        for size in SIZES:
            rng = np.random.default_rng(1)
            train, new = rng.uniform(-0.5, 0.5, (many, d)), rng.uniform(-0.5, 0.5, (16384, d))
            quantizer = ResidualQuantizer.fit(train, MAX_K, size)
            seen, unseen = quantizer.errors(train) * 12, quantizer.errors(new) * 12
            fall = (unseen[-1] / unseen[0]) ** (1 / (MAX_K - 1))
            row(f"{d:>3} {size:>6}", "trained", [f"{e:.1e}" for e in seen])
            row("", "new", [f"{e:.1e}" for e in unseen], f"  x {fall:.2g}")
            share = size ** (-2 / d)
            row("", "2^-2R/d", [f"{share**k:.1e}" for k in range(1, MAX_K + 1)], f"  x {share:.2g}")
    print("2^-2R/d: what a perfect quantizer of R = K log2(cb_len) bits leaves of normal vectors;")
    print(f"a scale, not a bound, for uniform ones (bound: {6 / (math.pi * math.e):.2f} of it at high rates).")
    print(f"{time.perf_counter() - begin:.0f} s")


def row(left: str, name: str, cells: list[str], right: str = "") -> None:
    print(f"{left:>10} {name:>8}" + "".join(f"{cell:>9}" for cell in cells) + right, flush=True)


if __name__ == "__main__":
    main()
