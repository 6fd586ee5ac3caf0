"""Types that many rooms have in common: arrays by what they hold, and the callback for progress."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.float32]
"""Audio [C, n], channels first, full scale at 1; [n] where one channel is meant."""

Codes: TypeAlias = npt.NDArray[np.uint16]
"""Codes [C, K, T]: coded channels, codebooks, frames."""

Progress: TypeAlias = Callable[[float, float | None], None]
"""Called with the seconds that are done and, where known, in all; what it raises ends the job."""
