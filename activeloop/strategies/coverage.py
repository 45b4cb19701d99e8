"""Greedy coverage: pick what adds most to sum_j w_j max_l K(l, j), over references j, picks l.

With K = 1 in a ball and 0 outside this is ProbCover, with a Gaussian MaxHerding, and with
uncertainties for weights UHerding. The sum is submodular: a gain computed earlier bounds the gain
now, so that only the candidates at the top are computed again (lazy greedy), and no kernel matrix
is ever kept.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import whole
from activeloop.memory import rows_at_a_time
from activeloop.types import Indices, Scores

_log = logging.getLogger("activeloop.strategies")

# Pools up to the first size are their own references; of larger ones the second many are drawn.
_ALL_UP_TO = 100_000
_SAMPLED = 20_000

# Rows and columns of a product at a time: it stays in the cache.
BLOCK = 1024

# Candidates computed again at a time, at first and at most.
_FEWEST, _MOST = 64, 4096

# Products of two vectors a second and a thread, times their length; and what is slow.
_SPEED = 4e10
_SLOW_SECONDS = 120


@dataclass(frozen=True)
class Kernel:
    """A similarity in [0, 1] that falls with the distance.

    Attributes:
        values: from -d^2 / 2, which may be overwritten, to similarities.
        reach: the distance from which on no similarity is above the given one.
    """

    values: Callable[[Tensor], Tensor]
    reach: Callable[[float], float]


def ball(radius: float) -> Kernel:
    """Return the kernel that is 1 at distances below `radius`, else 0."""
    threshold = -0.5 * radius * radius
    return Kernel(lambda halves: halves.gt_(threshold), lambda best: radius)


def gaussian(radius: float) -> Kernel:
    """Return the kernel exp(-(d / radius)^2)."""
    scale = 2 / (radius * radius)

    def reach(best: float) -> float:
        return radius * math.sqrt(-math.log(best)) if best > 0 else math.inf

    return Kernel(lambda halves: halves.clamp_(max=0).mul_(scale).exp_(), reach)


def placed(x: Tensor, rows: Indices, *, normalize: bool, precise: bool = False) -> Tensor:
    """Return rows of `x` `[N, D]` such that one product of two gives their distance, `[n, D + 2]`.

    Rows are scaled to length 1 if `normalize` (zeros stay), and centred, which rounds less. Beside
    them stand -|x|^2 / 2 and 1; see `half_squares`. float64 if `precise`, else float32.
    """
    dtype = torch.float64 if precise else torch.float32
    n, width = len(rows), x.shape[1]
    points = torch.ones(n, width + 2, dtype=dtype, device=x.device)
    vectors, step = points[:, :width], rows_at_a_time(16 * width)
    for start in range(0, n, step):
        some = torch.from_numpy(rows[start : start + step]).to(x.device)
        part = x[some].to(dtype)
        if normalize:
            part = torch.nn.functional.normalize(part, dim=1)
        vectors[start : start + step] = part
    centre = vectors.mean(dim=0)
    for start in range(0, n, step):
        part = vectors[start : start + step].sub_(centre)
        points[start : start + step, width] = -0.5 * (part * part).sum(dim=1)
    return points


def half_squares(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return -|a_i - b_j|^2 / 2 of placed rows, `[len(a), len(b)]`."""
    turned = a.clone()
    turned[:, -2:] = a[:, -2:].flip(1)
    return torch.mm(turned, b.T, out=out)


class _Block:
    """References that lie close together, so that most candidates are out of their reach."""

    def __init__(self, points: Tensor, weights: Tensor, positions: Tensor) -> None:
        self.points, self.weights, self.positions = points, weights, positions
        self.best = torch.zeros_like(weights)
        self.centre = points.mean(dim=0, keepdim=True)
        self.centre[:, -2] = -0.5 * self.centre[:, :-2].square().sum()
        self.radius = math.sqrt(max(0.0, -2 * float(half_squares(points, self.centre).min())))

    def keep(self, kept: Tensor) -> None:
        self.points, self.weights = self.points[kept], self.weights[kept]
        self.positions, self.best = self.positions[kept], self.best[kept]

    def reached(self, points: Tensor, kernel: Kernel) -> Tensor | None:
        """Return which points may add to a reference of the block; None: all."""
        reach = self.radius + kernel.reach(float(self.best.min()))
        if math.isinf(reach):
            return None
        # A little more, for rounding; the triangle inequality does the rest.
        least = -0.5 * (reach * reach * (1 + 1e-4) + 1e-5)
        rows = (half_squares(points, self.centre)[:, 0] >= least).nonzero()[:, 0]
        return None if len(rows) == len(points) else rows


