"""Evaluate a fitted learner on the test set. Test labels are used here and nowhere else."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from activeloop import measures
from activeloop.errors import DataError, LearnerError
from activeloop.metrics import scores
from activeloop.neighbors import nearest
from activeloop.types import Data, Indices, Labels, Learner, Prediction, Samples

NEIGHBORS = 5


class Evaluation:
    """Metrics of the test set and, if wanted, the mean of the six measures over it.

    Args:
        data: its `test` samples are predicted.
        labels: their labels, `[T]`; None where there are none.
        measures: whether to compute the six measures. Neighbours are searched in the test set.

    Raises:
        DataError: labels and test samples differ in number, or a label is no class.
    """

    def __init__(self, data: Data, labels: Labels | None, *, measures: bool = False) -> None:
        self.samples = data.test
        self.labels = labels
        self.measures = measures
        given = 0 if labels is None else len(labels)
        there = 0 if data.test is None else len(data.test)
        if labels is not None and given != there:
            raise DataError(f"there are {given} test labels for {there} test samples")
        if labels is not None and not all(0 <= label < data.n_classes for label in set(labels)):
            raise DataError(f"test labels must be classes from 0 to {data.n_classes - 1}")

    def __call__(self, learner: Learner) -> tuple[dict[str, float], Tensor | None]:
        """Return the metrics by name, and the test probabilities `[T, C]`."""
        if self.samples is None or len(self.samples) == 0:
            return {}, None
        needs = frozenset(["features"] if self.measures else [])
        prediction = learner.predict(self.samples, np.arange(len(self.samples)), needs)
        metrics: dict[str, float] = {}
        if self.labels is not None:
            metrics |= scores(prediction.probs.detach().cpu().numpy(), self.labels)
        if self.measures:
            metrics |= mean_measures(prediction)
        return metrics, prediction.probs


def mean_measures(prediction: Prediction, m: int = NEIGHBORS) -> dict[str, float]:
    """Return the mean of each of the six measures over the predicted samples.

    The three over neighbours are the means over the samples that have any; NaN if none has.
    """
    probs, features = prediction.probs, prediction.features
    if features is None:
        raise LearnerError("measures=true needs features, and this learner gives none")
    distances, near = nearest(features, m)
    values = {
        "least_confidence": measures.least_confidence(probs),
        "entropy": measures.entropy(probs),
        "margin": measures.margin(probs),
        "cosine_similarity": measures.cosine_similarity(features, near),
        "l2_distance": measures.l2_distance(distances),
        "neighbor_kl": measures.neighbor_kl(probs, near),
    }
    return {name: float(value.double().nanmean()) for name, value in values.items()}


def check_finite(samples: Samples, indices: Indices, prediction: Prediction) -> None:
    """Raise `LearnerError` that names the first sample predicted as NaN or infinity."""
    for name in ("probs", "features"):
        value: Tensor | None = getattr(prediction, name)
        if value is None or bool(value.sum().isfinite()):
            continue
        # The sum of finite numbers may overflow, so that only the slow look is certain.
        bad = (~value.isfinite()).any(dim=1).nonzero()
        if len(bad):
            key = samples.keys[int(indices[int(bad[0, 0])])]
            raise LearnerError(
                f"{name} of {len(bad)} samples are not finite (first: {key}): the data may hold "
                "extreme values, or training diverged; try a smaller learner.lr"
            )
