"""Keep near-duplicates out of a batch."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.checks import choice, real
from activeloop.strategies.asking import ask
from activeloop.strategies.base import needs
from activeloop.strategies.loading import Inner
from activeloop.strategies.spaces import Space, vectors
from activeloop.strategies.wrapping import Wrapper, among
from activeloop.types import Context, Indices, Picks

log = logging.getLogger(__name__)


@needs("features")
@dataclass(kw_only=True, repr=False, eq=False)
class Deduplicate(Wrapper):
    """As a strategy picks, but no two picks closer than a threshold.

    The strategy is asked for `factor * k`, and its picks are gone through in their order, leaving
    out what is closer than `threshold` to one kept; where they do not suffice, it is asked for
    twice as many, up to the whole pool. If even that leaves fewer than `k`, the first of the rest
    fill the batch, and a warning says so.

    Budget: any, in pools with near-duplicates, such as video frames.
    Time: O(k n D) to go through n, and the inner one's for n.
    Memory: O(n D), and the inner one's for n.

    Args:
        strategy: one whose first picks are the best; a score is quick to ask for more.
        threshold: the least distance between two picks.
        distance: "cosine", 1 - cosine similarity, or "l2", Euclidean.
        space: in which it is measured.
        labelled: whether picks must keep the distance from the labelled samples too.
        factor: how many times `k` to ask for at first.
    """

    strategy: Inner = "margin"
    threshold: float = 0.05
    distance: Literal["cosine", "l2"] = "cosine"
    space: Space = "features"
    labelled: bool = False
    factor: float = 4.0

    def check(self) -> None:
        """Raise `ConfigError` if an option has no meaning."""
        real("strategy.threshold", self.threshold, above=0)
        choice("strategy.distance", self.distance, ["cosine", "l2"])
        choice("strategy.space", self.space, ["features", "embeddings"])
        real("strategy.factor", self.factor, least=1)

    def __call__(self, context: Context) -> Picks:
        """Pick `context.k`, in the order of the inner strategy."""
        (strategy,) = self.inner
        space = vectors(context, self.space)
        n, all_of_them = math.ceil(self.factor * context.k), len(context.unlabelled)
        while True:
            n = min(n, all_of_them)
            order, scores = ask(strategy, among(context, context.unlabelled, n))
            kept = self._kept(space, order, context)
            if len(kept) == context.k or n == all_of_them:
                break
            n *= 2
        if (missing := context.k - len(kept)) > 0:
            log.warning(
                "deduplicate: %d of %d picks are closer than threshold=%g to others, for want of "
                "better ones",
                missing,
                context.k,
                self.threshold,
            )
            rest = np.setdiff1d(np.arange(n), kept, assume_unique=True)
            kept = np.concatenate([kept, rest[:missing]])
        return Picks(order[kept], None if scores is None else scores[kept])

    def _kept(self, space: Tensor, order: Indices, context: Context) -> Indices:
        """Return the first positions in `order`, at most `k`, that keep their distance."""
        rows = self._rows(space, order)
        too_close = np.zeros(len(order), np.bool_)
        if self.labelled:
            apart, _ = context.neighbors(
                1, "labelled", space=self.space, normalize=self.distance == "cosine", queries=order
            )
            too_close = self._below(apart[:, 0])
        kept: list[int] = []
        for position in range(len(order)):
            if len(kept) == context.k:
                break
            if not too_close[position]:
                kept.append(position)
                too_close |= self._close(rows, rows[position])
        return np.array(kept, np.int64)

    def _rows(self, space: Tensor, indices: Indices) -> Tensor:
        rows = space[torch.from_numpy(indices).to(space.device)].detach().float()
        return torch.nn.functional.normalize(rows, dim=1) if self.distance == "cosine" else rows

    def _close(self, rows: Tensor, row: Tensor) -> npt.NDArray[np.bool_]:
        # By differences: products in float32 round the distances of near-duplicates to noise.
        apart = torch.cdist(rows, row[None], compute_mode="donot_use_mm_for_euclid_dist")[:, 0]
        return self._below(apart)

    def _below(self, apart: Tensor) -> npt.NDArray[np.bool_]:
        """Return which Euclidean distances, on unit vectors for "cosine", are too small."""
        distances = apart.double().square() / 2 if self.distance == "cosine" else apart.double()
        close: npt.NDArray[np.bool_] = (distances < self.threshold).cpu().numpy()
        return close

    def _own_needs(self) -> frozenset[str]:
        return super()._own_needs() | ({"neighbors"} if self.labelled else set())
