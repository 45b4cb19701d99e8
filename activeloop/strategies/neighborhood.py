"""Compare each sample with its nearest neighbours in feature space.

Neighbours are searched in the whole pool by faiss, the sample itself left out. A sample that has no
neighbour counts as most different.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from activeloop import measures
from activeloop.strategies.base import needs, score
from activeloop.strategies.spaces import Space, vectors
from activeloop.types import Context

Reference = Literal["pool", "labelled"]


@score
@needs("features", "neighbors")
def cosine_diversity(
    context: Context, *, m: int = 5, reference: Reference = "pool", space: Space = "features"
) -> Tensor:
    """Least similar to its neighbours first: 1 - mean cosine similarity to the m nearest.

    Paper: after Brinker, Incorporating Diversity in Active Learning with SVMs, ICML 2003.
    Budget: any, beside an uncertainty; alone it asks for outliers.
    Time: O(N^2 D), or O(N^1.5 D) with an index.
    Memory: O(N (D + m)).
    """
    _, near = context.neighbors(m, reference, space=space)
    similarity = measures.cosine_similarity(vectors(context, space), near)
    return 1 - similarity[context.unlabelled].nan_to_num(-1)


@score
@needs("features", "neighbors")
def l2_diversity(
    context: Context, *, m: int = 5, reference: Reference = "pool", space: Space = "features"
) -> Tensor:
    """Farthest from its neighbours first: mean L2 distance to the m nearest, on unit vectors.

    Paper: after Brinker, Incorporating Diversity in Active Learning with SVMs, ICML 2003.
    Budget: any, beside an uncertainty; alone it asks for outliers.
    Time: O(N^2 D), or O(N^1.5 D) with an index.
    Memory: O(N (D + m)).
    """
    distances, _ = context.neighbors(m, reference, space=space)
    return measures.l2_distance(distances)[context.unlabelled].nan_to_num(2)


@score
@needs("probs", "features", "neighbors")
def neighbor_kl(
    context: Context, *, m: int = 5, reference: Reference = "pool", space: Space = "features"
) -> Tensor:
    """Predicted unlike its neighbours first: KL(mean of the m neighbours' p || own p).

    Paper: in the spirit of Margatina et al., Contrastive Active Learning, EMNLP 2021.
    Budget: high.
    Time: O(N^2 D), or O(N^1.5 D) with an index.
    Memory: O(N (D + m + C)).
    """
    _, near = context.neighbors(m, reference, space=space)
    # Embeddings have neighbours that were not predicted.
    unknown = context.probs[:, 0].isnan()
    near = near.masked_fill(unknown[near.clamp(min=0)], -1)
    divergence = measures.neighbor_kl(context.probs, near)[context.unlabelled]
    present = divergence[~divergence.isnan()]
    return divergence.nan_to_num(float(present.max()) if len(present) else 0)
