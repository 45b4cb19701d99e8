"""How good the network is, with an interval: of the test set, or else of the audits."""

from __future__ import annotations

from collections.abc import Sequence

from activeloop.audit import clopper_pearson, pooled
from activeloop.label.cards import Estimate, Point
from activeloop.types import Round


def estimate(rounds: Sequence[Round], tested: int) -> Estimate | None:
    """Return the accuracy after the last of `rounds`; None where nothing tells it yet.

    Args:
        rounds: the finished rounds.
        tested: how many test samples have labels.
    """
    if rounds and tested and "accuracy" in rounds[-1].metrics:
        right = round(rounds[-1].metrics["accuracy"] * tested)
        return _estimate(right, tested, "test", rounds[-1], rounds[-1])
    known = pooled(rounds)
    if known is None:
        return None
    return _estimate(known.right, known.samples, "audit", known.first, known.last)


def curve(rounds: Sequence[Round], tested: int) -> list[Point]:
    """Return a point for each round, with what is known of its network."""
    points = []
    for position, each in enumerate(rounds):
        # The audit of a network is in the query after it.
        until = position + (1 if tested else 2)
        known = estimate(rounds[:until], tested) if until <= len(rounds) else None
        if known is not None and known.rounds[1] != each.round:
            known = None
        points.append(
            Point(
                round=each.round,
                labels=each.labels,
                accuracy=None if known is None else known.accuracy,
                low=None if known is None else known.low,
                high=None if known is None else known.high,
            )
        )
    return points


def _estimate(right: int, samples: int, source: str, first: Round, last: Round) -> Estimate:
    low, high = clopper_pearson(right, samples)
    return Estimate(
        accuracy=right / samples,
        low=low,
        high=high,
        samples=samples,
        source=source,  # type: ignore[arg-type]  # one of the two
        rounds=(first.round, last.round),
        labels=(first.labels, last.labels),
    )
