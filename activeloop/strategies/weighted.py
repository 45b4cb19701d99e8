"""k-means in which uncertain samples weigh more: DBAL and CLUE."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from activeloop import measures
from activeloop.checks import choice, real
from activeloop.strategies.base import highest, needs
from activeloop.strategies.clustering import representatives
from activeloop.strategies.loading import Inner
from activeloop.strategies.rows import rows_of
from activeloop.strategies.spaces import Space
from activeloop.strategies.wrapping import Wrapper
from activeloop.types import Context, Picks


@needs("features")
@dataclass(kw_only=True, repr=False, eq=False)
class WeightedKMeans(Wrapper):
    """Unsure and diverse: weighted k-means of the beta k most uncertain samples (DBAL).

    The samples nearest to the k centroids are asked, the centroids being drawn to the uncertain by
    weights. The score of a pick is the weight of its cluster.

    Paper: Zhdanov, Diverse mini-batch Active Learning, arXiv 1901.05954, 2019.
    Budget: high.
    Time: O(U C) for the score, then O(20 min(beta, 256) k^2 D + beta k^2 D).
    Memory: O(U + beta k D).

    Args:
        score: a strategy that picks by a score, not negative: what is uncertain. With the default,
            1 - (p1 - p2), as in the paper.
        beta: how many times k samples are kept to be clustered; the paper tries 10 and 50.
        space: in which vectors are clustered.
    """

    wraps = ("score",)
    score: Inner = "margin"
    beta: float = 10.0
    space: Space = "features"

    def check(self) -> None:
        """Raise `ConfigError` if there is no score, or an option has no meaning."""
        self._score = self.weighed()
        real("strategy.beta", self.beta, least=1)
        choice("strategy.space", self.space, ["features", "embeddings"])

    def __call__(self, context: Context) -> Picks:
        """Pick `context.k` samples."""
        scores = self._score(context)
        count = min(len(scores), math.ceil(self.beta * context.k))
        kept = np.sort(highest(scores, count, context.rng))
        x = rows_of(context, self.space, context.unlabelled[kept])
        weights = torch.from_numpy(scores[kept]).to(x.device)
        positions, sizes = representatives(x, context.k, context.rng, weights)
        return Picks(context.unlabelled[kept[positions]], sizes)


@needs("probs", "features")
def clue(context: Context, *, temperature: float = 1.0, space: Space = "features") -> Picks:
    """Unsure and diverse: k-means of all unlabelled, weighted by entropy (CLUE).

    The samples nearest to the k centroids are asked; the score of a pick is the weight of its
    cluster. With all entropies 0, all weigh the same.
    The authors' code takes the nearest sample of all to a centroid, then the next nearest that is
    not taken; here it is the nearest of the centroid's own cluster.

    Paper: Prabhu, Chandrasekaran, Saenko and Hoffman, Clustering Embeddings (CLUE), ICCV 2021.
    Budget: any; made for a shift of domain.
    Time: O(U C + min(U, 256 k) k (D + log k) 20 + U k D).
    Memory: O(U D).

    Args:
        context: what there is to choose from.
        temperature: of the probabilities: the lower, the more the weights differ, and the more
            uncertainty counts beside diversity.
        space: in which vectors are clustered.
    """
    real("strategy.temperature", temperature, above=0)
    weights = _entropies(context, temperature)
    x = rows_of(context, space, context.unlabelled)
    if not weights.any():
        weights = torch.ones_like(weights)
    positions, sizes = representatives(x, context.k, context.rng, weights.to(x.device))
    return Picks(context.unlabelled[positions], sizes)


def _entropies(context: Context, temperature: float) -> Tensor:
    probs = context.probs[torch.from_numpy(context.unlabelled).to(context.probs.device)].detach()
    if temperature != 1:
        probs = (probs.log() / temperature).softmax(dim=1)
    return measures.entropy(probs).clamp_(min=0)  # rounding may leave a little below 0
