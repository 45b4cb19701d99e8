"""Oracles: who answers. Simulated ones hold the hidden labels; a person answers through `tell`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from activeloop.checks import real
from activeloop.errors import ConfigError, DataError
from activeloop.streams import Streams
from activeloop.types import Indices, Labels


class SimulatedOracle:
    """Answers with the true labels, and counts what it was asked.

    Args:
        labels: the true labels of the whole pool, `[N]`.
        n_classes: not used; every oracle is offered it.
        seed: not used; every oracle is offered it.

    Attributes:
        asked: how many answers it has given.

    Raises:
        DataError: there are no labels.
    """

    def __init__(self, labels: Labels | None, *, n_classes: int = 0, seed: int = 0) -> None:
        if labels is None:
            raise DataError(
                "this data has no labels to answer with: use data with labels, or call "
                "ActiveLoop.ask and tell with a person's answers"
            )
        self._labels = np.array(labels, np.int64)
        self.asked = 0

    def label(self, indices: Indices) -> Labels:
        """Return the labels of `indices`, `[n]`."""
        self.asked += len(indices)
        return self._labels[indices]


class NoisyOracle(SimulatedOracle):
    """Answers wrongly at a known rate, always the same way for the same sample and seed.

    The noise of all samples is drawn at once, so that strategies with one seed meet the same noise
    whatever they ask for.

    Args:
        labels: the true labels of the whole pool, `[N]`.
        n_classes: number of classes, `C`.
        seed: the run's seed.
        rate: share of answers that are wrong, spread evenly over the other classes.
        confusion: instead of `rate`, `[C, C]` rows of probabilities: the answer given the truth.

    Raises:
        ConfigError: rate outside 0 to 1, or a confusion matrix of another shape or whose rows do
            not sum to 1.
    """

    def __init__(
        self,
        labels: Labels | None,
        *,
        n_classes: int,
        seed: int,
        rate: float = 0.1,
        confusion: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__(labels)
        matrix = (
            _symmetric(n_classes, rate) if confusion is None else _checked(confusion, n_classes)
        )
        draws = Streams(seed).rng("oracle").random(len(self._labels))
        cumulative = np.cumsum(matrix, axis=1)[self._labels]
        # The last column may end below 1 by rounding: it is not compared.
        self._labels = (draws[:, None] >= cumulative[:, :-1]).sum(axis=1).astype(np.int64)


class People:
    """People answer, on the page that `python -m activeloop label` opens; nobody else does.

    Args:
        labels: not used.
        n_classes: not used.
        seed: not used.
    """

    def __init__(self, labels: Labels | None = None, *, n_classes: int = 0, seed: int = 0) -> None:
        pass

    def label(self, indices: Indices) -> Labels:
        """Raise `ConfigError`: no program answers."""
        raise ConfigError(
            "oracle=people: people label this run; go on with python -m activeloop label DIR"
        )


def _symmetric(n_classes: int, rate: float) -> npt.NDArray[np.float64]:
    rate = real("oracle.rate", rate, least=0, most=1)
    if n_classes < 2:
        raise ConfigError("oracle=noisy needs at least 2 classes")
    matrix = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


def _checked(confusion: Sequence[Sequence[float]], n_classes: int) -> npt.NDArray[np.float64]:
    try:
        matrix = np.asarray(confusion, np.float64)
    except ValueError:
        matrix = np.empty(0)
    if matrix.shape != (n_classes, n_classes):
        raise ConfigError(
            f"oracle.confusion must have {n_classes} rows of {n_classes} numbers, "
            f"got shape {matrix.shape}"
        )
    if not (matrix >= 0).all() or not np.allclose(matrix.sum(axis=1), 1):
        raise ConfigError("each row of oracle.confusion must be of probabilities that sum to 1")
    return matrix
