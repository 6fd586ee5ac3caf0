"""The fuzz target's oracle on every vector and on some mutations; tests/fuzz has the long runs."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))
import oracle

SEEDS = oracle.seeds()


@pytest.mark.parametrize("data", SEEDS)
def test_the_vectors_pass_the_oracle(data: bytes) -> None:
    oracle.check(data)


@pytest.mark.parametrize("seed", range(4))
def test_random_mutations_pass_the_oracle(seed: int) -> None:
    rng = random.Random(seed)
    found = set()
    for _ in range(250):
        data = oracle.mutated(rng.choice(SEEDS), rng, SEEDS)
        found.add(oracle.check(data))
        found.add(oracle.check(oracle.resealed(data)))
    assert found == {"good", "damaged", "refused"}


def test_resealing_keeps_good_files_and_gets_behind_checksums() -> None:
    good = (oracle.VECTORS / "valid" / "mono.rvq").read_bytes()
    assert oracle.resealed(good) == good
    bad = good[:-200] + b"\x55" + good[-199:]
    assert oracle.check(bad) == "damaged"
    assert oracle.check(oracle.resealed(bad)) == "good"
