"""Write a report: the page, its numbers as JSON and CSV, and the picture of its curves."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from activeloop.errors import StoreError
from activeloop.report.document import Comparison, Curve, Estimate, Report
from activeloop.report.drawing import draw_comparisons
from activeloop.report.page import write_page
from activeloop.whole_files import replacing, write_csv

Rows = Iterator[tuple[object, ...]]


def write_report(report: Report, directory: Path) -> list[Path]:
    """Write all files of a report into `directory`, and return what there is to look at.

    Raises:
        StoreError: it cannot be written.
    """
    with report_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with replacing(directory / "report.json", durable=False) as temporary:
            temporary.write_text(as_json(report), "utf-8")
        for name, rows in (
            ("curves.csv", curve_rows(report)),
            ("summary.csv", summary_rows(report)),
            ("differences.csv", difference_rows(report)),
        ):
            write_csv(directory / name, rows)
        picture, page = directory / "comparison.png", directory / "report.html"
        drawn = draw_comparisons(report.comparisons, picture)
        write_page(report, page)
    return [picture, page] if drawn else [page]


@contextmanager
def report_errors(directory: Path) -> Iterator[None]:
    """Turn the operating system's refusal into one line that says what to do."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write the report in {directory}: {error.strerror or error}; --out chooses "
            "another directory"
        ) from error


def as_json(report: Report) -> str:
    """Return the report as JSON; NaN and infinity, which JSON does not have, as null."""
    return json.dumps(_plain(report), separators=(",", ":"), allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def curve_rows(report: Report) -> Rows:
    """Yield the lines of `curves.csv`; `seconds` are the mean of what runs had spent by then."""
    yield "comparison", "strategy", "metric", "labels", "seeds", "mean", "low", "high", "seconds"
    for comparison in report.comparisons:
        for curve in comparison.curves:
            spent = _seconds(curve)
            for labels, each in zip(curve.labels, curve.estimates, strict=True):
                named = (comparison.title, curve.strategy, curve.metric, labels)
                yield (*named, each.n, *_estimate(each), _number(spent[labels]))


def _seconds(curve: Curve) -> dict[int, float]:
    """Return the mean seconds that the runs with a point there had spent by then, by labels."""
    spent: dict[int, list[float]] = {}
    for run in curve.runs:
        for labels, seconds in zip(run.labels, run.seconds, strict=True):
            spent.setdefault(labels, []).append(seconds)
    return {labels: fmean(each) for labels, each in spent.items()}


def summary_rows(report: Report) -> Rows:
    """Yield the lines of `summary.csv`: what the table says, one number or interval a line.

    `quantity` is area (over the labels `at`), accuracy (`at` so many labels), labels (to reach
    `at`), labels_median, labels_reached (how many runs did), labels_saved_percent, or seconds (of
    the part `at`).
    """
    yield "comparison", "strategy", "quantity", "at", "seeds", "mean", "low", "high"
    for comparison in report.comparisons:
        for strategy, quantity, at, seeds, numbers in _quantities(comparison):
            yield (comparison.title, strategy, quantity, at, seeds, *numbers)


def _quantities(
    comparison: Comparison,
) -> Iterator[tuple[str, str, object, int, tuple[str, str, str]]]:
    over = " to ".join(map(str, comparison.area_range or ()))
    for row in comparison.table:
        if row.area is not None:
            yield row.strategy, "area", over, row.area.n, _estimate(row.area)
        for labels, each in row.at.items():
            yield row.strategy, "accuracy", labels, each.n, _estimate(each)
        for reach in row.reach:
            named = (row.strategy, reach.target)
            if reach.labels is not None:
                yield named[0], "labels", named[1], reach.of, _estimate(reach.labels)
            median = (_number(reach.median), "", "")
            yield named[0], "labels_median", named[1], reach.of, median
            yield named[0], "labels_reached", named[1], reach.of, (str(reach.reached), "", "")
            if reach.saved is not None:
                saved = _estimate(reach.saved)
                yield named[0], "labels_saved_percent", named[1], reach.saved.n, saved
        for part, seconds in row.seconds.items():
            yield row.strategy, "seconds", part, row.seeds, (_number(seconds), "", "")


def difference_rows(report: Report) -> Rows:
    """Yield the lines of `differences.csv`; the noise floor is the one of `random_again`."""
    yield (
        *("comparison", "strategy", "baseline", "seeds", "mean", "low", "high", "p", "p_holm"),
        *("wilcoxon_p", "wilcoxon_least", "seeds_needed", "settled"),
    )
    for comparison in report.comparisons:
        floor = [] if comparison.noise_floor is None else [comparison.noise_floor]
        for each in (*comparison.differences, *floor):
            yield (
                *(comparison.title, each.strategy, each.baseline, each.estimate.n),
                *_estimate(each.estimate),
                *map(_number, (each.p, each.p_holm, each.wilcoxon_p, each.wilcoxon_least)),
                *("" if each.seeds_needed is None else each.seeds_needed, int(each.settled)),
            )


def _estimate(estimate: Estimate) -> tuple[str, str, str]:
    return _number(estimate.mean), _number(estimate.low), _number(estimate.high)


def _number(value: float | None) -> str:
    """Write a number so that it reads back exactly."""
    return "" if value is None or not math.isfinite(value) else repr(value)
