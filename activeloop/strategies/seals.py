"""Choose among the neighbours of what is labelled only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from activeloop.checks import choice, whole
from activeloop.strategies.base import needs
from activeloop.strategies.loading import Inner
from activeloop.strategies.narrowing import Narrowing
from activeloop.strategies.spaces import Space
from activeloop.strategies.wrapping import among, drawn
from activeloop.types import Context, Indices


@needs("embeddings", "neighbors")
@dataclass(kw_only=True, repr=False, eq=False)
class Seals(Narrowing):
    """As a strategy picks among the m nearest neighbours of the labelled; no other is predicted.

    Neighbours are searched on unit vectors, and of newly labelled samples only; those in
    embeddings are kept on disk for other runs. Where they are fewer than `k`, random samples are
    added; with nothing labelled, the whole pool is there to choose from. `space=features` changes
    with each network, so that everything is predicted first.

    Paper: Coleman et al., Similarity Search for Efficient Active Learning, AAAI 2022.
    Budget: any, in large pools of which few samples matter.
    Time: O(k N D), and the inner one's on L m samples.
    Memory: O(N), and the inner one's on L m samples.

    Args:
        strategy: chooses among the neighbours.
        m: nearest neighbours of each labelled sample.
        space: in which they are searched.
    """

    strategy: Inner = "margin"
    m: int = 100
    space: Space = "embeddings"

    def check(self) -> None:
        """Raise `ConfigError` if an option has no meaning."""
        whole("strategy.m", self.m, least=1)
        choice("strategy.space", self.space, ["features", "embeddings"])

    def narrowed(self, context: Context) -> Indices | None:
        """Return the unlabelled neighbours, with random samples up to `k`."""
        too_early = self.space == "features" and context.features is None
        if too_early or len(context.labelled) == 0:
            return None
        _, found = context.neighbors(self.m, space=self.space, queries=context.labelled)
        is_near = np.isin(context.unlabelled, found.cpu().numpy())
        chosen = context.unlabelled[is_near]
        if len(chosen) >= context.k:
            return chosen
        rest = among(context, context.unlabelled[~is_near])
        return np.sort(np.concatenate([chosen, drawn(rest, context.k - len(chosen))]))