class Coverage:
    """How well references are covered, and what a candidate would add.

    Args:
        points: of the candidates, from `placed`, `[n, D + 2]`.
        references: positions of the references in `points`, `[r]`.
        kernel: similarity of a sample and a reference.
        weights: of the references, `[r]`, not negative; None: 1 each.
    """

    def __init__(
        self, points: Tensor, references: Indices, kernel: Kernel, weights: Tensor | None = None
    ) -> None:
        self._points, self._kernel = points, kernel
        where = _tensor(references, points.device)
        mass = torch.zeros_like(points[:, 0])
        mass[where] = torch.ones_like(mass[where]) if weights is None else weights.to(mass.dtype)
        groups = _grouped(points, where[mass[where] > 0], BLOCK)
        self._blocks = [_Block(points[rows], mass[rows], rows) for rows in groups]
        # Written over and over: fresh memory for each product would cost a quarter more time.
        self._scratch = [points.new_empty(BLOCK * BLOCK) for _ in range(2)]

    def cover(self, by: Tensor) -> None:
        """Count what the points `by` `[m, D + 2]` cover as covered."""
        self._raise(by)
        for block in self._blocks:
            uncovered = block.best < 1
            if int(uncovered.sum()) < 0.8 * len(uncovered):
                block.keep(uncovered)
        self._blocks = [block for block in self._blocks if len(block.best)]

    def take(self, position: int) -> None:
        """Count candidate `position` as picked."""
        self.cover(self._points[position : position + 1])

    def gained(self, positions: Indices) -> float:
        """Return what candidates add together, and count them as picked."""
        before = [block.best.clone() for block in self._blocks]
        self._raise(self._points[_tensor(positions, self._points.device)])
        gains = [(b.best - old) @ b.weights for b, old in zip(self._blocks, before, strict=True)]
        return float(sum(gains))

    def gains(self, positions: Indices) -> Scores:
        """Return what each candidate would add, `[len(positions)]`."""
        where = _tensor(positions, self._points.device)
        found = torch.zeros(len(where), dtype=torch.float64, device=where.device)
        for i in range(0, len(where), BLOCK):
            points, some = self._points[where[i : i + BLOCK]], found[i : i + BLOCK]
            for block in self._blocks:
                rows = block.reached(points, self._kernel)
                values = self._values(points if rows is None else points[rows], block.points)
                added = values.sub_(block.best).clamp_(min=0) @ block.weights
                some[slice(None) if rows is None else rows] += added
        return found.cpu().numpy()

    def all_gains(self) -> Scores:
        """Return the gains of all candidates, `[n]`; each pair of references is computed once."""
        found = torch.zeros(len(self._points), dtype=torch.float64, device=self._points.device)
        others = torch.ones(len(self._points), dtype=torch.bool, device=self._points.device)
        for i, block in enumerate(self._blocks):
            others[block.positions] = False
            self._add_mutual(block, block, found)
            for other in self._blocks[:i]:
                self._add_mutual(block, other, found)
        gains = found.cpu().numpy()
        rest = others.nonzero()[:, 0].cpu().numpy()
        gains[rest] = self.gains(rest)
        return gains

    def _add_mutual(self, a: _Block, b: _Block, gains: Tensor) -> None:
        """Add to `gains` what the references of each block would add to those of the other."""
        rows, columns = b.reached(a.points, self._kernel), a.reached(b.points, self._kernel)
        r = slice(None) if rows is None else rows
        c = slice(None) if columns is None else columns
        values = self._values(a.points[r], b.points[c])
        if a is not b:
            added = torch.sub(values, a.best[r, None], out=self._space(1, values.shape))
            gains[b.positions[c]] += a.weights[r] @ added.clamp_(min=0)
        gains[a.positions[r]] += values.sub_(b.best[c]).clamp_(min=0) @ b.weights[c]

    def _values(self, a: Tensor, b: Tensor) -> Tensor:
        return self._kernel.values(half_squares(a, b, self._space(0, (len(a), len(b)))))

    def _space(self, which: int, shape: tuple[int, ...]) -> Tensor:
        return self._scratch[which][: shape[0] * shape[1]].view(shape)

    def _raise(self, by: Tensor) -> None:
        for i in range(0, len(by), BLOCK):
            points = by[i : i + BLOCK]
            for block in self._blocks:
                rows = block.reached(points, self._kernel)
                near = points if rows is None else points[rows]
                if len(near):
                    values = self._values(near, block.points).amax(dim=0)
                    block.best = torch.maximum(block.best, values)


