"""Which picks strategies have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from activeloop.report.document import Overlap
from activeloop.report.picks import ByStrategy


def overlap(picks: ByStrategy, pool_size: int | None) -> Overlap:
    """Return the share of picks that strategies have in common, seed by seed, then the mean.

    NaN for two strategies that share no seed: their runs started from other labels. By chance two
    strategies that pick `k` out of the same `U` unlabelled samples share `k / U` of them; NaN
    where the size of the pool is not known.
    """
    names = tuple(picks)
    chosen = {
        name: {seed: {a.key for a in p.asked} for seed, p in picks[name].items()} for name in names
    }
    matrix = tuple(tuple(_common(chosen[a], chosen[b]) for b in names) for a in names)
    return Overlap(strategies=names, matrix=matrix, chance=_chance(picks, pool_size))


def _common(one: Mapping[int, set[str]], other: Mapping[int, set[str]]) -> float:
    seeds = sorted(one.keys() & other.keys())
    shares = [len(one[seed] & other[seed]) / len(one[seed]) for seed in seeds]
    return float(np.mean(shares)) if shares else math.nan


def _chance(picks: ByStrategy, pool_size: int | None) -> float:
    if pool_size is None:
        return math.nan
    runs = [p for seeds in picks.values() for p in seeds.values()]
    initial = np.mean([sum(a.round == 0 for a in p.run.queries) for p in runs])
    return float(len(runs[0].asked) / (pool_size - initial))
