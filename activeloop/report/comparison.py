"""Compare the runs of a sweep: mean and spread over seeds, strategy by strategy."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activeloop.errors import StoreError
from activeloop.report.figures import axes_of_accuracy, save
from activeloop.report.runs import Run, read_run
from activeloop.run_files import named_errors, write_csv

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Point:
    """Accuracy of one strategy after so many labels, over its seeds.

    `spread` is the sample standard deviation; None with one seed.
    """

    strategy: str
    labels: int
    seeds: int
    mean: float
    spread: float | None
    least: float
    most: float


def compare(directories: Iterable[Path]) -> list[Path]:
    """Write `comparison.csv` and `comparison.png` into each directory of runs.

    Runs that lie in one directory are compared with each other. Returns the figures written.
    """
    figures = []
    for directory in sorted(directories):
        runs = list(_readable(directory))
        points = summarise(runs)
        if points:
            with named_errors(directory):
                write_csv(directory / "comparison.csv", _rows(points))
            data = " and ".join(sorted({run.data for run in runs}))
            draw(points, directory / "comparison.png", data=data)
            figures.append(directory / "comparison.png")
    return figures


def _readable(directory: Path) -> Iterator[Run]:
    for path in sorted(directory.glob("*/run.db")):
        try:
            run = read_run(path.parent)
        except StoreError as error:
            log.warning("left out of the comparison: %s", error)
        else:
            if run is not None:
                yield run


def summarise(runs: Sequence[Run]) -> list[Point]:
    """Return mean and spread of the accuracy for each strategy and number of labels."""
    by_seed: dict[tuple[str, int], dict[int, float]] = {}
    for run in runs:
        for round in run.rounds:
            if "accuracy" in round.metrics:
                # A round that brought no label counts instead of the one before it, not with it.
                where = (run.strategy, round.labels)
                by_seed.setdefault(where, {})[run.seed] = round.metrics["accuracy"]
    accuracies = {where: list(values.values()) for where, values in by_seed.items()}
    return [
        Point(
            strategy=strategy,
            labels=labels,
            seeds=len(values),
            mean=statistics.fmean(values),
            spread=statistics.stdev(values) if len(values) > 1 else None,
            least=min(values),
            most=max(values),
        )
        for (strategy, labels), values in sorted(accuracies.items())
    ]


def draw(points: Sequence[Point], path: Path, *, data: str) -> None:
    """Draw each strategy's mean accuracy, a band of one standard deviation around it."""
    seeds = sorted({p.seeds for p in points})
    counted = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}"
    plural = "" if seeds == [1] else "s"
    band = "" if seeds == [1] else "; band: one standard deviation"
    figure, axes = axes_of_accuracy(f"{data}: mean of {counted} seed{plural}{band}")
    by_strategy: dict[str, list[Point]] = {}
    for point in points:
        by_strategy.setdefault(point.strategy, []).append(point)
    best_first = sorted(by_strategy, key=lambda s: -by_strategy[s][-1].mean)
    for number, strategy in enumerate(best_first):
        line = by_strategy[strategy]
        labels, means = [p.labels for p in line], [p.mean for p in line]
        style: dict[str, Any] = (
            {"color": "0.35", "linestyle": "--"}
            if strategy == "random"
            else {"color": f"C{number}"}
        )
        axes.plot(labels, means, marker="o", markersize=3, label=strategy, **style)
        low = [p.mean - (p.spread or 0) for p in line]
        high = [min(1.0, p.mean + (p.spread or 0)) for p in line]
        axes.fill_between(labels, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axes.legend(frameon=False, loc="lower right")
    save(figure, path)


def _rows(points: Sequence[Point]) -> Iterator[Sequence[object]]:
    yield "strategy", "labels", "seeds", "mean", "std", "min", "max"
    for p in points:
        spread = "" if p.spread is None else repr(p.spread)
        yield p.strategy, p.labels, p.seeds, repr(p.mean), spread, repr(p.least), repr(p.most)
