"""Greedy coverage: pick what adds most to sum_j w_j max_l K(l, j), over references j, picks l.

With K = 1 in a ball and 0 outside this is ProbCover, with a Gaussian MaxHerding, with uncertainties
for weights UHerding, and with cosines facility location. The sum is submodular: a gain computed
earlier bounds the gain now, so that only the candidates at the top are computed again (lazy
greedy), and no kernel matrix is ever kept.
"""

from __future__ import annotations

import logging
import math

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import whole
from activeloop.strategies.kernels import Kernel, half_squares
from activeloop.strategies.rows import slices
from activeloop.types import Indices, Scores

_log = logging.getLogger("activeloop.strategies")

# Pools up to the first size are their own references; of larger ones the second many are drawn.
_ALL_UP_TO = 70_000
_SAMPLED = 20_000

# Rows, at most, that the direction of the largest spread is found on.
_SPREAD_OF = 10_000

# Rows and columns of a product at a time: it stays in the cache.
BLOCK = 1024

# Products of two vectors a second and a thread, times their length; and what is slow.
_SPEED = 4e10
_SLOW_SECONDS = 120


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
        mass = torch.zeros(len(points), dtype=kernel.dtype, device=points.device)
        mass[where] = torch.ones_like(mass[where]) if weights is None else weights.to(mass.dtype)
        groups = _grouped(points, where[mass[where] > 0], BLOCK)
        self._blocks = [_Block(points[rows], mass[rows], rows) for rows in groups]
        # Written over and over: fresh memory for each product would cost a quarter more time.
        self._scratch = [mass.new_empty(BLOCK * BLOCK) for _ in range(2)]

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

    Halved across the direction of the largest spread, found by a few power iterations on a part.
    """
    if len(rows) <= size:
        return [rows] if len(rows) else []
    x = points[rows[:: -(-len(rows) // _SPREAD_OF)], :-2]
    x -= x.mean(dim=0)
    direction = x[x.square().sum(dim=1).argmax()]
    for _ in range(4):
        direction = torch.nn.functional.normalize(x.T @ (x @ direction), dim=0)
    parts = slices(len(rows), points.element_size() * points.shape[1])
    order = torch.cat([points[rows[part], :-2] @ direction for part in parts]).argsort()
    left = size * (-(-len(rows) // size) // 2)
    first, last = rows[order[:left]], rows[order[left:]]
    return [*_grouped(points, first, size), *_grouped(points, last, size)]


def references_of(n: int, wanted: int | None, width: int, rng: np.random.Generator) -> Indices:
    """Return positions of the references among `n` candidates: all, or a sample, ascending.

    Args:
        n: number of candidates.
        wanted: how many; None: all of up to 70,000, 20,000 of more.
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
