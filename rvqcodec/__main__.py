"""`python -m rvqcodec` is `rvq`."""

from rvqcodec.cli import main

main(prog_name="rvq")
