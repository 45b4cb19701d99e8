"""The six measures of a prediction, one number a sample. Strategies are built on them.

Probabilities are `[n, C]`, results `[n]` on the same device. A measure over neighbours is NaN for
a sample that has none.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from activeloop.memory import rows_at_a_time

# Up to so many classes, a pass over each finds the two likeliest sooner than a search in each row.
_FEW_CLASSES = 32


def least_confidence(probs: Tensor) -> Tensor:
    """Return 1 - max p (Lewis and Gale, 1994); 0 is certain, 1 - 1/C knows nothing."""
    if probs.shape[1] > _FEW_CLASSES:
        best = probs.amax(dim=1)
    else:
        best, *others = _classes(probs)
        for each in others:
            best = torch.maximum(best, each, out=best)
    return (1 - best).clamp_(min=0)


def entropy(probs: Tensor) -> Tensor:
    """Return -sum p log p in nats (Shannon, 1948); p = 0 adds 0."""
    # log of the smallest normal number is finite, and times 0 it is 0: on a CPU this is many times
    # faster than torch.special.entr. Rounding may leave the sum a little below 0.
    logs = log(probs.clamp(min=torch.finfo(probs.dtype).tiny))
    return logs.mul_(probs).sum(dim=1).neg_().clamp_(min=0)


def margin(probs: Tensor, against: Literal["second", "worst"] = "second") -> Tensor:
    """Return the probability of the likeliest class less that of the second, or of the last.

    Scheffer et al., 2001. With one class there is nothing to compare with: the margin is 1.
    """
    if probs.shape[1] == 1:
        return torch.ones_like(probs[:, 0])
    if against == "worst":
        return probs.amax(dim=1) - probs.amin(dim=1)
    best, second = _two_likeliest(probs)
    return best - second


def log(x: Tensor) -> Tensor:
    """Return the natural logarithm: on a CPU by numpy, some three times faster for float32."""
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return x.log()
    with np.errstate(divide="ignore", invalid="ignore"):
        return torch.from_numpy(np.log(x.numpy()))


def _two_likeliest(probs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest and the second largest of each row; equal ones count each."""
    if probs.shape[1] > _FEW_CLASSES:
        best, where = probs.max(dim=1, keepdim=True)
        return best.squeeze(1), probs.scatter(1, where, -1).amax(dim=1)
    best, second, *others = _classes(probs)
    lower = torch.minimum(best, second)
    best, second = torch.maximum(best, second, out=best), lower
    lower = torch.empty_like(best)
    for each in others:
        torch.minimum(best, each, out=lower)
        torch.maximum(second, lower, out=second)
        torch.maximum(best, each, out=best)
    return best, second


def _classes(probs: Tensor) -> Tensor:
    """Return a copy `[C, n]` whose rows lie in one piece: on a CPU by numpy, in half the time."""
    if probs.device.type != "cpu" or probs.dtype != torch.float32:
        return probs.detach().T.clone(memory_format=torch.contiguous_format)
    return torch.from_numpy(probs.detach().numpy().T.copy())


def cosine_similarity(features: Tensor, neighbors: Tensor) -> Tensor:
    """Return the mean cosine similarity to the neighbours `[n, m]` (-1: none there).

    A row of zeros has similarity 0 to everything.
    """

    def unit(rows: Tensor) -> Tensor:
        return torch.nn.functional.normalize(features.index_select(0, rows).float(), dim=1)

    means = []
    (n, m), size = neighbors.shape, features.shape[1]
    for rows in torch.split(
        torch.arange(n, device=neighbors.device), rows_at_a_time(12 * m * size)
    ):
        near = neighbors[rows]
        there = near >= 0
        theirs = unit(near.clamp(min=0).flatten()).view(len(rows), m, size)
        each = torch.einsum("nd,nmd->nm", unit(rows), theirs)
        means.append(each.where(there, 0).sum(dim=1) / there.sum(dim=1))
    return torch.cat(means)


def l2_distance(distances: Tensor) -> Tensor:
    """Return the mean of the finite distances `[n, m]` to the neighbours."""
    there = distances.isfinite()
    return distances.where(there, 0).sum(dim=1) / there.sum(dim=1)


def neighbor_kl(probs: Tensor, neighbors: Tensor) -> Tensor:
    """Return KL(mean of the neighbours' probabilities || own probabilities) in nats.

    `neighbors` `[n, m]` are rows of `probs` (-1: none there). Own probabilities of 0 count as the
    smallest float32, so that the result stays finite.
    """
    result = torch.empty(len(neighbors), dtype=probs.dtype, device=probs.device)
    floor = torch.finfo(torch.float32).tiny
    step = rows_at_a_time(8 * neighbors.shape[1] * probs.shape[1])
    for start in range(0, len(neighbors), step):
        near = neighbors[start : start + step]
        there = (near >= 0).unsqueeze(2)
        mean = probs[near.clamp(min=0)].where(there, 0).sum(dim=1) / there.sum(dim=1)
        own = probs[start : start + len(near)].clamp(min=floor)
        terms = torch.where(mean > 0, mean * (mean.clamp(min=floor).log() - own.log()), 0)
        # KL is never negative; rounding may leave a little below 0. NaN (no neighbour) stays.
        divergence = torch.where(mean.isnan(), mean, terms).sum(dim=1)
        result[start : start + len(near)] = divergence.clamp(min=0)
    return result
