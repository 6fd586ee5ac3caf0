"""Arrays as people hand them over, numpy or torch, to what the package works on, and back."""

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from rvqcodec.audio.samples import MAX_CHANNELS
from rvqcodec.errors import AudioError, needs_torch
from rvqcodec.types import Samples

if TYPE_CHECKING:
    from torch import Tensor

    Item = TypeVar("Item")
    Audio: TypeAlias = npt.NDArray[np.floating[Any]] | Tensor  # floats [n] or [C, n]
    Grid: TypeAlias = npt.NDArray[np.integer[Any]]  # codes [K, T] or [C, K, T]
    Batch: TypeAlias = list[Item] | tuple[Item, ...]


def as_samples(wav: "Audio") -> Samples:
    """One recording, floats [n] or [C, n], as contiguous float32 [C, n]. AudioError for what is none."""
    array = as_numpy(wav)
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.dtype.kind != "f":
        raise AudioError(
            f"audio {list(array.shape)} of type {array.dtype}: must be floats [n] or [C, n], full scale at 1"
        )
    if len(array) > MAX_CHANNELS >= array.shape[1]:
        raise AudioError(f"audio {list(array.shape)}: channels come first; give its transpose")
    if not np.isfinite(array).all():
        raise AudioError("audio holds NaN or infinite values")
    return np.ascontiguousarray(array, np.float32)


def as_numpy(values: Any) -> npt.NDArray[Any]:
    """Any array, torch tensors on any device too, as numpy; torch is not imported for it."""
    if is_torch(values):
        values = values.detach().cpu().numpy()
    return np.asarray(values)


def is_torch(values: Any) -> bool:
    return hasattr(values, "detach")


def as_asked(samples: Samples, as_torch: bool) -> "Samples | Tensor":
    """numpy as it is, or as a torch tensor."""
    if not as_torch:
        return samples
    needs_torch("as_torch")
    import torch

    return torch.from_numpy(samples)
