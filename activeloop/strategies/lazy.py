"""Lazy greedy: pick the highest of many gains that can only fall, computing few of them again.

Minoux, Accelerated Greedy Algorithms for Maximizing Submodular Set Functions, 1978.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from activeloop.strategies.coverage import Coverage, references_of
from activeloop.strategies.kernels import Kernel
from activeloop.types import Context, Indices, Picks, Scores

_log = logging.getLogger("activeloop.strategies")

# Candidates computed again at a time, at first and at most.
_FEWEST, _MOST = 64, 4096


class Lazy:
    """Values that can only fall, computed again where it matters which is highest.

    Args:
        values: of the candidates, exact, at least 0, `[n]`.
        compute: exact values of candidates as they are now.
        rng: breaks ties.
    """

    def __init__(
        self, values: Scores, compute: Callable[[Indices], Scores], rng: np.random.Generator
    ) -> None:
        self.values = values
        self._compute = compute
        self._exact = np.ones(len(values), bool)
        self._taken = np.zeros(len(values), bool)
        self._noise = rng.random(len(values))
        self._keys = self._distinct(values)
        # The highest when they were last sorted out, and the highest of all others then.
        self._leaders, self._floor = np.empty(0, np.int64), np.inf
        self._everyone = np.arange(len(values))

    def best(self, key: Callable[[Scores], Scores] | None = None) -> int:
        """Return the candidate of the highest `key(values)`, which must grow with the values."""
        size = _FEWEST
        while True:
            if key is None:
                among = self._led()
                keys = self._keys[among]
            else:
                among, keys = self._everyone, self._distinct(key(self.values))
                keys[self._taken] = -np.inf
            first = int(among[keys.argmax()])
            # 0 bounds what is at least 0.
            if self._exact[first] or self.values[first] == 0:
                return first
            top = among[np.argpartition(keys, -min(size, len(keys)))[-size:]]
            stale = top[~self._exact[top] & ~self._taken[top]]
            self.values[stale], self._exact[stale] = self._compute(stale), True
            self._keys[stale] = self._distinct(self.values[stale], stale)
            size = min(2 * size, _MOST)

    def take(self, position: int) -> None:
        """Take a candidate out: all other values are upper bounds from here on."""
        self._exact[:] = False
        self._taken[position], self._keys[position] = True, -np.inf

    def rest(self) -> Indices:
        """Return the candidates that are left."""
        return np.flatnonzero(~self._taken)

    def _distinct(self, values: Scores, positions: Indices | None = None) -> Scores:
        """Return values whose ties are broken: by too little to outweigh a count, or a gain."""
        noise = self._noise if positions is None else self._noise[positions]
        distinct: Scores = values * (1 + 5e-7 * noise) + 1e-12 * noise
        return distinct

    def _led(self) -> Indices:
        """Return candidates of which one has the highest value: few, so that a pick is cheap."""
        if not len(self._leaders) or self._keys[self._leaders].max() < self._floor:
            size = min(_MOST, len(self._keys))
            order = np.argpartition(self._keys, -size)
            self._leaders = order[-size:]
            self._floor = float(self._keys[order[:-size]].max(initial=-np.inf))
        return self._leaders


def greedy(coverage: Coverage, k: int, rng: np.random.Generator) -> tuple[Indices, Scores]:
    """Return the positions of `k` candidates and their gains, each the best after the last.

    Where nothing is left to gain, the rest is drawn at random.
    """
    lazy = Lazy(coverage.all_gains(), coverage.gains, rng)
    chosen, gains = np.empty(k, np.int64), np.zeros(k)
    for step in range(k):
        chosen[step] = lazy.best()
        gains[step] = lazy.values[chosen[step]]
        if gains[step] <= 0:
            _log.info("all is covered after %d of %d picks: the rest is random", step, k)
            chosen[step:] = rng.choice(lazy.rest(), k - step, replace=False)
            break
        lazy.take(int(chosen[step]))
        coverage.take(int(chosen[step]))
    return chosen, gains


def covering(
    context: Context,
    points: Tensor,
    kernel: Kernel,
    *,
    weights: Tensor | None = None,
    references: int | None = None,
) -> Picks:
    """Return greedy picks that cover the unlabelled, and their gains as means over references.

    Where the references are a sample, the gain on as many others is logged beside theirs.

    Args:
        context: what there is to choose from.
        points: of the unlabelled, then of the labelled, from `placed`, `[U + L, D + 2]`.
        kernel: similarity of two samples.
        weights: of the unlabelled, `[U]`, not negative; None: 1 each.
        references: how many of the unlabelled are to be covered, see `references_of`.
    """
    n, rng = len(context.unlabelled), context.rng
    among = references_of(n, references, points.shape[1] - 2, rng)

    def measured_on(positions: Indices) -> Coverage:
        some = torch.from_numpy(positions).to(points.device)
        mass = None if weights is None else weights[some]
        coverage = Coverage(points[:n], positions, kernel, mass)
        coverage.cover(points[n:])
        return coverage

    picks, gains = greedy(measured_on(among), context.k, rng)
    gains /= len(among)
    if len(others := others_than(among, n, rng)):
        log_gap(gains.sum(), among, measured_on(others).gained(picks) / len(others), others)
    return Picks(context.unlabelled[picks], gains)


def others_than(among: Indices, n: int, rng: np.random.Generator) -> Indices:
    """Return as many of `n` positions as are `among` them, others, to measure a gap on."""
    rest = np.delete(np.arange(n), among)
    return rng.choice(rest, min(len(rest), len(among)), replace=False)


def log_gap(gained: float, among: Indices, other: float, others: Indices) -> None:
    """Log what the references say that picks cover more, beside what others than they say."""
    _log.info(
        "coverage gained, measured on %d references: %.4g; on %d others: %.4g",
        *(len(among), gained, len(others), other),
    )
