"""Greedy k-center: the core-set of Sener and Savarese, exactly, from few distances."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from activeloop.strategies.base import needs
from activeloop.strategies.rows import Rows, slices
from activeloop.strategies.spaces import Space, vectors
from activeloop.types import Context, Picks

# Every row is compared with this many labelled samples; with the others only if it could be the
# farthest.
_FIRST = 64
# Rows that are kept up to date together: this share of the pool, in these bounds.
_SHARE, _FEWEST, _MOST = 64, 2048, 16384


@needs("features")
def k_center(context: Context, *, space: Space = "features") -> Picks:
    """Farthest from everything labelled or picked first (core-set, greedy k-center).

    The largest Euclidean distance to the nearest labelled or picked sample, again and again: at
    most twice the least radius that k balls can cover the pool with. Exact but for float32. With
    nothing labelled the first pick is drawn at random, as usual; its score is infinite. The score
    of a pick is its distance when it was picked. The paper's mixed integer program, which improves
    on the greedy picks, is left out, as its authors do where they compare.

    Paper: Sener and Savarese, Active Learning for Convolutional Neural Networks, ICLR 2018.
    Budget: any; it covers outliers too.
    Time: O(U (L + k) D) at most, in practice a small part of it.
    Memory: O(U D).
    """
    rows = Rows(vectors(context, space), context.unlabelled, context.memory_limit, centred=True)
    labelled = torch.from_numpy(context.labelled).to(rows.device)
    search = _Farthest(rows, rows.like(vectors(context, space)[labelled]), context.k, context.rng)
    chosen, distances = search.run()
    return Picks(context.unlabelled[chosen], distances)


class _Farthest:
    """Farthest-first traversal.

    A stored distance is to the nearest of the first `known` centres only. More centres can only
    bring it down, so that it bounds the true one from above. A group of rows with the highest
    bounds is brought up to date; while the farthest of the group is at least as far as any bound
    outside, it is the farthest of all, and is picked without a look at the other rows.
    """

    def __init__(self, rows: Rows, labelled: Tensor, k: int, rng: np.random.Generator) -> None:
        self.rows, self.k, self.rng = rows, k, rng
        self.picked: list[int] = []
        self.squared: list[float] = []
        self.count = len(labelled)
        self.centres = torch.empty(self.count + k, rows.width, device=rows.device)
        self.centres[: self.count] = labelled
        self.lengths = self.centres.square().sum(dim=1)
        self.bounds = torch.full((len(rows),), math.inf, device=rows.device)
        self.known = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        """Return `k` positions and their distances when they were picked."""
        if self.count == 0 and self.k:
            self._pick(int(self.rng.integers(len(self.rows))), math.inf, self.rows)
        self._first_bounds()
        while len(self.picked) < self.k:
            group, outside = self._group()
            self._refresh(group)
            self._pick_from(group, outside)
        return np.array(self.picked, np.int64), np.sqrt(np.array(self.squared))

    def _first_bounds(self) -> None:
        some = min(self.count, _FIRST)
        for part in self.rows.parts(4 * (2 * some + self.rows.width)):
            self.bounds[part] = self._nearest(self.rows[part], 0, some)
        self.known[:] = some
        self.bounds[self.picked] = -1

    def _group(self) -> tuple[Tensor, float]:
        """Return the rows of the highest bounds, and the highest bound outside, or -infinity."""
        size = min(max(len(self.rows) // _SHARE, _FEWEST), _MOST)
        if len(self.rows) <= size:
            return torch.arange(len(self.rows), device=self.rows.device), -math.inf
        least = self.bounds.topk(size, sorted=False).values.min()
        above = (self.bounds > least).nonzero()[:, 0]
        tied = (self.bounds == least).nonzero()[:, 0]
        if len(above) + len(tied) > size:  # by chance, not by position
            drawn = self.rng.choice(len(tied), size - len(above), replace=False)
            tied = tied[torch.from_numpy(drawn).to(tied.device)]
        return torch.cat([above, tied]), float(least)

    def _refresh(self, group: Tensor) -> None:
        """Compare the rows of a group with the centres that they were not yet compared with."""
        stale = group[(self.known[group] < self.count) & (self.bounds[group] >= 0)]
        if len(stale) == 0:
            return
        first = int(self.known[stale].min())
        for part in slices(len(stale), 4 * (2 * (self.count - first) + self.rows.width)):
            some = stale[part]
            nearest = self._nearest(self.rows[some], first, self.count)
            self.bounds[some] = torch.minimum(self.bounds[some], nearest)
        self.known[stale] = self.count

    def _nearest(self, x: Tensor, first: int, last: int) -> Tensor:
        """Return the squared distance of each row of `x` to the nearest of some centres."""
        products = torch.addmm(self.lengths[first:last], x, self.centres[first:last].T, alpha=-2)
        return (products.amin(dim=1) + x.square().sum(dim=1)).clamp_(min=0)

    def _pick_from(self, group: Tensor, outside: float) -> None:
        """Pick from a group that is up to date while its farthest is the farthest of all."""
        x = self.rows[group]
        lengths = x.square().sum(dim=1)
        bounds = self.bounds[group]
        while len(self.picked) < self.k:
            farthest, at = bounds.max(dim=0)
            squared = float(farthest)
            if squared < outside:
                break
            tied = (bounds == farthest).nonzero()[:, 0]
            position = int(at) if len(tied) == 1 else int(tied[self.rng.integers(len(tied))])
            centre = x[position]
            self._pick(int(group[position]), squared, centre)
            distances = torch.addmv(lengths + lengths[position], x, centre, alpha=-2)
            torch.minimum(bounds, distances.clamp_(min=0), out=bounds)
            bounds[position] = -1
        self.bounds[group] = bounds
        self.known[group] = self.count

    def _pick(self, row: int, squared: float, centre: Tensor | Rows) -> None:
        vector = centre if isinstance(centre, Tensor) else centre[torch.tensor([row])][0]
        self.picked.append(row)
        self.squared.append(squared)
        self.centres[self.count] = vector
        self.lengths[self.count] = vector.square().sum()
        self.count += 1
