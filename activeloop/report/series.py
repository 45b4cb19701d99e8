"""Curves of a metric against labels, from runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from activeloop.audit import pooled_by_round
from activeloop.report.document import Curve, RunLine
from activeloop.report.runs import Run, seconds_of
from activeloop.report.statistics import estimate, within
from activeloop.types import Round

AUDIT = "audit_accuracy"
# What a round notes beside what it measured.
_NO_METRICS = ("steps", "audit_low", "audit_high")
_FIRST = ("accuracy", "macro_f1", "worst_class_accuracy", "calibration_error", "loss")
# Between which numbers a metric is, whoever trains what.
_SHARES = ("accuracy", "macro_f1", "worst_class_accuracy", "calibration_error", AUDIT)
_RANGES = {"loss": (0.0, math.inf)} | dict.fromkeys(_SHARES, (0.0, 1.0))
_BETTER_IF_HIGH = {"accuracy", "f1"}
_BETTER_IF_LOW = {"loss", "error", "seconds"}


def metrics_of(runs: Iterable[Run]) -> tuple[str, ...]:
    """Return the names of all metrics of `runs`, accuracy first, without seconds and counts."""
    names = dict.fromkeys(name for run in runs for round in run.rounds for name in round.metrics)
    curves = [n for n in names if not n.endswith(("_seconds", "_labels")) and n not in _NO_METRICS]
    return tuple(sorted(curves, key=lambda n: (_FIRST.index(n) if n in _FIRST else len(_FIRST), n)))


def higher_is_better(metric: str) -> bool | None:
    """Return whether more of a metric is better.

    None where neither is, as of how sure or how steady a network is, or where it is not known.
    """
    words = set(metric.split("_"))
    if words & _BETTER_IF_LOW:
        return False
    return True if words & _BETTER_IF_HIGH else None


def line(run: Run, metric: str) -> RunLine | None:
    """Return a run's course, None without a finite value.

    A round that brought no label counts instead of the one before it, not with it. What audits say
    stands at the labels of the last network that they are about, as many taken together as on the
    label page: one alone is of few samples.
    """
    points: dict[int, tuple[float, float]] = {}
    spent = itertools.accumulate(seconds_of(round) for round in run.rounds)
    seconds = dict(zip((round.round for round in run.rounds), spent, strict=True))
    for round, value in _values(run, metric):
        if math.isfinite(value):
            points[round.labels] = (value, seconds[round.round])
    if not points:
        return None
    ascending = sorted(points)
    return RunLine(
        seed=run.seed,
        labels=tuple(ascending),
        values=tuple(points[labels][0] for labels in ascending),
        seconds=tuple(points[labels][1] for labels in ascending),
    )


def _values(run: Run, metric: str) -> Iterator[tuple[Round, float]]:
    """Yield rounds with what a metric says of their networks."""
    if metric == AUDIT:
        for known in pooled_by_round(run.rounds).values():
            yield known.last, known.accuracy
    else:
        yield from ((r, r.metrics[metric]) for r in run.rounds if metric in r.metrics)


def _own_intervals(run: Run, metric: str) -> dict[int, tuple[float, float]]:
    """Return the intervals that a run has of its own values, by labels."""
    if metric != AUDIT:
        return {}
    audits = pooled_by_round(run.rounds).values()
    return {known.last.labels: known.interval for known in audits}


def curve(strategy: str, metric: str, runs: Sequence[Run]) -> Curve | None:
    """Return the metric over the runs of one strategy; None where no run has it.

    A single run's point has the run's own interval, if there is one.
    """
    lines = [each for run in runs if (each := line(run, metric)) is not None]
    if not lines:
        return None
    values: dict[int, list[float]] = {}
    for each in lines:
        for count, value in zip(each.labels, each.values, strict=True):
            values.setdefault(count, []).append(value)
    labels = tuple(sorted(values))
    low, high = _RANGES.get(metric, (-math.inf, math.inf))
    estimates = {count: within(estimate(values[count]), low, high) for count in labels}
    for run in runs:
        for count, (low, high) in _own_intervals(run, metric).items():
            if estimates[count].n == 1:
                estimates[count] = replace(estimates[count], low=low, high=high)
    return Curve(
        strategy=strategy,
        metric=metric,
        labels=labels,
        estimates=tuple(estimates[count] for count in labels),
        runs=tuple(sorted(lines, key=lambda each: each.seed)),
    )
