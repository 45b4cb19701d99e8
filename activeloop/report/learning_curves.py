"""Numbers of a learning curve: its area, and the labels that it takes to reach a target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt

from activeloop.report.document import Estimate, Reach
from activeloop.report.statistics import Floats, estimate, within


def area(labels: npt.ArrayLike, values: npt.ArrayLike, low: float, high: float) -> float:
    """Return the area under a curve from `low` to `high` labels, divided by the width.

    So it is the mean of the values, in their unit, over a range that all compared runs must share.
    Trapezoids; where the range ends between two rounds, the value there is interpolated. A range
    of width 0 gives the value at that point.

    Args:
        labels: of each round, `[R]`; of rounds with the same number the last counts.
        values: the metric, `[R]`.
        low, high: the range, in labels.

    Raises:
        ValueError: the range is empty or reaches beyond the curve, or this is no curve.
    """
    x, y = _curve(labels, values)
    if not x[0] <= low <= high <= x[-1]:
        raise ValueError(
            f"the area's range must lie within the curve's {x[0]:g} to {x[-1]:g} labels, got "
            f"{low:g} to {high:g}"
        )
    knots = np.concatenate([[low], x[(x > low) & (x < high)], [high]])
    heights = np.interp(knots, x, y)
    if low == high:
        return float(heights[0])
    return float(np.trapezoid(heights, knots)) / (high - low)


def labels_to_reach(labels: npt.ArrayLike, values: npt.ArrayLike, target: float) -> float | None:
    """Return after how many labels a curve first reaches `target`; None if it never does.

    Linearly interpolated between the last round below and the first at or above it; the labels of
    the first round where that is there already, which is then an upper bound.

    Raises:
        ValueError: this is no curve.
    """
    x, y = _curve(labels, values)
    reached = np.flatnonzero(y >= target)
    if len(reached) == 0:
        return None
    first = int(reached[0])
    if first == 0:
        return float(x[0])
    around = slice(first - 1, first + 1)
    return float(np.interp(target, y[around], x[around]))


def median_labels(labels: Sequence[float | None]) -> float | None:
    """Return the median over seeds of the labels to a target, or None.

    Seeds that never got there (None) count as more than any other, so that the median is known as
    long as they are fewer than half.
    """
    if not labels:
        return None
    middle = float(np.median([math.inf if each is None else each for each in labels]))
    return middle if math.isfinite(middle) else None


def labels_saved(
    labels: Mapping[int, float | None],
    baseline: Mapping[int, float | None],
    between: tuple[float, float] = (0, math.inf),
) -> Estimate | None:
    """Return the percentage of the baseline's labels that a strategy saves, paired by seed.

    Args:
        labels: to the target, by seed; None where it was not reached.
        baseline: the baseline's.
        between: the fewest and the most labels that the strategy had: it cannot save more, or less.

    Returns:
        Over the seeds where both got there, negative where the strategy needs more; None where no
        seed is left. The seeds left out are no random ones: read it with the share that got there.
    """
    pairs = [
        (ours, theirs)
        for seed, ours in labels.items()
        if ours is not None and (theirs := baseline.get(seed))
    ]
    if not pairs:
        return None
    most, least = (fmean(100 * (1 - end / theirs) for _, theirs in pairs) for end in between)
    return within(estimate([100 * (1 - ours / theirs) for ours, theirs in pairs]), least, most)


def reach(
    target: float,
    labels: Mapping[int, float | None],
    baseline: Mapping[int, float | None] | None = None,
    between: tuple[float, float] = (0, math.inf),
) -> Reach:
    """Return what a report says of one strategy and one target.

    Args:
        target: the value to reach.
        labels: to the target, by seed; None where it was not reached.
        baseline: the baseline's; None where there is none, or for the baseline itself.
        between: the fewest and the most labels that some seed had.
    """
    there = [each for each in labels.values() if each is not None]
    return Reach(
        target=target,
        reached=len(there),
        of=len(labels),
        labels=within(estimate(there), *between) if labels and len(there) == len(labels) else None,
        median=median_labels(list(labels.values())),
        saved=None if baseline is None else labels_saved(labels, baseline, between),
    )


def _curve(labels: npt.ArrayLike, values: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return both by ascending labels, of rounds with the same number of labels the last."""
    x, y = np.asarray(labels, np.float64), np.asarray(values, np.float64)
    if x.ndim != 1 or x.shape != y.shape or len(x) == 0:
        raise ValueError(
            "a curve needs as many values as label counts, at least one, got shapes "
            f"{x.shape} and {y.shape}"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a curve's label counts and values must be finite")
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    last = np.append(x[1:] != x[:-1], True)
    return x[last], y[last]
