"""The audit: accuracy without a test set, by samples drawn at random and scored before training.

A share of each query is drawn uniformly from what is left. The network has not been trained on what
it is asked to predict, and nobody chose it, so that the share it gets right is an unbiased estimate
of its accuracy on the remaining pool. The strategy's own picks are chosen, and not with known
probabilities: they say nothing of that accuracy, and are not used.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from activeloop.checks import real
from activeloop.errors import ConfigError
from activeloop.schedule import Schedule
from activeloop.store import Asked, Store
from activeloop.types import Indices, Round
from activeloop.words import counted

# Audits of the last rounds are taken together until there are so many samples.
LEAST_AUDITED = 30


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


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """Audits of several rounds, taken together.

    Attributes:
        right, samples: of so many samples, so many were predicted right.
        first, last: the rounds whose networks predicted them.
    """

    right: int
    samples: int
    first: Round
    last: Round

    @property
    def accuracy(self) -> float:
        """The share that is right."""
        return self.right / self.samples

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95% interval."""
        return clopper_pearson(self.right, self.samples)

    @property
    def labels(self) -> tuple[int, int]:
        """The least and the most labels that these networks had."""
        return self.first.labels, self.last.labels

    @property
    def words(self) -> str:
        """All of that, in words."""
        (low, high), (first, last) = self.interval, self.labels
        when = counted(last, "label") if first == last else f"{first:,} to {last:,} labels"
        return (
            f"about {self.accuracy:.1%} are right (95% {low:.1%} to {high:.1%}), by "
            f"{counted(self.samples, 'sample')} drawn at random, when it had {when}"
        )


def pooled(rounds: Sequence[Round]) -> Pooled | None:
    """Return what the last audits say, as many as have `LEAST_AUDITED` samples; None without any.

    An audit in a round's query was predicted by the network of the round before.
    """
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
    return Pooled(right=right, samples=samples, first=first, last=last)


def pooled_by_round(rounds: Sequence[Round]) -> dict[int, Pooled]:
    """Return what the audits said of each round's network, with those before, by its number."""
    known = {}
    for until, about in enumerate(rounds[:-1], start=2):
        found = pooled(rounds[:until])
        if found is not None and found.last.round == about.round:
            known[about.round] = found
    return known


def present_rounds(store: Store) -> list[Round]:
    """Return the rounds of a run as `by_present` does, by the labels that it has now."""
    rounds = store.rounds()
    if not any("audit_labels" in each.metrics for each in rounds):
        return rounds
    audits: defaultdict[int, list[Asked]] = defaultdict(list)
    labels: defaultdict[int, dict[str, str | None]] = defaultdict(dict)
    for asked, label in store.audits():
        audits[asked.round].append(asked)
        labels[asked.round][asked.key] = label
    return by_present(rounds, audits, labels)


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


def clopper_pearson(right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share of which `right` of `n` were seen (Clopper and Pearson, 1934).

    It covers the true share with at least probability `level`, however few were seen; drawn
    without replacement from a pool that is not large, with more.
    """
    from scipy.special import betaincinv  # takes a while to load, and not every command needs it

    tail = (1 - level) / 2
    low = 0.0 if right == 0 else float(betaincinv(right, n - right + 1, tail))
    high = 1.0 if right == n else float(betaincinv(right + 1, n - right, 1 - tail))
    return low, high
