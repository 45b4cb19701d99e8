"""BADGE: k-means++ on gradient embeddings that are never formed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import choice
from activeloop.strategies.base import highest, needs
from activeloop.strategies.rows import Rows
from activeloop.strategies.seeding import plus_plus
from activeloop.strategies.spaces import Space, vectors
from activeloop.types import Context, Picks

# Output gradients of up to this many bytes are kept; larger ones are formed when they are used.
_KEPT_BYTES = 16 * 2**20


@needs("probs", "features")
def badge(
    context: Context, *, first: Literal["largest", "draw"] = "largest", space: Space = "features"
) -> Picks:
    """Large and diverse gradients: k-means++ on those of the loss at the predicted class (BADGE).

    The gradient of the last layer is g = (p - onehot(argmax p)) outer h: large where the network
    is unsure. Samples are drawn with probability proportional to the squared distance of g to the
    nearest pick. The distribution is exact (see `seeding`), and no U x (C D) array exists, for
    |gi - gj|^2 = |ai|^2 |hi|^2 + |aj|^2 |hj|^2 - 2 (ai.aj)(hi.hj).
    The score of a pick is its distance when it was drawn; of the first, the length of its g.

    Paper: Ash, Zhang, Krishnamurthy, Langford and Agarwal, Deep Batch Active Learning, ICLR 2020.
    Budget: any; at its best in large batches.
    Time: O(U k (C + D)).
    Memory: O(U (C + D)).

    Args:
        context: what there is to choose from.
        first: "largest" starts from the largest gradient, as the authors' code does, whose results
            the paper reports; "draw" draws the first uniformly, as k-means++, which the paper
            names, is defined.
        space: which vectors h are.
    """
    choice("strategy.first", first, ["largest", "draw"])
    h = Rows(vectors(context, space), context.unlabelled, context.memory_limit)
    points = Gradients(Rows(context.probs, context.unlabelled, context.memory_limit), h)
    if context.k == 0:
        return Picks(context.unlabelled[:0])
    if first == "largest":
        lengths = points.lengths.cpu().numpy().astype(np.float64)
        start = int(highest(lengths, 1, context.rng)[0])
    else:
        start = int(context.rng.integers(len(h)))
    seeds = plus_plus(points, start, context.k, context.rng)
    seeds.squared[0] = float(points.lengths[start])
    return Picks(context.unlabelled[seeds.positions], np.sqrt(seeds.squared))


class Gradients:
    """Gradient embeddings a outer h as points, by their factors; see `seeding.Points`."""

    def __init__(self, probs: Rows, h: Rows) -> None:
        self.probs, self.h = probs, h
        self.kept: Tensor | None = None
        if 4 * len(probs) * probs.width <= _KEPT_BYTES:
            self.kept = self.a(slice(0, len(probs)))
        self.lengths = torch.empty(len(h), device=h.device)
        for part in self.parts(1):
            a, own = self.a(part), self.h[part]
            self.lengths[part] = a.square().sum(dim=1) * own.square().sum(dim=1)

    def a(self, part: slice | Tensor) -> Tensor:
        """Return p - onehot(argmax p), `[m, C]`."""
        if self.kept is not None:
            return self.kept[part]
        a = self.probs[part].clone()
        top = a.argmax(dim=1, keepdim=True)
        return a.scatter_add_(1, top, torch.full_like(top, -1, dtype=a.dtype))

    def squared(self, part: slice | Tensor, others: Tensor) -> Tensor:
        """Return squared distances `[m, s]`; see `seeding.Points`."""
        products = self.h[part] @ self.h[others].T
        products *= self.a(part) @ self.a(others).T
        apart = torch.add(self.lengths[others], products, alpha=-2, out=products)
        return apart.add_(self.lengths[part, None]).clamp_(min=0)

    def parts(self, columns: int) -> Iterator[slice]:
        """Yield slices over all points; see `seeding.Points`."""
        return self.h.parts(4 * (2 * columns + self.h.width + 2 * self.probs.width))
