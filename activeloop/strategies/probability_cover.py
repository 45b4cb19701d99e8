"""ProbCover: cover the pool with balls."""

from __future__ import annotations

from typing import Literal

import numpy as np

from activeloop.checks import real
from activeloop.strategies.ball_purity import pure_radius
from activeloop.strategies.base import needs
from activeloop.strategies.kernels import ball, placed
from activeloop.strategies.lazy import covering
from activeloop.strategies.spaces import Space, vectors
from activeloop.types import Context, Picks


@needs("features")
def probcover(
    context: Context,
    *,
    delta: float | Literal["auto"] = "auto",
    purity: float = 0.95,
    normalize: bool = True,
    references: int | None = None,
    space: Space = "features",
) -> Picks:
    """Covers the most samples that no label is near: the largest out-degree of the ball graph.

    Labelled samples cover what lies within delta first; then each pick covers the most of the rest.
    Ties, and the picks after all is covered, are random. Works with no labels.

    Paper: Yehuda et al., Active Learning Through a Covering Lens, NeurIPS 2022.
    Budget: low.
    Time: O(N R D) for R references, mostly for the first degrees; lazy greedy.
    Memory: O(N D), no graph.

    Scores are the share of the unlabelled samples that a pick newly covers. The authors' code
    leaves out the edges of the last samples of a pool that its batch size does not divide; here
    every sample has its ball.

    Args:
        context: what there is to choose from.
        delta: radius of the balls (rounding decides of distances equal to it); "auto": the largest
            at which they are `purity` pure, by k-means clusters, as many as classes. It is logged.
        purity: share of pure balls that "auto" asks for.
        normalize: scale vectors to length 1 first.
        references: how many unlabelled samples the coverage is measured on, drawn at random; None:
            all where there are up to 70,000, else 20,000. The gap to others is logged.
        space: "features" or "embeddings".
    """
    x = vectors(context, space)
    purity = real("strategy.purity", purity, above=0, most=1)
    rows = np.concatenate([context.unlabelled, context.labelled])
    points = placed(x, rows, normalize=normalize, limit=context.memory_limit)
    if delta == "auto":
        delta = pure_radius(points, context.n_classes, purity, context.rng)
    else:
        real("strategy.delta", delta, above=0)
    return covering(context, points, ball(delta), references=references)
