"""Distances between two recordings: arrays in, figures out; numpy only, no torch."""

from rvqcodec.report.metrics.measure import PERCEPTUAL, Measurement, measure
from rvqcodec.report.metrics.perceptual import INSTALL, missing

__all__ = ["INSTALL", "PERCEPTUAL", "Measurement", "measure", "missing"]
