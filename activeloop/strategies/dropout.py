"""DropQuery: samples whose class does not survive dropout of their features, one a cluster."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import real, whole
from activeloop.strategies.base import highest, needs
from activeloop.strategies.clustering import representatives
from activeloop.strategies.rows import rows_of, slices
from activeloop.types import Context, Head, Picks, Scores


@needs("features", "head")
def dropquery(context: Context, *, masks: int = 3, rate: float = 0.75) -> Picks:
    """Class lost under dropout of the features, one sample a cluster (DropQuery).

    Features are masked a few times and classified by the last layer. Those samples whose class
    differs from the unmasked one under more than half of the masks are clustered by k-means, and
    the nearest to each of k centroids is asked. Where they are fewer than k, those that differ
    most often are taken. The score of a pick is the number of candidates in its cluster.

    Paper: Gupte, Aklilu, Nirschl and Yeung-Levy, Vision Foundation Models (DropQuery), TMLR 2024.
    Budget: low; made for a linear layer on features of a foundation model.
    Time: O(M U C D) for M masks, then that of k-means on the candidates.
    Memory: O(U D).

    Args:
        context: what there is to choose from.
        masks: how many times features are masked, M.
        rate: share of features that are zeroed; the rest is scaled by 1 / (1 - rate), as dropout
            does.
    """
    whole("strategy.masks", masks, least=1)
    real("strategy.rate", rate, least=0, most=0.99)
    x = rows_of(context, "features", context.unlabelled)
    differs = disagreements(x, context.head, masks, rate, context.rng)
    candidates = np.flatnonzero(differs > masks / 2)
    if len(candidates) < context.k:
        candidates = np.sort(highest(differs, context.k, context.rng))
    if len(candidates) < len(x):
        x = x[torch.from_numpy(candidates).to(x.device)]
    positions, sizes = representatives(x, context.k, context.rng)
    return Picks(context.unlabelled[candidates[positions]], sizes)


def disagreements(
    x: Tensor, head: Head, masks: int, rate: float, rng: np.random.Generator
) -> Scores:
    """Return under how many masks the class of each row of `x` differs, `[n]`."""
    generator = torch.Generator(x.device).manual_seed(int(rng.integers(2**63 - 1)))
    counts = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    with torch.no_grad():
        for some in slices(len(x), 16 * x.shape[1]):
            part = x[some]
            clean = head(part).argmax(dim=1)
            for _ in range(masks):
                kept = torch.rand(part.shape, generator=generator, device=x.device) >= rate
                counts[some] += head(part * kept / (1 - rate)).argmax(dim=1) != clean
    return counts.cpu().numpy()
