"""BatchBALD: a batch whose labels together say most about the members."""

from __future__ import annotations

import logging
import math

import numpy as np
import torch
from torch import Tensor

from activeloop import disagreement
from activeloop.checks import whole
from activeloop.strategies.base import by_members, highest, needs, required_members
from activeloop.strategies.joint import (
    Configurations,
    drawn,
    nothing_chosen,
    with_all_labels,
    with_drawn_label,
)
from activeloop.types import Context, Indices, Picks, Scores

log = logging.getLogger("activeloop.strategies")

_BLOCK = 64  # candidates evaluated at a time
_ROUNDING = 1e-6  # of a gain, in nats, at most
_SECONDS_PER_CELL = 1.5e-9  # of a configuration and a candidate's class, on one core
_LONG = 120  # seconds, from which on a warning comes first
_USED_UP = 0.99  # of all that labels can say about the members


@needs("members")
def batchbald(
    context: Context, *, configurations: int = 10_000, candidates: int | None = None
) -> Picks:
    """Labels that together say most about the members first, greedily: joint mutual information.

    The joint entropies are exact while there are at most `configurations` label configurations of
    the picks so far, then estimated on as many drawn from the members. A pick's score is the
    information that it adds; BALD is the first.

    Paper: Kirsch, van Amersfoort and Gal, BatchBALD, NeurIPS 2019.
    Budget: high; for batches of about 10 or fewer, since `M` members give only log M nats.
    Time: O(k S C U M) at most, for S configurations; much less where few candidates compete.
    Memory: O(S M + U).

    The information that a sample adds never grows as others are picked (it is submodular). So a
    candidate is evaluated again only while its last gain could still win; the picks are those of
    evaluating all. For sampled configurations that holds within their error.

    The estimator is the paper's, but for a term of mean zero: the members' entropies are weighed as
    the drawn configurations weigh the members, which cancels most of its noise.

    Args:
        context: what there is to choose from.
        configurations: how many label configurations at most, `S`.
        candidates: only so many with the highest BALD are considered; None: all.
    """
    whole("strategy.configurations", configurations, least=1)
    if candidates is not None:
        whole("strategy.candidates", candidates, least=1)
    members, k = required_members(context), context.k
    pool = _Candidates(context)
    if candidates is not None:
        pool.keep(max(candidates, k))
    _warn_if_long(k, len(pool.bounds), members.shape[2], configurations)
    labels = nothing_chosen(members)
    gains: list[float] = []
    for _ in range(k):
        gains.append(pool.pick(labels))
        if len(gains) < k:
            labels = _extended(labels, pool, configurations, context.rng)
    _warn_if_used_up(gains, len(members))
    return Picks(np.array(pool.picks), gains)


class _Candidates:
    """Candidates and upper bounds of their gains, in an order that `rng` draws.

    Equal samples tie but for rounding, which may depend on their place: hence the random order.
    """

    def __init__(self, context: Context) -> None:
        self.members, self.rng = context.members, context.rng
        self.picks: list[int] = []
        order = self.rng.permutation(len(context.unlabelled))
        self.indices = context.unlabelled[order]
        alone = by_members(disagreement.bald, context).double().cpu().numpy()
        self.bounds: Scores = alone[order]

    def keep(self, count: int) -> None:
        """Keep the `count` with the highest bounds."""
        kept = highest(self.bounds, min(count, len(self.bounds)), self.rng)
        self.indices, self.bounds = self.indices[kept], self.bounds[kept]

    def pick(self, labels: Configurations) -> float:
        """Pick the candidate that adds most to `labels`, and return what it adds."""
        order = np.argsort(-self.bounds, kind="stable")
        best = -np.inf
        for start in range(0, len(order), _BLOCK):
            some = order[start : start + _BLOCK]
            if self.bounds[some[0]] < best - _ROUNDING:
                break
            self.bounds[some] = self._gains(some, labels)
            best = max(best, float(self.bounds[some].max()))
        chosen = highest(self.bounds, 1, self.rng)[0]
        gain = float(self.bounds[chosen])
        self.picks.append(int(self.indices[chosen]))
        self.bounds = np.delete(self.bounds, chosen)
        self.indices = np.delete(self.indices, chosen)
        return gain

    def best_members(self, count: int) -> Tensor:
        """Return probabilities `[M, count, C]` of the candidates with the highest bounds."""
        top = highest(self.bounds, min(count, len(self.bounds)), self.rng)
        return self._probs(self.indices[top])

    def picked_members(self) -> Tensor:
        """Return probabilities of the picks, `[M, n, C]`."""
        return self._probs(np.array(self.picks))

    def _probs(self, indices: Indices) -> Tensor:
        return self.members.index_select(1, torch.from_numpy(indices).to(self.members.device))

    def _gains(self, positions: Indices, labels: Configurations) -> Scores:
        gains: Scores = labels.gains(self._probs(self.indices[positions])).cpu().numpy()
        return gains


def _extended(
    labels: Configurations, pool: _Candidates, limit: int, rng: np.random.Generator
) -> Configurations:
    """Return the configurations with a label of the last pick: all of them while they are few."""
    picked = pool.picked_members()
    if not labels.exact:
        return with_drawn_label(labels, picked[:, -1], rng)
    if len(labels) * picked.shape[2] <= limit:
        return with_all_labels(labels, picked[:, -1])
    if len(pool.picks) > 1:
        _log_gap(labels, drawn(picked[:, :-1], limit, rng), pool)
    return drawn(picked, limit, rng)


def _log_gap(exact: Configurations, sample: Configurations, pool: _Candidates) -> None:
    """Log how far the estimate is from the exact gains, where both are known for the last time."""
    best = pool.best_members(_BLOCK)
    gaps = (sample.gains(best) - exact.gains(best)).abs()
    log.info(
        "batchbald: %d sampled configurations in place of all from pick %d on; at pick %d their "
        "gains are within %.2g nats of the exact ones (mean %.2g), which reach %.2g",
        len(sample),
        len(pool.picks) + 1,
        len(pool.picks),
        gaps.max(),
        gaps.mean(),
        exact.gains(best).max(),
    )


def _warn_if_long(k: int, n: int, classes: int, configurations: int) -> None:
    seconds = k * n * classes * configurations * _SECONDS_PER_CELL
    if seconds > _LONG:
        log.warning(
            "batchbald for %d of %d candidates may take up to %.0f minutes; strategy=bald with "
            "strategy.sampling=power, smaller queries, or fewer strategy.candidates or "
            "strategy.configurations take less",
            k,
            n,
            seconds / 60,
        )


def _warn_if_used_up(gains: list[float], size: int) -> None:
    """Say so where the members are told apart before the batch is full."""
    told = np.cumsum(gains) >= _USED_UP * math.log(size)
    if size > 1 and told[:-1].any():
        log.warning(
            "batchbald: the first %d of %d picks say all that labels can about %d members; the "
            "rest is close to arbitrary: ask for fewer at a time, or take more learner.n_members",
            int(told.argmax()) + 1,
            len(gains),
            size,
        )
