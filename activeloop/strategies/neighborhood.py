"""Compare each sample with its nearest neighbours in feature space.

Neighbours are searched in the whole pool by faiss, the sample itself left out: O(N^2 D) time for
the exact search, O(N m) memory. A sample that has no neighbour counts as most different.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from activeloop import measures
from activeloop.strategies.base import needs, score
from activeloop.types import Context

Reference = Literal["pool", "labelled"]
Space = Literal["features", "embeddings"]


@score
@needs("features", "neighbors")
def cosine_diversity(
    context: Context, *, m: int = 5, reference: Reference = "pool", space: Space = "features"
) -> Tensor:
    """Least similar to its neighbours first: 1 - mean cosine similarity to the m nearest."""
    _, near = context.neighbors(m, reference, space=space)
    vectors = context.features if space == "features" else context.embeddings
    similarity = measures.cosine_similarity(vectors, near)
    return 1 - similarity[context.unlabelled].nan_to_num(-1)


@score
@needs("neighbors")
def l2_diversity(
    context: Context, *, m: int = 5, reference: Reference = "pool", space: Space = "features"
) -> Tensor:
    """Farthest from its neighbours first: mean L2 distance to the m nearest, on unit vectors."""
    distances, _ = context.neighbors(m, reference, space=space)
    return measures.l2_distance(distances)[context.unlabelled].nan_to_num(2)


@score
@needs("probs", "neighbors")
def neighbor_kl(
    context: Context, *, m: int = 5, reference: Reference = "pool", space: Space = "features"
) -> Tensor:
    """Predicted unlike its neighbours first: KL(mean of the m neighbours' p || own p)."""
    _, near = context.neighbors(m, reference, space=space)
    divergence = measures.neighbor_kl(context.probs, near)[context.unlabelled]
    present = divergence[~divergence.isnan()]
    return divergence.nan_to_num(float(present.max()) if len(present) else 0)
