"""Config and tensors -> a network of transformers. The only file that imports transformers; nothing is downloaded.

Tensors come from a safetensors file that was verified; no code of a folder is run, and nothing is unpickled.
"""

import contextlib
import importlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt

from rvqcodec.errors import WeightsError

INSTALL = "pip install 'rvqcodec[families]'"
CLASSES = {
    "encodec": ("EncodecConfig", "EncodecModel"),
    "dac": ("DacConfig", "DacModel"),
    "mimi": ("MimiConfig", "MimiModel"),
}
FIRST, BELOW = (5, 24), (6,)
"""Versions: before 5.24 Mimi's halves and caches had other names, and a wrong name of a cache is swallowed."""


def complete_config(kind: str, raw: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a config.json, those that it leaves out as transformers fills them. ValueError."""
    with _quiet() as transformers:
        try:
            config = getattr(transformers, CLASSES[kind][0]).from_dict(dict(raw))
            return {name: _plain(getattr(config, name)) for name in fields}
        except Exception as error:  # whatever transformers raises for a config that it does not like
            raise ValueError(str(error)) from error


def network(kind: str, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]], device: str) -> Any:
    """The network with these weights in float32, ready to run. ValueError for tensors that do not fit the config."""
    import torch

    with _quiet() as transformers:
        config_class, model_class = (getattr(transformers, name) for name in CLASSES[kind])
        model, report = model_class.from_pretrained(
            None,
            config=config_class(**config),
            state_dict={name: torch.from_numpy(tensor) for name, tensor in tensors.items()},
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # or there would be a table on stderr; they are in the report
            output_loading_info=True,
        )
    for what, names in (("has another shape", report["mismatched_keys"]), ("is missing", report["missing_keys"])):
        for name in sorted(name if isinstance(name, str) else name[0] for name in names):
            raise ValueError(f"tensor {name} {what}")
    # Counted, for a part of the unknown ones is not reported; all that are known are there, under one name each.
    more = len(tensors) - len(model.state_dict())
    if more:
        raise ValueError(f"it has {more} tensors too many")
    model = model.to(device).eval().requires_grad_(False)
    for module in model.modules():
        if torch.nn.utils.parametrize.is_parametrized(module):
            torch.nn.utils.parametrize.remove_parametrizations(module, "weight")
    return model


def version() -> str:
    """The library that networks run by, with its version."""
    with _quiet() as transformers:
        return f"transformers {transformers.__version__}"


def _plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@contextlib.contextmanager
def _quiet() -> Iterator[Any]:
    """transformers, saying nothing meanwhile. WeightsError where it is missing, or another version."""
    try:
        import torch  # noqa: F401

        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise WeightsError(f"models of published checkpoints need transformers and torch: {INSTALL}") from error
    version = tuple(int(part) for part in transformers.__version__.split(".")[:2] if part.isdigit())
    if not FIRST <= version < BELOW:
        wanted = f"{'.'.join(map(str, FIRST))} or later, below {BELOW[0]}"
        raise WeightsError(f"transformers {transformers.__version__}: must be {wanted}; {INSTALL}")
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(logging.CRITICAL)
    log.disable_progress_bar()
    try:
        yield transformers
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
