"""Distances between two recordings: arrays in, figures out; numpy only, no torch."""

from rvqcodec.metrics.measure import PERCEPTUAL, Measurement, measure
from rvqcodec.metrics.perceptual import INSTALL, missing

__all__ = ["INSTALL", "PERCEPTUAL", "Measurement", "measure", "missing"]
