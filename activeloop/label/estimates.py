"""How good the network is, with an interval: of the test set, or else of the audits."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from activeloop.audit import audited, clopper_pearson
from activeloop.label.cards import Estimate, Point
from activeloop.store import Asked
from activeloop.types import Round

# Audits of the last rounds are taken together until there are so many samples.
LEAST_AUDITED = 30


def estimate(rounds: Sequence[Round], tested: int) -> Estimate | None:
    """Return the accuracy after the last of `rounds`; None where nothing tells it yet.

    An audit in a round's query was predicted by the network of the round before.

    Args:
        rounds: the finished rounds.
        tested: how many test samples have labels.
    """
    if rounds and tested and "accuracy" in rounds[-1].metrics:
        right = round(rounds[-1].metrics["accuracy"] * tested)
        return _estimate(right, tested, "test", rounds[-1], rounds[-1])
    right = samples = 0
    last = first = None
    for before, each in reversed([*itertools.pairwise(rounds)]):
        if count := int(each.metrics.get("audit_labels", 0)):
            last = last or before
            first = before
            right += round(each.metrics["audit_accuracy"] * count)
            samples += count
        if samples >= LEAST_AUDITED:
            break
    if first is None or last is None:
        return None
    return _estimate(right, samples, "audit", first, last)


def by_present(
    rounds: Sequence[Round],
    audits: Mapping[int, Sequence[Asked]],
    labels: Mapping[int, Mapping[str, str | None]],
) -> list[Round]:
    """Return the rounds with what their audits say by the labels as they are now.

    Of an audit that was taken back nothing remains; one that was corrected counts as it is. One
    that was answered when its round had begun already counts too: the hard ones are answered late,
    and are missing in what the round itself has kept. That is no choice of samples, since all that
    was drawn is asked for until it has an answer.

    Args:
        rounds: the finished rounds.
        audits: what was drawn for the audit, by round.
        labels: the present labels of these, by round and key.
    """
    return [
        replace(
            each,
            metrics=_without(each) | audited(audits[each.round], labels[each.round]),
        )
        for each in rounds
    ]


def _without(round: Round) -> dict[str, float]:
    return {name: value for name, value in round.metrics.items() if not name.startswith("audit_")}


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
