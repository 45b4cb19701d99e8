"""activeloop: pick what is worth a label, train, and go round again."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from activeloop.data import load_data
    from activeloop.initial import Initial, Stratified
    from activeloop.learners import load_learner
    from activeloop.loop import ActiveLoop
    from activeloop.oracle import NoisyOracle, SimulatedOracle
    from activeloop.predicting import Predicted, predict
    from activeloop.strategies import load_strategy, needs, score
    from activeloop.types import (
        NONE_OF_THESE,
        SKIP,
        Context,
        Data,
        Epoch,
        HiddenLabels,
        Picks,
        Query,
        Round,
    )

# Where each public name lives. They are imported on first use, so that `import activeloop`, and
# with it the command line's --help, does not wait for torch.
_HOMES = {
    "ActiveLoop": "loop",
    "Context": "types",
    "Data": "types",
    "Epoch": "types",
    "HiddenLabels": "types",
    "Initial": "initial",
    "NONE_OF_THESE": "types",
    "NoisyOracle": "oracle",
    "Picks": "types",
    "Predicted": "predicting",
    "Query": "types",
    "Round": "types",
    "SKIP": "types",
    "SimulatedOracle": "oracle",
    "Stratified": "initial",
    "load_data": "data",
    "load_learner": "learners",
    "load_strategy": "strategies",
    "needs": "strategies",
    "predict": "predicting",
    "score": "strategies",
}

__version__ = "0.1.0"

__all__ = [
    "NONE_OF_THESE",
    "SKIP",
    "ActiveLoop",
    "Context",
    "Data",
    "Epoch",
    "HiddenLabels",
    "Initial",
    "NoisyOracle",
    "Picks",
    "Predicted",
    "Query",
    "Round",
    "SimulatedOracle",
    "Stratified",
    "load_data",
    "load_learner",
    "load_strategy",
    "needs",
    "predict",
    "score",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'activeloop' has no attribute {name!r}")
    return getattr(importlib.import_module(f"activeloop.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
