"""The coverage-guided fuzz target: pip install atheris; python tests/fuzz/fuzz_reader.py CORPUS
formats/vectors/*

CORPUS is a folder of your own that takes what is found; the vectors are the seeds. All options of
libFuzzer are understood: -max_total_time=1800 -max_len=4096 -rss_limit_mb=512.
"""

import sys

import atheris

with atheris.instrument_imports(include=["rvqcodec"]):
    import oracle


def one_input(data: bytes) -> None:
    oracle.check(data)
    resealed = oracle.resealed(data)
    if resealed != data:
        oracle.check(resealed)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
