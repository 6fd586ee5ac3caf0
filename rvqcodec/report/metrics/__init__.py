"""Distances between two recordings: arrays in, figures out; numpy only, no torch."""

from rvqcodec.report.metrics.measure import PERCEPTUAL, Measurement, figure_name, measure
from rvqcodec.report.metrics.perceptual import INSTALL, missing

__all__ = ["INSTALL", "PERCEPTUAL", "Measurement", "figure_name", "measure", "missing"]
