"""Random mutations of the vectors: python tests/fuzz/mutate.py [COUNT] [SEED]; prints what became of them."""

import collections
import random
import resource
import sys
import time

import oracle


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rng = random.Random(seed)
    seeds = oracle.seeds()
    found: collections.Counter[str] = collections.Counter()
    slowest = 0.0
    for _ in range(count):
        data = oracle.mutated(rng.choice(seeds), rng, seeds)
        if rng.random() < 0.5:
            data = oracle.resealed(data)
        start = time.process_time()
        found[oracle.check(data)] += 1
        slowest = max(slowest, time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} mutations of {len(seeds)} vectors, seed {seed}: {dict(found)}; no finding")
    print(f"slowest {slowest * 1000:.0f} ms, peak memory of the process {peak:.0f} MB")


if __name__ == "__main__":
    main()
