"""PESQ, STOI and ViSQOL from the packages of the extra [metrics]; None where a signal cannot be judged."""

import importlib.util
import warnings
from functools import lru_cache
from typing import Any

import numpy as np

from rvqcodec.types import Samples

PACKAGES = {"stoi": "pystoi", "pesq": "pesq", "visqol": "visqol"}
INSTALL = "pip install 'rvqcodec[metrics]'"


def missing(name: str) -> bool:
    """Whether the package behind "stoi", "pesq" or "visqol" is not installed."""
    return importlib.util.find_spec(PACKAGES[name]) is None


def resample(samples: Samples, rate_in: int, rate_out: int) -> Samples:
    """`samples` [..., n] at another rate, along the last axis (soxr HQ)."""
    if rate_in == rate_out:
        return samples
    import soxr

    out: Samples = soxr.resample(np.ascontiguousarray(samples.T), rate_in, rate_out).T
    return out


def stoi(reference: Samples, other: Samples, sample_rate: int) -> float | None:
    """Short-time objective intelligibility (0..1; Taal et al. 2011) of two signals [n], taken at 16 kHz."""
    import pystoi

    a, b = (resample(x, sample_rate, 16000) for x in (reference, other))
    if not a.any():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi.stoi(a, b, 16000))
        except (RuntimeWarning, ValueError):  # too little speech for one analysis window of 384 ms
            return None


def pesq(reference: Samples, other: Samples, sample_rate: int) -> float | None:
    """Wide-band PESQ (1..4.64; ITU-T P.862.2) of two signals [n], taken at 16 kHz."""
    import pesq as package

    a, b = (resample(x, sample_rate, 16000) for x in (reference, other))
    if len(a) < 16000 // 4 or not a.any() or not b.any():
        return None
    try:
        return float(package.pesq(16000, a, b, "wb"))
    except package.PesqError:  # no utterance found
        return None


@lru_cache(maxsize=1)
def _visqol() -> Any:
    import visqol

    api = visqol.VisqolApi()
    api.create(mode="audio")
    return api


def visqol(reference: Samples, other: Samples, sample_rate: int) -> float | None:
    """ViSQOL v3 (1..5; Chinen et al. 2020) of two signals [n], audio mode, at 48 kHz; slow."""
    a, b = (resample(x, sample_rate, 48000).astype(np.float64) for x in (reference, other))
    if len(a) < 48000 or not a.any() or not b.any():
        return None
    with np.errstate(all="ignore"):
        return float(_visqol().measure_from_arrays(a, b, 48000).moslqo)
