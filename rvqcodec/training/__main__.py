"""`python -m rvqcodec.training`: the same as `rvq train`."""

from rvqcodec.cli.train import train

if __name__ == "__main__":
    train(prog_name="python -m rvqcodec.training")
