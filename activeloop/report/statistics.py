"""What a handful of seeds can tell: intervals, paired tests, and the seeds that would settle it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from activeloop.report.document import Estimate

Floats = npt.NDArray[np.float64]

LEVEL = 0.05
# Differences are rounded to so many digits of the largest value: more is the noise of float64.
DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Values against a baseline's, pair by pair.

    Attributes:
        estimate: of value minus baseline.
        p: two-sided, of the paired t test; None with fewer than two pairs.
        wilcoxon_p: two-sided and exact, of Wilcoxon's signed rank test; None likewise.
        wilcoxon_least: the least `wilcoxon_p` that so many pairs can have; None likewise.
        seeds_needed: see `seeds_needed`.
    """

    estimate: Estimate
    p: float | None
    wilcoxon_p: float | None
    wilcoxon_least: float | None
    seeds_needed: int | None


def estimate(values: npt.ArrayLike) -> Estimate:
    """Return the mean of `values` `[n]`, one a seed, with its 95% interval by Student's t.

    Equal values have an interval of width 0, a single one has none. The mean is NaN, without an
    interval, where there is no value, or one that is not finite.
    """
    # Sorted, so that the seeds' order does not show in the last digit.
    numbers = np.sort(np.asarray(values, np.float64))
    n = len(numbers)
    if n == 0 or not np.isfinite(numbers).all():
        return Estimate(mean=math.nan, low=None, high=None, n=n)
    mean, deviation = _moments(numbers)
    if n == 1:
        return Estimate(mean=mean, low=None, high=None, n=1)
    half = float(special.stdtrit(n - 1, 1 - LEVEL / 2)) * deviation / math.sqrt(n)
    return Estimate(mean=mean, low=mean - half, high=mean + half, n=n)


def within(estimate: Estimate, low: float, high: float) -> Estimate:
    """Return an estimate whose interval is cut to `low` to `high`, where the mean must lie.

    What is cut off cannot hold the mean: the interval covers it as often as before. A percentile
    bootstrap would stay inside too, but is too narrow for the three to ten seeds that there are.
    """
    if estimate.low is None or estimate.high is None:
        return estimate
    return replace(estimate, low=max(estimate.low, low), high=min(estimate.high, high))


def paired(values: npt.ArrayLike, baseline: npt.ArrayLike) -> Paired:
    """Compare `values` `[n]` with those of a baseline, `[n]`: the same position, the same seed.

    Raises:
        ValueError: they differ in number.
    """
    each = paired_differences(values, baseline)
    return Paired(
        estimate=estimate(each),
        p=t_test(each),
        wilcoxon_p=wilcoxon(each),
        wilcoxon_least=None if len(each) < 2 else 2.0 ** (1 - len(each)),
        seeds_needed=seeds_needed(each),
    )


def paired_differences(values: npt.ArrayLike, baseline: npt.ArrayLike) -> Floats:
    """Return value minus baseline, `[n]`, rid of what float64 adds to decimal numbers.

    Without that 0.3 - 0.2 and 0.4 - 0.3 would be no tie, and 0.1 + 0.2 - 0.3 would not be 0.

    Raises:
        ValueError: they differ in number.
    """
    ours, theirs = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    if ours.ndim != 1 or ours.shape != theirs.shape:
        raise ValueError(
            "values and baseline must be one-dimensional and of one length, got shapes "
            f"{ours.shape} and {theirs.shape}"
        )
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return np.full(len(ours), math.nan)
    scale = float(max(np.abs(ours).max(initial=0), np.abs(theirs).max(initial=0)))
    if scale == 0:
        return np.zeros(len(ours))
    # 10**309 would overflow.
    return np.round(ours - theirs, min(308, DIGITS - math.ceil(math.log10(scale))))


def t_test(differences: npt.ArrayLike) -> float | None:
    """Return the two-sided p of the paired t test; None with fewer than two pairs.

    Where all differences are equal, t has no denominator: p is 1 if they are 0, else 0. None, too,
    where one is not finite.
    """
    each = np.asarray(differences, np.float64)
    if len(each) < 2 or not np.isfinite(each).all():
        return None
    mean, deviation = _moments(each)
    if deviation == 0:
        return 1.0 if mean == 0 else 0.0
    t = mean / (deviation / math.sqrt(len(each)))
    return 2 * float(special.stdtr(len(each) - 1, -abs(t)))


def wilcoxon(differences: npt.ArrayLike) -> float | None:
    """Return the two-sided p of the signed rank test (Wilcoxon 1945); None as for `t_test`.

    Exact with ties too, by all ways to give the ranks their signs. Differences of 0 are left out,
    as Wilcoxon did; where all are 0, p is 1.
    """
    each = np.asarray(differences, np.float64)
    if len(each) < 2 or not np.isfinite(each).all():
        return None
    each = each[each != 0]
    # Tied ranks are halves: twice the rank is whole.
    ranks = (2 * stats.rankdata(np.abs(each))).astype(np.int64)
    chances = np.zeros(int(ranks.sum()) + 1)
    chances[0] = 1
    for rank in ranks:
        # What np.roll brings round is 0: no sum so far reaches the last `rank` places.
        chances = (chances + np.roll(chances, rank)) / 2
    positive = int(ranks[each > 0].sum())
    tail = chances[: min(positive, len(chances) - 1 - positive) + 1].sum()
    return min(1.0, 2 * float(tail))


def holm(ps: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return each p corrected for their number (Holm 1979), in the order given.

    None stays None and is not counted.
    """
    corrected: list[float | None] = [None] * len(ps)
    ascending = sorted((p, position) for position, p in enumerate(ps) if p is not None)
    before = 0.0
    for rank, (p, position) in enumerate(ascending):
        before = max(before, min(1.0, (len(ascending) - rank) * p))
        corrected[position] = before
    return tuple(corrected)


def seeds_needed(differences: npt.ArrayLike) -> int | None:
    """Return how many pairs would show a difference like this one with 80% power.

    n = 7.85 / d^2 + 2 for a two-sided t test at 5%, d the mean over the standard deviation of the
    paired differences: an approximation, and not corrected for further comparisons. At least 2,
    which a t test needs. None where the mean is 0, or with fewer than two finite differences.
    """
    each = np.asarray(differences, np.float64)
    if len(each) < 2 or not np.isfinite(each).all():
        return None
    mean, deviation = _moments(each)
    return None if mean == 0 else math.ceil(7.85 * (deviation / mean) ** 2 + 2)


def _moments(values: Floats) -> tuple[float, float]:
    """Return mean and standard deviation; of equal values exactly that value, and exactly 0."""
    deviation = float((values - values[0]).std(ddof=1)) if len(values) > 1 else 0.0
    # The exact sum: values that cancel each other have a mean of 0, not of 1e-18.
    return math.fsum(values) / len(values) if deviation else float(values[0]), deviation
