"""k-means: one sample for each cluster of the unlabelled."""

from __future__ import annotations

import torch
from torch import Tensor

from activeloop.strategies.base import needs
from activeloop.strategies.clustering import representatives
from activeloop.strategies.spaces import Space, vectors
from activeloop.types import Context, Indices, Picks


@needs("features")
def k_means(context: Context, *, space: Space = "features") -> Picks:
    """One sample for each cluster: the nearest to each of k centroids of the unlabelled (k-means).

    The score of a pick is the number of samples in its cluster; the largest is asked first. Where
    samples repeat so that there are fewer clusters than k, the samples farthest from their
    centroids make up for it, with score 0.

    Paper: Bodo, Minier and Csato, Active Learning with Clustering, AISTATS workshop, PMLR 16, 2011.
    Budget: low.
    Time: O(min(U, 256 k) k (D + log k) 20 + U k D).
    Memory: O(U D).
    """
    x = rows_of(context, space, context.unlabelled)
    positions, sizes = representatives(x, context.k, context.rng)
    return Picks(context.unlabelled[positions], sizes)


def rows_of(context: Context, space: Space, indices: Indices) -> Tensor:
    """Return a copy of some of the pool's vectors, `[n, D]`, in their own type."""
    matrix = vectors(context, space)
    return matrix[torch.from_numpy(indices).to(matrix.device)].detach()
