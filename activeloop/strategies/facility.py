"""Facility location: samples that together are similar to all others."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import choice, real, whole
from activeloop.strategies.base import highest, needs
from activeloop.strategies.rows import rows_of, slices
from activeloop.strategies.spaces import Space
from activeloop.types import Context, Indices, Picks, Scores

_log = logging.getLogger(__name__)

Similarity = Callable[[Tensor, Tensor], Tensor]

# Candidates whose similarities are kept while they may be the best.
_GROUP = 256

# References among which the median distance is taken.
_SAMPLE = 1000

# A pass slower than this is announced; multiplications and additions a second, one core.
_LONG_SECONDS, _SPEED = 120, 3e10


@needs("features")
def facility_location(
    context: Context,
    *,
    kernel: Literal["cosine", "rbf"] = "cosine",
    bandwidth: float | None = None,
    references: int = 10_000,
    space: Space = "features",
) -> Picks:
    """Most similar to what is not yet covered: greedy facility location over the unlabelled.

    Maximises the sum over the pool of each sample's similarity to its nearest labelled or picked
    one, by lazy greedy steps: at least 1 - 1/e of the optimum. A gain can only shrink as more is
    picked, so that an old gain bounds the new one from above, and few are computed again. The
    score of a pick is its gain, a mean over the pool.
    Over `references` unlabelled samples, the sum is over that many drawn at random, and the mean
    similarity on them and on others is logged.

    Paper: Wei, Iyer and Bilmes, Submodularity in Data Subset Selection, ICML 2015.
    Budget: low.
    Time: O(U R D) for R references, more where gains change much.
    Memory: O(U D + 256 R).

    Args:
        context: what there is to choose from.
        kernel: "cosine", or "rbf": exp(-d^2 / (2 bandwidth^2)).
        bandwidth: of rbf; None: the median distance between references.
        references: samples to cover, at most.
        space: in which vectors are compared.
    """
    choice("strategy.kernel", kernel, ["cosine", "rbf"])
    whole("strategy.references", references, least=1)
    if bandwidth is not None:
        real("strategy.bandwidth", bandwidth, above=0)
    x, labelled = (
        rows_of(context, space, rows).float() for rows in (context.unlabelled, context.labelled)
    )
    _announce(len(x), min(len(x), references), x.shape[1])
    drawn = context.rng.permutation(len(x))
    covered, others = (
        x[torch.from_numpy(np.sort(some)).to(x.device)]
        for some in (drawn[:references], drawn[references : 2 * references])
    )
    similarity: Similarity = cosine if kernel == "cosine" else rbf(covered, bandwidth)
    search = _LazyGreedy(x, covered, similarity, context.rng)
    search.cover(labelled)
    chosen, gains = search.pick(context.k)
    if len(others):
        held = _LazyGreedy(x, others, similarity, context.rng)
        held.cover(torch.cat([labelled, x[torch.from_numpy(chosen).to(x.device)]]))
        _log.info(
            "facility_location: mean similarity %.4f on the %d references, %.4f on %d others",
            float(search.best.mean()), len(covered), float(held.best.mean()), len(others),
        )  # fmt: skip
    return Picks(context.unlabelled[chosen], gains)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """Return (1 + cosine) / 2 of all pairs, `[n, m]`: at least 0, as the objective asks."""
    normalize = torch.nn.functional.normalize
    half = torch.full((), 0.5, device=x.device)
    return torch.addmm(half, normalize(x, dim=1), normalize(y, dim=1).T, alpha=0.5)


def rbf(references: Tensor, bandwidth: float | None) -> Similarity:
    """Return the kernel exp(-d^2 / (2 bandwidth^2)) of all pairs, `[n, m]`."""
    mean = references.mean(dim=0)  # products of centred rows round less
    if bandwidth is None:
        some = references[:: max(1, len(references) // _SAMPLE)] - mean
        bandwidth = float(torch.nn.functional.pdist(some).median()) if len(some) > 1 else 1.0
    scale = 2 * (bandwidth or 1.0) ** 2

    def similarity(x: Tensor, y: Tensor) -> Tensor:
        x, y = x - mean, y - mean
        apart = torch.addmm(y.square().sum(dim=1), x, y.T, alpha=-2)
        return apart.add_(x.square().sum(dim=1)[:, None]).clamp_(min=0).div_(-scale).exp_()

    return similarity


def _announce(candidates: int, references: int, width: int) -> None:
    seconds = 2 * candidates * references * (width + 4) / _SPEED
    if seconds > _LONG_SECONDS:
        _log.warning(
            "facility_location compares %d samples with %d references, about %.0f seconds of one "
            "core: lower strategy.references, or wrap it in strategy=subsample",
            candidates, references, seconds,
        )  # fmt: skip


class _LazyGreedy:
    """Lazy greedy maximisation (Minoux, 1978), a group of candidates at a time.

    `bounds` are gains when last computed, so at least the present ones. The candidates of the
    highest bounds form a group, and their similarities are kept. The best of the group is computed
    again; if it is still at least every other bound, it is the best of all.
    """

    def __init__(
        self, x: Tensor, references: Tensor, similarity: Similarity, rng: np.random.Generator
    ) -> None:
        self.x, self.references, self.similarity, self.rng = x, references, similarity, rng
        self.best = torch.zeros(len(references), device=x.device)

    def cover(self, centres: Tensor) -> None:
        """Count `centres` `[n, D]` as picked."""
        for some in slices(len(centres), 12 * len(self.references)):
            near = self.similarity(centres[some], self.references).amax(dim=0)
            self.best = torch.maximum(self.best, near)

    def pick(self, k: int) -> tuple[Indices, Scores]:
        """Return the positions of `k` picks, and the gain of each: a mean over the references."""
        self.chosen: list[int] = []
        self.gains: list[float] = []
        self.bounds = np.empty(len(self.x))
        for some in slices(len(self.x), 12 * len(self.references)):
            self.bounds[some] = self._gain(self.similarity(self.x[some], self.references))
        while len(self.chosen) < k:
            self._pick_from_group(k)
        return np.array(self.chosen, np.int64), np.array(self.gains)

    def _pick_from_group(self, k: int) -> None:
        ordered = highest(self.bounds, min(_GROUP + 1, len(self.bounds)), self.rng)
        group = ordered[:_GROUP]
        outside = float(self.bounds[ordered[-1]]) if len(ordered) > _GROUP else -math.inf
        x = self.x[torch.from_numpy(group).to(self.x.device)]
        kept = torch.empty(len(group), len(self.references), device=x.device)
        for some in slices(len(group), 12 * len(self.references)):
            kept[some] = self.similarity(x[some], self.references)
        bounds = self._gain(kept)
        bounds[self.bounds[group] < 0] = -1  # picked before
        while len(self.chosen) < k:
            top = int(bounds.argmax())
            if bounds[top] < outside:
                break
            fresh = float(self._gain(kept[top : top + 1])[0])
            bounds[top] = fresh
            if fresh < max(outside, float(bounds.max())):
                continue
            self.chosen.append(int(group[top]))
            self.gains.append(fresh)
            self.best = torch.maximum(self.best, kept[top])
            bounds[top] = -1
        self.bounds[group] = bounds

    def _gain(self, similar: Tensor) -> Scores:
        gain = (similar - self.best).clamp_(min=0).mean(dim=1, dtype=torch.float64)
        array: Scores = gain.cpu().numpy()
        return array