def _grouped(points: Tensor, rows: Tensor, size: int) -> list[Tensor]:
    """Return `rows` in groups of at most `size` that lie close together.

    Halved across the direction of the largest spread, found by a few power iterations.
    """
    if len(rows) <= size:
        return [rows] if len(rows) else []
    x = points[rows, :-2]
    x = x - x.mean(dim=0)
    direction = x[x.square().sum(dim=1).argmax()]
    for _ in range(4):
        direction = torch.nn.functional.normalize(x.T @ (x @ direction), dim=0)
    order = (x @ direction).argsort()
    del x
    left = size * (-(-len(rows) // size) // 2)
    first, last = rows[order[:left]], rows[order[left:]]
    return [*_grouped(points, first, size), *_grouped(points, last, size)]


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
        # Too small to outweigh a count, large enough to outweigh the rounding of float32.
        self._noise = rng.random(len(values))

    def best(self, key: Callable[[Scores], Scores] | None = None) -> int:
        """Return the candidate of the highest `key(values)`, which must grow with the values."""
        size = _FEWEST
        while True:
            keys = self.values if key is None else key(self.values)
            keys = keys * (1 + 5e-7 * self._noise) + 1e-12 * self._noise
            keys[self._taken] = -np.inf
            top = np.argpartition(keys, -min(size, len(keys)))[-min(size, len(keys)) :]
            first = int(top[keys[top].argmax()])
            # 0 bounds what is at least 0.
            if self._exact[first] or self.values[first] == 0:
                return first
            stale = top[~self._exact[top] & ~self._taken[top]]
            self.values[stale], self._exact[stale] = self._compute(stale), True
            size = min(2 * size, _MOST)

    def take(self, position: int) -> None:
        """Take a candidate out: all other values are upper bounds from here on."""
        self._exact[:] = False
        self._taken[position] = True

    def rest(self) -> Indices:
        """Return the candidates that are left."""
        return np.flatnonzero(~self._taken)


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


def references_of(n: int, wanted: int | None, width: int, rng: np.random.Generator) -> Indices:
    """Return positions of the references among `n` candidates: all, or a sample, ascending.

    Args:
        n: number of candidates.
        wanted: how many; None: all of up to 100,000, 20,000 of more.
        width: length of a vector, for an estimate of the time.
        rng: draws the sample.
    """
    if wanted is None:
        wanted = n if n <= _ALL_UP_TO else _SAMPLED
    size = min(n, whole("strategy.references", wanted, least=1))
    seconds = 2 * n * size * (width + 40) / (_SPEED * torch.get_num_threads())
    if seconds > _SLOW_SECONDS:
        _log.warning(
            "comparing %d candidates with %d references takes about %.0f minutes or more: a lower "
            "strategy.references, strategy=subsample or strategy=seals takes less",
            *(n, size, seconds / 60),
        )
    if size == n:
        return np.arange(n)
    return np.sort(rng.choice(n, size, replace=False))


def _tensor(positions: Indices, device: torch.device) -> Tensor:
    return torch.from_numpy(positions).to(device)
