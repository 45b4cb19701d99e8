"""k-means++ seeding, exactly, from few passes over the rows.

Each seed is drawn with probability proportional to its weight: the squared distance to the nearest
seed so far. Updating every weight after every seed costs a pass over all rows per
seed. Here weights may be stale: they know the first seeds only, so that they bound the true
weights from above. A row is drawn by its stale weight and accepted with probability true / stale,
else another is drawn.

That is exact. One trial accepts row i with probability stale_i / S * true_i / stale_i = true_i / S,
where S is the sum of the stale weights: proportional to true_i whatever the bounds are. Trials are
independent given the seeds so far, so the row that is accepted first, whichever trial that is, has
probability true_i / (sum of true). When the bounds are renewed depends on the past only, never on
a draw to come. So many rows can be drawn at once from one set of bounds and tried in turn, and
the seeds that come out of them brought into the bounds by one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.strategies.rows import slices
from activeloop.types import Indices, Scores

# Seeds between two renewals of the bounds at most, and rows drawn for each.
_BLOCK, _DRAWN = 64, 4

# Squared distances below this share of a row's squared length are noise of float32 products.
_NOISE = 1e-6


class Points(Protocol):
    """What seeds are drawn from: points of any space that has distances.

    Attributes:
        lengths: their squared lengths, `[n]` float32.
    """

    lengths: Tensor

    def squared(self, part: slice | Tensor, others: Tensor) -> Tensor:
        """Return squared distances of a part `[m]` to the points at positions `[s]`: `[m, s]`."""

    def parts(self, columns: int) -> Iterator[slice]:
        """Yield slices over all points, such that `squared` to `columns` others stays small."""


class Euclidean:
    """Rows of a matrix `[n, D]` float32 as points. Centred rows round less."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.lengths = torch.empty(len(x), device=x.device)
        for part in self.parts(x.shape[1]):
            self.lengths[part] = x[part].square().sum(dim=1)

    def squared(self, part: slice | Tensor, others: Tensor) -> Tensor:
        """Return squared distances `[m, s]`; see `Points`."""
        apart = torch.addmm(self.lengths[others], self.x[part], self.x[others].T, alpha=-2)
        return apart.add_(self.lengths[part, None]).clamp_(min=0)

    def parts(self, columns: int) -> Iterator[slice]:
        """Yield slices over all points; see `Points`."""
        return slices(len(self.x), 4 * (2 * columns + self.x.shape[1]))


@dataclass(frozen=True)
class Seeds:
    """Positions of the seeds `[k]`, and their squared distances when drawn `[k]`."""

    positions: Indices
    squared: Scores


def plus_plus(points: Points, first: int, k: int, rng: np.random.Generator) -> Seeds:
    """Draw `k` distinct points by k-means++, the first being given.

    When all that is left coincides with a seed, the rest is drawn uniformly. O(n k) distances.

    Paper: Arthur and Vassilvitskii, k-means++: The Advantages of Careful Seeding, SODA 2007.

    Args:
        points: at least `k`.
        first: the first seed's position.
        k: how many, at least 1.
        rng: draws.
    """
    size = len(points.lengths)
    seeds, squared = [first], [math.inf]
    bounds = torch.full_like(points.lengths, math.inf)
    known = 0
    while len(seeds) < k:
        _renew(bounds, points, seeds[known:])
        known = len(seeds)
        sums = bounds.cumsum(dim=0, dtype=torch.float64)
        if float(sums[-1]) <= 0:
            seeds += _others(size, seeds, k - known, rng)
            squared += [0.0] * (k - known)
            break
        wanted = min(_BLOCK, known, k - known)
        drawn = _drawn(sums, _DRAWN * wanted, rng)
        for at, true in _accepted(points, drawn, bounds[drawn], wanted, rng):
            seeds.append(at)
            squared.append(true)
    return Seeds(np.array(seeds, np.int64), np.array(squared))


def _renew(bounds: Tensor, points: Points, seeds: list[int]) -> None:
    """Bring the squared distance to the nearest of `seeds` into the bounds."""
    others = torch.tensor(seeds, device=bounds.device)
    for part in points.parts(len(seeds)):
        nearest = torch.minimum(bounds[part], points.squared(part, others).amin(dim=1))
        bounds[part] = nearest.where(nearest > _NOISE * points.lengths[part], 0)
    bounds[others] = 0


def _accepted(
    points: Points, drawn: Tensor, stale: Tensor, wanted: int, rng: np.random.Generator
) -> Iterator[tuple[int, float]]:
    """Try the drawn rows in turn, and yield the accepted ones and their weights."""
    apart: npt.NDArray[np.float32] = points.squared(drawn, drawn).cpu().numpy()
    rows: Indices = drawn.cpu().numpy()
    bounds: npt.NDArray[np.float32] = stale.cpu().numpy()
    true = bounds.copy()
    heights = rng.random(len(rows)) * bounds
    start = 0
    for _ in range(wanted):
        passed = heights[start:] < true[start:]
        if not passed.any():
            return
        at = start + int(passed.argmax())
        yield int(rows[at]), float(true[at])
        true = np.minimum(true, apart[:, at])
        true[rows == rows[at]] = 0
        start = at + 1


def _drawn(sums: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Draw positions with replacement by the running sums of their weights."""
    chances = torch.from_numpy(rng.random(count)).to(sums.device)
    return torch.searchsorted(sums, chances * sums[-1], right=True).clamp_(max=len(sums) - 1)


def _others(size: int, seeds: list[int], count: int, rng: np.random.Generator) -> list[int]:
    """Draw `count` positions that are not in `seeds`, uniformly."""
    drawn: list[int] = rng.choice(
        np.setdiff1d(np.arange(size), seeds), count, replace=False
    ).tolist()
    return drawn


def greedy_plus_plus(x: Tensor, weights: Tensor, k: int, rng: np.random.Generator) -> Indices:
    """Draw `k` seeds for weighted k-means of the rows of `x` by greedy k-means++: positions `[k]`.

    Of 2 + log k draws the one is kept that brings the weighted sum of squared distances down most,
    which ends nearer to the optimum than single draws (Arthur and Vassilvitskii, 2007). This needs
    every distance after every seed. O(n k D log k) time.
    """
    lengths = Euclidean(x).lengths
    seeds = [int(_drawn(weights.cumsum(dim=0, dtype=torch.float64), 1, rng))]
    tried = torch.tensor(seeds, device=x.device)
    # Squared distances to the nearest seed, less the row's own squared length.
    nearest = torch.full_like(lengths, math.inf)
    while True:
        after = torch.empty(len(x), len(tried), device=x.device)
        others = x[tried].T.contiguous()
        for part in slices(len(x), 4 * (len(tried) + x.shape[1])):
            torch.addmm(lengths[tried], x[part], others, alpha=-2, out=after[part])
        torch.minimum(after, nearest[:, None], out=after)
        best = int((weights @ after).argmin())
        nearest = after[:, best].contiguous()
        if len(tried) > 1:
            seeds.append(int(tried[best]))
        if len(seeds) == k:
            return np.array(seeds, np.int64)
        left = nearest + lengths
        left = (weights * left).where(left > _NOISE * lengths, 0)
        left[seeds] = 0
        sums = left.cumsum(dim=0, dtype=torch.float64)
        if float(sums[-1]) <= 0:
            return np.array(seeds + _others(len(x), seeds, k - len(seeds), rng), np.int64)
        tried = _drawn(sums, 2 + int(math.log(k)), rng)
