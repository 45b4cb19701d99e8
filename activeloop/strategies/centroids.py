"""k-means: one sample for each cluster of the unlabelled."""

from __future__ import annotations

from activeloop.strategies.base import needs
from activeloop.strategies.clustering import representatives
from activeloop.strategies.rows import rows_of
from activeloop.strategies.spaces import Space
from activeloop.types import Context, Picks


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
