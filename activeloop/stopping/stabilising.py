"""Rules that look at what networks say of the stop set: they need no labels.

Published for text, support vector machines and a few hundred labels a round. The thresholds are
where the papers name them; networks that start from fresh weights each round differ by chance as
well, which keeps agreement below 1 whatever is labelled.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import ClassVar

from activeloop.checks import real, whole
from activeloop.stopping.base import Threshold, latest
from activeloop.types import Round


class _OfStopSet(Threshold):
    """Compares a metric of the stop set, over a window of rounds, with a threshold.

    Attributes:
        metric: its name.
        over: what is taken of the window: mean or max.
        bound: which side of the threshold stops.
    """

    metric: ClassVar[str]
    over: ClassVar[str] = "mean"
    bound: ClassVar[str] = "at most"

    def __init__(self, threshold: float, window: int, *, most: float) -> None:
        self.needs = frozenset([self.metric])
        self.threshold = real("stopping.threshold", threshold, least=0, most=most)
        self.window = whole("stopping.window", window, least=1)
        self.wanted = f"{self.bound} {self.threshold:g}"
        several = f"_{self.over}_{self.window}" if self.window > 1 else ""
        self.reading_name = f"{self.metric}{several}"

    def value(self, rounds: Sequence[Round]) -> float | None:
        """Return the mean, or largest, of the window; None if it is not full."""
        values = latest(rounds, self.metric, self.window)
        if values is None:
            return None
        return max(values) if self.over == "max" else statistics.fmean(values)

    def met(self, value: float) -> bool:
        """Return whether it is on the right side of the threshold."""
        if self.bound == "at least":
            return value >= self.threshold
        return value <= self.threshold


class Kappa(_OfStopSet):
    """Stop when predictions stabilise: Cohen's kappa of consecutive networks on the stop set.

    Paper: Bloodgood and Vijay-Shanker, A Method for Stopping Active Learning Based on Stabilizing
    Predictions and the Need for User-Adjustable Stopping, CoNLL 2009: the mean over the last 3
    agreements, at least 0.99.

    Args:
        threshold: the least mean of kappa, up to 1; lower stops earlier.
        window: over how many rounds; it takes one more before the rule can stop a run.

    Raises:
        ConfigError: an option makes no sense.
    """

    name = metric = "kappa"
    bound = "at least"

    def __init__(self, threshold: float = 0.99, window: int = 3) -> None:
        super().__init__(threshold, window, most=1)


class OverallUncertainty(_OfStopSet):
    """Stop when the network is sure of nearly everything: a low mean entropy on the stop set.

    Paper: Zhu, Wang and Hovy, Multi-Criteria-Based Strategy to Stop Active Learning for Data
    Annotation, Coling 2008, where it is the mean over the remaining pool. What is low depends on
    the classes and on how well the network is calibrated, and the default is ours: look at
    `overall_uncertainty` in `curve.csv` first.

    Args:
        threshold: the largest mean entropy, in nats.
        window: over how many rounds the mean is taken.

    Raises:
        ConfigError: an option makes no sense.
    """

    name = metric = "overall_uncertainty"

    def __init__(self, threshold: float = 0.05, window: int = 1) -> None:
        super().__init__(threshold, window, most=float("inf"))


class ClassificationChange(_OfStopSet):
    """Stop when no sample of the stop set changes its class from one network to the next.

    Paper: Zhu, Wang and Hovy, Multi-Criteria-Based Strategy to Stop Active Learning for Data
    Annotation, Coling 2008, where it is no change at all in the remaining pool.

    Args:
        threshold: the largest share that changes; 0 as in the paper.
        window: over how many rounds the mean is taken.

    Raises:
        ConfigError: an option makes no sense.
    """

    name = metric = "classification_change"

    def __init__(self, threshold: float = 0.0, window: int = 1) -> None:
        super().__init__(threshold, window, most=1)


class PerformanceDifference(_OfStopSet):
    """Stop when the F measure is predicted to change little from one network to the next.

    Paper: Altschuler and Bloodgood, Stopping Active Learning Based on Predicted Change of F Measure
    for Text Classification, ICSC 2019, with two classes. Here it is the mean over the classes, and
    all of the last rounds must be low enough; the default threshold is ours.

    Args:
        threshold: the largest predicted change, a share: 0.02 is two points of F.
        window: in how many rounds running; it takes one more before the rule can stop a run.

    Raises:
        ConfigError: an option makes no sense.
    """

    name = metric = "performance_difference"
    over = "max"

    def __init__(self, threshold: float = 0.02, window: int = 3) -> None:
        super().__init__(threshold, window, most=1)
