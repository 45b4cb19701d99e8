"""Learners: what fits on labelled samples and predicts on any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from activeloop.architecture import Architecture
from activeloop.checks import choice
from activeloop.learners.probe import ProbeLearner
from activeloop.learners.sklearn_learner import SklearnLearner, logistic_regression
from activeloop.learners.torch_learner import TorchLearner
from activeloop.models import load_model

__all__ = ["ProbeLearner", "SklearnLearner", "TorchLearner", "load_learner", "logistic_regression"]


def load_learner(
    name: str,
    model: str | Architecture | Callable[..., nn.Module] = "cnn",
    **options: Any,
) -> TorchLearner | SklearnLearner:
    """Return the learner called `name`, with its options.

    Args:
        name: "torch" for `TorchLearner`, "probe" for `ProbeLearner`, on vectors, "sklearn" for
            `SklearnLearner`, which needs `estimator`.
        model: for "torch": the name of a model, an architecture, or an `nn.Module` class or a
            function that returns a module.
        options: arguments of the learner's class.

    Raises:
        ConfigError: there is no such learner or model, or an option has no meaning.
    """
    if choice("learner", name, ["torch", "probe", "sklearn"]) == "sklearn":
        return SklearnLearner(**options)
    if name == "probe":
        return ProbeLearner(**options)
    if isinstance(model, str):
        model = load_model(model)
    elif not isinstance(model, Architecture):
        model = Architecture(model)
    return TorchLearner(model, **options)
