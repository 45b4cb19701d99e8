"""Where stopping rules would have stopped finished runs, what that saved and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from activeloop.report.document import Stop
from activeloop.report.runs import Run
from activeloop.report.statistics import estimate, within
from activeloop.stop_set import STOP_METRICS
from activeloop.stopping import (
    ClassificationChange,
    Kappa,
    OverallUncertainty,
    PerformanceDifference,
    Plateau,
    Rule,
    Target,
)
from activeloop.types import Round

# Every rule at its defaults but for `budget`, of which the table of accuracies says as much; kappa
# twice, for networks that start from fresh weights rarely agree to 0.99.
HINDSIGHT: tuple[Rule, ...] = (
    Target(),
    Plateau(),
    Kappa(),
    Kappa(threshold=0.95),
    OverallUncertainty(),
    ClassificationChange(),
    PerformanceDifference(),
)


def stops(runs: Sequence[Run]) -> tuple[Stop, ...]:
    """Return for each strategy, and each rule whose metrics its runs have, where it would stop.

    A run that another rule ended is looked at up to its end, and one that is too short for a
    rule's window is one that the rule never stops.
    """
    by_strategy: dict[str, list[Sequence[Round]]] = {}
    for run in runs:
        if run.rounds:
            by_strategy.setdefault(run.strategy, []).append(run.rounds)
    found = []
    for strategy, courses in by_strategy.items():
        for rule in HINDSIGHT:
            if judged := [rounds for rounds in courses if rule.needs <= _metrics(rounds)]:
                found.append(_stop(strategy, rule, judged))
    return tuple(found)


def first_stop(rule: Rule, rounds: Sequence[Round]) -> int | None:
    """Return the position of the round after which `rule` stops the run; None: it never does."""
    return next((n for n in range(len(rounds)) if rule(rounds[: n + 1])), None)


def _stop(strategy: str, rule: Rule, courses: Sequence[Sequence[Round]]) -> Stop:
    positions = [first_stop(rule, rounds) for rounds in courses]
    pairs = [
        (rounds[-1] if n is None else rounds[n], rounds[-1])
        for n, rounds in zip(positions, courses, strict=True)
    ]
    # A run stops at one of its rounds: from its first labels to its own end.
    starts, ends = ([rounds[n].labels for rounds in courses] for n in (0, -1))
    most_saved = [100 * (1 - start / end) for start, end in zip(starts, ends, strict=True)]
    labels = estimate([at.labels for at, _ in pairs])
    saved = estimate([100 * (1 - at.labels / end.labels) for at, end in pairs])
    with_accuracy = all("accuracy" in r.metrics for pair in pairs for r in pair)
    return Stop(
        strategy=strategy,
        rule=str(rule),
        labels=within(labels, fmean(starts), fmean(ends)),
        stopped=sum(n is not None for n in positions),
        of=len(positions),
        saved=within(saved, 0, fmean(most_saved)),
        cost=estimate([end.metrics["accuracy"] - at.metrics["accuracy"] for at, end in pairs])
        if with_accuracy
        else None,
    )


def _metrics(rounds: Sequence[Round]) -> set[str]:
    """Return the metrics that a run's rounds have, or would have if there were more of them."""
    names = {name for round in rounds for name in round.metrics}
    # Round 0 has the first of the stop set's only.
    return names | set(STOP_METRICS) if STOP_METRICS[0] in names else names
