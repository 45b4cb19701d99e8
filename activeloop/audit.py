"""The audit: accuracy without a test set, by samples drawn at random and scored before training.

A share of each query is drawn uniformly from what is left. The network has not been trained on what
it is asked to predict, and nobody chose it, so that the share it gets right is an unbiased estimate
of its accuracy on the remaining pool. The strategy's own picks are chosen, and not with known
probabilities: they say nothing of that accuracy, and are not used.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import betaincinv

from activeloop.checks import real
from activeloop.errors import ConfigError
from activeloop.schedule import Schedule
from activeloop.store import Asked
from activeloop.types import Indices


class Audit:
    """How much of each query is drawn at random.

    Args:
        share: of a query; 0 is none.

    Raises:
        ConfigError: it is no share.
    """

    def __init__(self, share: float) -> None:
        self.share = real("audit", share, least=0, most=1)

    def check(self, schedule: Schedule) -> None:
        """Raise `ConfigError` if no query is large enough for an audit beside a pick."""
        sizes = [after - before for before, after in itertools.pairwise(schedule.planned)]
        if self.share and sizes and max(sizes) == 1:
            raise ConfigError(
                f"audit={self.share:g} needs queries of at least 2 samples, one of them for the "
                "strategy, and query_size is 1"
            )

    def size(self, k: int) -> int:
        """Return how many of `k` samples are drawn: at least one, and not all, where `k` > 1."""
        if self.share == 0:
            return 0
        return min(max(1, int(self.share * k + 0.5)), k - 1)

    def draw(self, unlabelled: Indices, k: int, rng: np.random.Generator) -> Indices:
        """Return those of a query of `k`, `[size(k)]`, uniformly out of `unlabelled`."""
        return rng.choice(unlabelled, self.size(k), replace=False)


def audited(asked: Sequence[Asked], answers: Mapping[str, str | None]) -> dict[str, float]:
    """Return what the audit of a query says of the network that made it.

    Args:
        asked: the query.
        answers: by key, None: skipped. What was skipped or has no answer is left out: where that
            depends on how hard a sample is, the estimate is of those that get answers.

    Returns:
        `audit_labels`, and where there are any `audit_accuracy` with its 95% interval from
        `audit_low` to `audit_high`; nothing for a query without an audit.
    """
    drawn = [a for a in asked if a.audit]
    if not drawn:
        return {}
    scored = [a for a in drawn if answers.get(a.key) is not None]
    metrics = {"audit_labels": float(len(scored))}
    if scored:
        right = sum(a.predicted == answers[a.key] for a in scored)
        low, high = clopper_pearson(right, len(scored))
        metrics |= {"audit_accuracy": right / len(scored), "audit_low": low, "audit_high": high}
    return metrics


def clopper_pearson(right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share of which `right` of `n` were seen (Clopper and Pearson, 1934).

    It covers the true share with at least probability `level`, however few were seen; drawn
    without replacement from a pool that is not large, with more.
    """
    tail = (1 - level) / 2
    low = 0.0 if right == 0 else float(betaincinv(right, n - right + 1, tail))
    high = 1.0 if right == n else float(betaincinv(right + 1, n - right, 1 - tail))
    return low, high
