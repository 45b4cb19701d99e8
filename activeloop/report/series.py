"""Curves of a metric against labels, from runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from activeloop.report.document import Curve, RunLine
from activeloop.report.runs import Run, seconds_of
from activeloop.report.statistics import estimate

# What a round notes beside what it measured.
_NO_METRICS = ("steps", "audit_low", "audit_high")
_FIRST = ("accuracy", "macro_f1", "worst_class_accuracy", "calibration_error", "loss")
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

    A round that brought no label counts instead of the one before it, not with it.
    """
    points: dict[int, tuple[float, float]] = {}
    seconds = 0.0
    for round in run.rounds:
        seconds += seconds_of(round)
        value = round.metrics.get(metric)
        if value is not None and math.isfinite(value):
            points[round.labels] = (value, seconds)
    if not points:
        return None
    ascending = sorted(points)
    return RunLine(
        seed=run.seed,
        labels=tuple(ascending),
        values=tuple(points[labels][0] for labels in ascending),
        seconds=tuple(points[labels][1] for labels in ascending),
    )


def curve(strategy: str, metric: str, runs: Sequence[Run]) -> Curve | None:
    """Return the metric over the runs of one strategy; None where no run has it."""
    lines = [each for run in runs if (each := line(run, metric)) is not None]
    if not lines:
        return None
    values: dict[int, list[float]] = {}
    for each in lines:
        for count, value in zip(each.labels, each.values, strict=True):
            values.setdefault(count, []).append(value)
    labels = tuple(sorted(values))
    return Curve(
        strategy=strategy,
        metric=metric,
        labels=labels,
        estimates=tuple(estimate(values[count]) for count in labels),
        runs=tuple(sorted(lines, key=lambda each: each.seed)),
    )
