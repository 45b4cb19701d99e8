"""Facility location: samples that together are similar to all others."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import choice, real
from activeloop.strategies.base import needs
from activeloop.strategies.kernels import Kernel, cosine, gaussian, placed
from activeloop.strategies.lazy import covering
from activeloop.strategies.spaces import Space, vectors
from activeloop.types import Context, Picks

# Samples among which the median distance is taken.
_SAMPLE = 1000


@needs("features")
def facility_location(
    context: Context,
    *,
    kernel: Literal["cosine", "rbf"] = "cosine",
    bandwidth: float | None = None,
    references: int | None = 10_000,
    space: Space = "features",
) -> Picks:
    """Most similar to what is not yet covered: greedy facility location over the unlabelled.

    Maximises the sum over the pool of each sample's similarity to its nearest labelled or picked
    one, by lazy greedy steps: at least 1 - 1/e of the optimum. The score of a pick is its gain, a
    mean over the references. Works with no labels.

    Paper: Wei, Iyer and Bilmes, Submodularity in Data Subset Selection, ICML 2015.
    Budget: low.
    Time: O(N R D) for R references, and as much again for some picks; lazy greedy.
    Memory: O(N D), no similarity matrix.

    Args:
        context: what there is to choose from.
        kernel: "cosine": (1 + cosine) / 2, where a row of zeros is 3/4 similar to others; or "rbf":
            exp(-d^2 / (2 bandwidth^2)).
        bandwidth: of rbf; None: the median distance between samples.
        references: how many unlabelled samples the coverage is measured on, drawn at random; None:
            all where there are up to 70,000, else 20,000. The gap to others is logged.
        space: "features" or "embeddings".
    """
    choice("strategy.kernel", kernel, ["cosine", "rbf"])
    if bandwidth is not None:
        real("strategy.bandwidth", bandwidth, above=0)
    rows = np.concatenate([context.unlabelled, context.labelled])
    points = placed(
        vectors(context, space), rows, normalize=kernel == "cosine", limit=context.memory_limit
    )
    similarity = cosine() if kernel == "cosine" else _rbf(points, bandwidth)
    return covering(context, points, similarity, references=references)


def _rbf(points: Tensor, bandwidth: float | None) -> Kernel:
    if bandwidth is None:
        some = points[:: max(1, len(points) // _SAMPLE), :-2]
        bandwidth = float(torch.nn.functional.pdist(some).median()) if len(some) > 1 else 1.0
    return gaussian((bandwidth or 1.0) * math.sqrt(2))
