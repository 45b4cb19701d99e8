"""Strategies against each other over data sets: the penalty matrix and mean ranks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
from scipy import stats

from activeloop.report.document import Penalties, Ranks
from activeloop.report.statistics import LEVEL, Floats, paired_differences, t_test

# A metric's value by seed, by label count, by strategy: what one data set contributes.
Values = Mapping[str, Mapping[int, Mapping[int, float]]]


def penalty_matrix(data_sets: Iterable[Values], *, least_seeds: int = 2) -> Penalties | None:
    """Return the pairwise penalty matrix of Ash et al. (2020, BADGE); None if none was tested.

    At each label count where two strategies have `least_seeds` seeds in common, a two-sided paired
    t test at 5%, uncorrected; the one that is significantly worse takes a penalty. A difference
    that is the same with every seed, and not 0, counts as significant. A data set's penalties are
    divided by the number of its label counts at which any two strategies were tested, so that each
    entry gets at most 1 from each data set.

    How to read it: `matrix[i][j]` counts how often i **loses** to j. A row shows what its strategy
    loses to others, so the best strategy has the row with the lowest mean; a column shows how often
    others lose to its strategy. The paper's matrix is the transpose: there entry i, j counts how
    often i beats j, and the mean below each column is what is to be low.

    Args:
        data_sets: for each, by strategy, label count and seed, a metric of which more is better. A
            strategy that is not in all of them has penalties from fewer.
        least_seeds: at least 2.
    """
    data_sets = list(data_sets)
    strategies = tuple(dict.fromkeys(name for values in data_sets for name in values))
    each = [_penalties(values, strategies, max(2, least_seeds)) for values in data_sets]
    tested = [matrix for matrix in each if matrix is not None]
    if not tested:
        return None
    matrix = sum(tested, np.zeros((len(strategies), len(strategies))))
    return Penalties(
        strategies=strategies,
        matrix=tuple(tuple(float(entry) for entry in row) for row in matrix),
        data_sets=len(tested),
    )


def _penalties(values: Values, strategies: tuple[str, ...], least_seeds: int) -> Floats | None:
    lost = np.zeros((len(strategies), len(strategies)))
    tested = set()
    for i, j in combinations(range(len(strategies)), 2):
        ours, theirs = values.get(strategies[i], {}), values.get(strategies[j], {})
        for labels in ours.keys() & theirs.keys():
            seeds = sorted(ours[labels].keys() & theirs[labels].keys())
            if len(seeds) < least_seeds:
                continue
            tested.add(labels)
            differences = paired_differences(
                [ours[labels][seed] for seed in seeds], [theirs[labels][seed] for seed in seeds]
            )
            p = t_test(differences)
            if p is not None and p < LEVEL:
                loser, winner = (i, j) if differences.mean() < 0 else (j, i)
                lost[loser, winner] += 1
    return lost / len(tested) if tested else None


def ranks(areas: Mapping[str, Mapping[str, float]]) -> Ranks | None:
    """Return mean ranks over data sets, 1 is best, with Nemenyi's critical difference.

    Two strategies whose mean ranks differ by less than the critical difference are not told apart
    at 5%; that difference means something only where Friedman's test rejects that all are equal
    (Demsar 2006). Ties share the mean of their ranks.

    Args:
        areas: by data set and strategy, a number of which more is better. Strategies that are not
            in every data set are left out.

    Returns:
        Strategies by mean rank; None with fewer than two data sets or strategies. Friedman's p is
        None with two strategies, for which the test is not made.
    """
    if len(areas) < 2:
        return None
    first, *others = areas.values()
    strategies = [name for name in first if all(name in other for other in others)]
    k, n = len(strategies), len(areas)
    if k < 2:
        return None
    values = np.array([[each[name] for name in strategies] for each in areas.values()])
    by_data_set = stats.rankdata(-values, axis=1)
    means = by_data_set.mean(axis=0)
    order = np.argsort(means, kind="stable")
    q = float(stats.studentized_range.ppf(1 - LEVEL, k, math.inf)) / math.sqrt(2)
    return Ranks(
        strategies=tuple(strategies[i] for i in order),
        ranks=tuple(float(means[i]) for i in order),
        data_sets=tuple(areas),
        critical_difference=q * math.sqrt(k * (k + 1) / (6 * n)),
        friedman_p=_friedman(by_data_set),
    )


def _friedman(by_data_set: Floats) -> float | None:
    if by_data_set.shape[1] < 3:
        return None
    if np.ptp(by_data_set) == 0:
        return 1.0
    return float(stats.friedmanchisquare(*by_data_set.T).pvalue)
