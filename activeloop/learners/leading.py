"""A learner that several processes share: rank 0 says what to do, all do their part of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from activeloop.distributed import Ranks
from activeloop.errors import ConfigError, LearnerError
from activeloop.types import Data, Epoch, Head, History, Indices, Labels, Learner, Prediction
from activeloop.types import Samples as AnySamples


class SharingLearner(Learner, Protocol):
    """A learner whose work can be shared.

    Attributes:
        ranks: the processes that share it. With the same arguments on each, `fit` leaves the same
            weights on all; `predict` on rank 0 needs `help_predict` on the others.
    """

    ranks: Ranks

    def help_predict(self, samples: AnySamples, indices: Indices, needs: frozenset[str]) -> None:
        """Do this rank's share of a prediction that rank 0 makes with the same arguments."""


@dataclass(frozen=True)
class _Fit:
    classes: tuple[str, ...]
    indices: Indices
    labels: Labels
    rng: np.random.Generator


@dataclass(frozen=True)
class _Predict:
    part: str
    indices: Indices
    needs: frozenset[str]


@dataclass(frozen=True)
class _Load:
    classes: tuple[str, ...]
    weights: bytes


def shared(learner: Learner, ranks: Ranks) -> Learner:
    """Return `learner`, whose work the ranks share from now on.

    Raises:
        ConfigError: its work cannot be shared.
    """
    if ranks.size > 1 and not hasattr(learner, "help_predict"):
        raise ConfigError(
            f"{type(learner).__name__} works in one process, and torchrun started {ranks.size}: "
            "start it without torchrun, or use learner=torch"
        )
    if ranks.size > 1:
        learner.ranks = ranks  # type: ignore[attr-defined]  # it is a SharingLearner
    return learner


class LeadingLearner:
    """A learner on rank 0: each thing that it is asked is told to the helpers first.

    Args:
        learner: on rank 0.
        data: all ranks have the same.
        ranks: with helpers that run `help_leader`.
    """

    def __init__(self, learner: Learner, data: Data, ranks: Ranks) -> None:
        self._learner, self._data, self._ranks = learner, data, ranks
        self.device: torch.device = learner.device
        self.warm_start: bool = getattr(learner, "warm_start", False)
        self.offers: frozenset[str] | None = getattr(learner, "offers", None)

    @property
    def on_epoch(self) -> Callable[[Epoch], None] | None:
        """What is called after each epoch."""
        return self._learner.on_epoch

    @on_epoch.setter
    def on_epoch(self, call: Callable[[Epoch], None] | None) -> None:
        self._learner.on_epoch = call

    @property
    def head(self) -> Head | None:
        """The last layer."""
        return self._learner.head

    def check(self, data: Data) -> None:
        """Raise for data that the learner can never fit."""
        if hasattr(self._learner, "check"):
            self._learner.check(data)

    def fit(
        self, data: Data, indices: Indices, labels: Labels, rng: np.random.Generator
    ) -> History:
        """Fit on all ranks."""
        self._ranks.broadcast(_Fit(data.classes, indices, labels, rng))
        return self._learner.fit(data, indices, labels, rng)

    def predict(
        self,
        samples: AnySamples,
        indices: Indices,
        needs: frozenset[str],
        out: Prediction | None = None,
    ) -> Prediction:
        """Predict on all ranks, a part on each."""
        parts = [name for name in ("pool", "test") if getattr(self._data, name) is samples]
        if not parts:
            raise LearnerError("several processes predict samples of the pool or test set only")
        self._ranks.broadcast(_Predict(parts[0], indices, needs))
        return self._learner.predict(samples, indices, needs, out)

    def save(self, path: Path) -> bool:
        """Write the weights, which are the same on all ranks."""
        return self._learner.save(path)

    def load(self, path: Path, data: Data) -> bool:
        """Read weights, and give them to all ranks: their machines may have no such file."""
        loaded = self._learner.load(path, data)
        if loaded:
            self._ranks.broadcast(_Load(data.classes, path.read_bytes()))
        return loaded


def dismiss_helpers(ranks: Ranks) -> None:
    """Tell the helpers that the run is over."""
    ranks.broadcast(None)


def help_leader(learner: SharingLearner, data: Data, ranks: Ranks) -> None:
    """Do what rank 0's `LeadingLearner` says, until it dismisses its helpers."""
    while (order := ranks.broadcast()) is not None:
        match order:
            case _Fit(classes, indices, labels, rng):
                learner.fit(replace(data, classes=classes), indices, labels, rng)
            case _Predict(part, indices, needs):
                learner.help_predict(getattr(data, part), indices, needs)
            case _Load(classes, weights):
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "weights.safetensors"
                    path.write_bytes(weights)
                    learner.load(path, replace(data, classes=classes))
