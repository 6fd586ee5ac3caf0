"""Families of models by name. A family is a module with three functions; it is imported when a card asks for it."""

import importlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, cast

import numpy.typing as npt

from rvqcodec.container import ModelFacts
from rvqcodec.container.coders import Coder
from rvqcodec.errors import WeightsError
from rvqcodec.models.interface import Card, Model

FAMILIES = {
    "rvq44": "rvqcodec.models.rvq44.family",
    "encodec": "rvqcodec.models.published.encodec",
    "dac": "rvqcodec.models.published.dac",
    "mimi": "rvqcodec.models.published.mimi",
}
ENTRY_POINTS = "rvqcodec.families"
"""The group of entry points in which other packages name families of theirs."""


class Family(Protocol):
    """What a family's module holds. Importing it must cost little: torch belongs into `load`."""

    def facts(self, config: dict[str, Any], model_id: str, weights_hash: bytes) -> ModelFacts:
        """What files have to know of a model. ValueError, TypeError or KeyError for a config that is none."""

    def bitstream(self, names: Iterable[str]) -> Iterable[str]:
        """Those of the names of a model's tensors on which its codes, or what they mean, depend."""

    def load(self, card: Card, tensors: Mapping[str, npt.NDArray[Any]], device: str) -> Model:
        """The model, ready on "cpu" or "cuda". ValueError, TypeError or RuntimeError for tensors that do not fit."""

    def coder(self, tensors: Mapping[str, npt.NDArray[Any]], *, paired: bool) -> Coder:
        """Who codes codes by the tables that ship with a model; may lack where none do. ValueError, TypeError."""


def family(name: str) -> Family:
    """A family by name. WeightsError for one that is not installed."""
    module = FAMILIES.get(name)
    if module is None:
        from importlib.metadata import entry_points  # here: it costs more than all else of a command's start

        module = next((point.module for point in entry_points(group=ENTRY_POINTS, name=name)), None)
    if module is None:
        raise WeightsError(f"models of family {name!r} are unknown; known are {', '.join(FAMILIES)}")
    return cast(Family, importlib.import_module(module))
