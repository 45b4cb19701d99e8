"""ALFA-Mix: samples whose class changes when features of labelled ones are mixed in."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import real
from activeloop.strategies.base import needs
from activeloop.strategies.clustering import representatives
from activeloop.strategies.rows import rows_of, slices
from activeloop.types import Context, Head, Indices, Picks


@needs("features", "head")
def alfa_mix(context: Context, *, cap: float = 0.03125) -> Picks:
    """Class changed by mixing in features of labelled classes, one sample a cluster (ALFA-Mix).

    Features z are mixed with an anchor z*, the mean of a labelled class, by alpha in the direction
    that raises the loss at the predicted class: alpha = eps |z* - z| g / |g| / (z* - z) with the
    gradient g, the paper's closed form. Samples whose class changes are candidates; while they
    are not more than k, eps grows by `cap` (over sqrt D) up to 1. Candidates are clustered by
    k-means on unit vectors and the nearest to each of k centroids is asked. The score of a pick is
    the number of candidates in its cluster; what is short of k is drawn at random, with score 0.

    With nothing labelled, the anchor is the mean of the pool. The authors' code adds an anchor, the
    mean of all labelled, for classes without labels, and may draw a sample twice where candidates
    are short.

    Paper: Parvaneh et al., Active Learning by Feature Mixing, CVPR 2022.
    Budget: low.
    Time: O(U D (C + A) / cap) at most for A anchors, then that of k-means on the candidates.
    Memory: O(U D).

    Args:
        context: what there is to choose from.
        cap: how much eps grows at a time, above 0 and at most 1.
    """
    real("strategy.cap", cap, above=0, most=1)
    x = rows_of(context, "features", context.unlabelled)
    changed = changed_by_mixing(x, _anchors(context, x), context.head, cap, context.k)
    unit = torch.nn.functional.normalize(x[torch.from_numpy(changed).to(x.device)], dim=1)
    positions, sizes = representatives(unit, min(context.k, len(unit)), context.rng)
    chosen = changed[positions]
    rest = np.setdiff1d(np.arange(len(x)), chosen)
    spare = context.rng.choice(rest, context.k - len(chosen), replace=False)
    scores = np.concatenate([sizes, np.zeros(len(spare))])
    return Picks(context.unlabelled[np.concatenate([chosen, spare])], scores)


def _anchors(context: Context, x: Tensor) -> Tensor:
    """Return the mean features of each labelled class, `[A, D]`."""
    if len(context.labelled) == 0:
        return x.mean(dim=0, keepdim=True)
    labelled = rows_of(context, "features", context.labelled)
    classes, which = np.unique(context.labels, return_inverse=True)
    sums = torch.zeros(len(classes), x.shape[1], dtype=torch.float64, device=x.device)
    sums.index_add_(0, torch.from_numpy(which).to(x.device), labelled.double())
    counts = torch.from_numpy(np.bincount(which)).to(x.device)
    return (sums / counts[:, None]).to(x)


def changed_by_mixing(x: Tensor, anchors: Tensor, head: Head, cap: float, k: int) -> Indices:
    """Return the rows of `x` whose class changes, for the first eps at which they are over `k`."""
    changed = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for step in range(1, math.ceil(1 / cap) + 1):
        left = (~changed).nonzero()[:, 0]
        for part in slices(len(left), 24 * x.shape[1] + 4 * len(anchors)):
            some = left[part]
            changed[some] = _changes(x[some], anchors, head, step * cap / math.sqrt(x.shape[1]))
        if int(changed.sum()) > k:
            break
    return changed.nonzero()[:, 0].cpu().numpy()


def _changes(z: Tensor, anchors: Tensor, head: Head, eps: float) -> Tensor:
    """Return whether the class of each row changes when it is mixed with any of the anchors.

    (1 - alpha) z + alpha z* = z + eps |z* - z| g / |g|: all anchors lie on one ray from z, only
    their distances differ. Along a ray the logits of a last layer are linear, so that a class that
    has lost its lead never wins it back: if any anchor changes the class, the farthest does.
    """
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        logits = head(z)
        predicted = logits.argmax(dim=1)
        loss = torch.nn.functional.cross_entropy(logits, predicted, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, z)
    with torch.no_grad():
        farthest = torch.cdist(z, anchors).amax(dim=1, keepdim=True)
        mixed = z + eps * farthest * _unit(gradient)
        return head(mixed).argmax(dim=1) != predicted


def _unit(gradient: Tensor) -> Tensor:
    """Return rows of length 1, however short they were: a sure prediction has a tiny gradient."""
    largest = gradient.abs().amax(dim=1, keepdim=True)
    scaled = gradient / largest.where(largest > 0, 1)
    return torch.nn.functional.normalize(scaled, dim=1)
