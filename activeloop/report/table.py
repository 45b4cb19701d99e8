"""The table of a comparison: area, accuracy at budgets, labels to targets, and seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median_high, median_low

import numpy as np

from activeloop.report.document import Estimate, Row, RunLine
from activeloop.report.learning_curves import area, labels_to_reach, reach
from activeloop.report.runs import Run
from activeloop.report.statistics import estimate, within

# A run's accuracy by strategy and seed.
Lines = Mapping[str, Mapping[int, RunLine]]


def usual_range(lines: Lines) -> tuple[int, int]:
    """Return the least and the most labels that most runs have; there must be a run."""
    each = _all(lines)
    low = median_high(line.labels[0] for line in each)
    return low, max(low, median_low(line.labels[-1] for line in each))


def long_enough(lines: Lines) -> dict[str, dict[int, RunLine]]:
    """Leave out runs that cover less than half of what most runs do.

    A few runs that ended early would else narrow what all are compared over to next to nothing.
    """
    if not _all(lines):
        return {}
    low, high = usual_range(lines)
    kept = {
        strategy: {
            seed: line
            for seed, line in each.items()
            if 2 * (min(high, line.labels[-1]) - max(low, line.labels[0])) >= high - low
        }
        for strategy, each in lines.items()
    }
    return {strategy: each for strategy, each in kept.items() if each}


def shared_range(lines: Lines) -> tuple[int, int] | None:
    """Return the least and the most labels that all runs have that are long enough.

    None where that is one label count, or none: that is no range to have an area.
    """
    each = _all(long_enough(lines))
    if not each:
        return None
    low, high = max(line.labels[0] for line in each), min(line.labels[-1] for line in each)
    return (low, high) if low < high else None


def areas(lines: Lines) -> dict[str, dict[int, float]]:
    """Return the area under the curve of each run that is long enough, over what these share.

    Empty where they share no range.
    """
    if (bounds := shared_range(lines)) is None:
        return {}
    return {
        strategy: {seed: area(line.labels, line.values, *bounds) for seed, line in each.items()}
        for strategy, each in long_enough(lines).items()
    }


def _all(lines: Lines) -> list[RunLine]:
    return [line for of_seeds in lines.values() for line in of_seeds.values()]


def rows(
    runs: Mapping[str, Sequence[Run]],
    lines: Lines,
    *,
    baseline: str | None,
    targets: Sequence[float],
    budgets: Sequence[int],
) -> tuple[Row, ...]:
    """Return a row for each strategy, in the order of `runs`.

    Args:
        runs: by strategy.
        lines: accuracy of those that have it.
        baseline: the strategy that labels are saved against; None: against none.
        targets: accuracies.
        budgets: label counts; between two rounds accuracy is interpolated.
    """
    found = areas(lines)
    needed = {
        (strategy, target): {
            seed: labels_to_reach(line.labels, line.values, target) for seed, line in each.items()
        }
        for strategy, each in lines.items()
        for target in targets
    }
    return tuple(
        Row(
            strategy=strategy,
            seeds=len(of_strategy),
            area=_share(list(found[strategy].values())) if strategy in found else None,
            at=_at_budgets(list(lines.get(strategy, {}).values()), budgets),
            reach=tuple(
                reach(
                    target,
                    needed[strategy, target],
                    None if strategy == baseline else needed.get((baseline or "", target)),
                    between=_course(lines[strategy].values()),
                )
                for target in targets
                if strategy in lines
            ),
            seconds=_seconds(of_strategy),
        )
        for strategy, of_strategy in runs.items()
    )


def _at_budgets(lines: Sequence[RunLine], budgets: Sequence[int]) -> dict[int, Estimate]:
    found = {}
    for labels in budgets:
        values = [
            float(np.interp(labels, line.labels, line.values))
            for line in lines
            if line.labels[0] <= labels <= line.labels[-1]
        ]
        if values:
            found[labels] = _share(values)
    return found


def _share(values: Sequence[float]) -> Estimate:
    """Return the mean accuracy of some seeds, or mean area below accuracy."""
    return within(estimate(values), 0, 1)


def _course(lines: Iterable[RunLine]) -> tuple[int, int]:
    """Return the fewest and the most labels that some seed of a strategy had."""
    ends = [(line.labels[0], line.labels[-1]) for line in lines]
    return min(first for first, _ in ends), max(last for _, last in ends)


def _seconds(runs: Sequence[Run]) -> dict[str, float]:
    """Return the mean seconds of a round by part."""
    parts: dict[str, list[float]] = {}
    for run in runs:
        for round in run.rounds:
            for name, value in round.metrics.items():
                if name.endswith("_seconds"):
                    parts.setdefault(name.removesuffix("_seconds"), []).append(value)
    return {part: fmean(values) for part, values in parts.items()}


# -- what to ask for where nobody says ---------------------------------------------------------


def round_budgets(lines: Lines) -> tuple[int, ...]:
    """Return up to three label counts that all runs were measured at, the rounder ones first.

    All that are long enough.
    """
    each = [set(line.labels) for line in _all(long_enough(lines))]
    common = sorted(set.intersection(*each)) if each else []
    if not common:
        return ()

    def nearest(share: float) -> int:
        wanted = share * common[-1]
        return min(common, key=lambda labels: (abs(labels - wanted), -_zeros(labels), -labels))

    return tuple(sorted({nearest(share) for share in (0.25, 0.5, 1.0)}))


def _zeros(number: int) -> int:
    return len(str(number)) - len(str(number).rstrip("0"))


def round_targets(lines: Lines, baseline: str | None) -> tuple[float, ...]:
    """Return accuracies that tell something: those that the baseline and the best end at, rounded.

    And one on the baseline's way there. Without a baseline, the strategy that ends lowest is it.
    Runs that are not long enough do not count.
    """
    lines = long_enough(lines)
    ends = {
        strategy: fmean(line.values[-1] for line in each.values())
        for strategy, each in lines.items()
    }
    if not ends:
        return ()
    held_against = baseline if baseline in ends else min(ends, key=lambda name: ends[name])
    start = fmean(line.values[0] for line in lines[held_against].values())
    end = ends[held_against]
    way = _floor((start + end) / 2, 0.05)
    wanted = {_fine_floor(end), _fine_floor(max(ends.values()))}
    if start < way < min(wanted):
        wanted.add(way)
    return tuple(sorted(target for target in wanted if target > 0))


def _fine_floor(accuracy: float) -> float:
    """Round down: to whole points, near 1 to tenths."""
    return _floor(accuracy, 0.01 if accuracy < 0.98 else 0.001)


def _floor(value: float, step: float) -> float:
    return round(math.floor(value / step + 1e-9) * step, 6)
