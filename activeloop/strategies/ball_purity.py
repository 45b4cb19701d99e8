"""The radius of balls that hold one class, as far as clusters can tell (Yehuda et al., 2022)."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.strategies.clustering import k_means
from activeloop.strategies.coverage import BLOCK
from activeloop.strategies.kernels import half_squares
from activeloop.types import Indices

_log = logging.getLogger("activeloop.strategies")

# Balls that are looked at.
_PROBES = 2000


def pure_radius(points: Tensor, n_classes: int, purity: float, rng: np.random.Generator) -> float:
    """Return the largest radius at which a share `purity` of the balls are pure.

    A ball is pure if all samples in it have the pseudo-label of its centre; pseudo-labels are
    k-means clusters, as many as classes. A ball stays pure up to the distance of the nearest sample
    of another cluster, so the radius is a quantile of these distances, with no grid. They are taken
    at 2,000 samples drawn by `rng`, against all.

    Args:
        points: from `kernels.placed`, `[n, D + 2]`.
        n_classes: how many clusters; fewer where there are fewer samples.
        purity: in (0, 1].
        rng: draws clusters and samples.
    """
    n = len(points)
    clusters = k_means(points[:, :-2], min(n_classes, n), rng)[1]
    probes = np.sort(rng.choice(n, min(n, _PROBES), replace=False))
    apart = np.sort(_nearest_other(points, clusters, probes))
    # At least a share `purity` of the sorted distances is not below this one.
    radius = float(apart[int(np.floor((1 - purity) * len(apart) + 1e-9))])
    # Where there is one cluster only, a ball that holds all.
    radius = min(radius, 2 * float((-2 * points[:, -2].min()).sqrt()))
    _log.info(
        "delta = %.4g: %.1f%% of %d balls are pure, by %d clusters",
        *(radius, 100 * (apart >= radius).mean(), len(apart), min(n_classes, n)),
    )
    return max(radius, 1e-6)


def _nearest_other(points: Tensor, clusters: Tensor, probes: Indices) -> npt.NDArray[np.float64]:
    """Return the distance of each probe to the nearest sample of another cluster, or infinity."""
    nearest = np.full(len(probes), np.inf)
    for i in range(0, len(probes), BLOCK):
        rows = torch.from_numpy(probes[i : i + BLOCK]).to(points.device)
        best = torch.full((len(rows),), -torch.inf, dtype=points.dtype, device=points.device)
        where = torch.zeros(len(rows), dtype=torch.int64, device=points.device)
        for j in range(0, len(points), BLOCK):
            values = half_squares(points[rows], points[j : j + BLOCK])
            values.masked_fill_(clusters[rows, None] == clusters[j : j + BLOCK], -torch.inf)
            value, column = values.max(dim=1)
            where = torch.where(value > best, column + j, where)
            best = torch.maximum(best, value)
        # Products round small distances to noise.
        exact = (points[rows, :-2] - points[where, :-2]).double().norm(dim=1)
        exact[best == -torch.inf] = torch.inf
        nearest[i : i + BLOCK] = exact.cpu().numpy()
    return nearest
