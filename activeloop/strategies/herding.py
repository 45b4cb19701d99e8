"""MaxHerding: cover the pool smoothly."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from activeloop.checks import real
from activeloop.strategies.base import needs
from activeloop.strategies.kernels import gaussian, placed
from activeloop.strategies.lazy import covering
from activeloop.strategies.spaces import Space, vectors
from activeloop.types import Context, Picks


@needs("features")
def max_herding(
    context: Context,
    *,
    radius: float = 1.0,
    references: int | None = None,
    space: Space = "features",
) -> Picks:
    """Adds most to the pool's mean similarity to its most similar label (Gaussian kernel).

    K(x, y) = exp(-|x - y|^2 / radius^2) on unit vectors; each pick maximises the mean over the
    references j of [K(x, j) - max over labelled and picked l of K(l, j)]+. Works with no labels.

    Paper: Bae, Noh and Sutherland, Generalized Coverage for Low-Budget Active Learning, ECCV 2024.
    Budget: low.
    Time: O(N R D) for R references, and as much again for some picks; lazy greedy.
    Memory: O(N D), no kernel matrix.

    Args:
        context: what there is to choose from.
        radius: width of the kernel.
        references: how many unlabelled samples the coverage is measured on, drawn at random; None:
            all where there are up to 70,000, else 20,000. The gap to others is logged.
        space: "features" or "embeddings".
    """
    real("strategy.radius", radius, above=0)
    return herd(context, vectors(context, space), radius, None, references)


def herd(
    context: Context, x: Tensor, radius: float, weights: Tensor | None, references: int | None
) -> Picks:
    """Return the greedy picks by Gaussian coverage, weighted by `weights` `[U]` of the unlabelled.

    Scores are the gain of each pick in coverage: the weighted mean over the references.
    """
    rows = np.concatenate([context.unlabelled, context.labelled])
    points = placed(x, rows, normalize=True, limit=context.memory_limit)
    return covering(context, points, gaussian(radius), weights=weights, references=references)
