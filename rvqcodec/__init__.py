"""rvqcodec: a streaming neural audio codec; importing the package costs nothing heavy."""

__version__ = "0.1.0"
