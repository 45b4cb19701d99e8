"""k-means by faiss, seeded by greedy k-means++, and the samples that stand for its clusters."""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.strategies.base import highest
from activeloop.strategies.rows import slices
from activeloop.strategies.seeding import Euclidean, greedy_plus_plus, plus_plus
from activeloop.types import Indices, Scores

Vectors = npt.NDArray[np.float32]

# Rows a cluster that the centroids are trained on at most.
_TRAINED = 256


def k_means(
    x: Tensor,
    k: int,
    rng: np.random.Generator,
    *,
    weights: Tensor | None = None,
    steps: int = 20,
    greedy: bool = True,
) -> tuple[Tensor, Tensor]:
    """Return centroids `[k, D]` and the nearest centroid of each row `[n]`, by Lloyd's algorithm.

    Seeds by greedy k-means++, then faiss.Kmeans, on at most 256 rows a centroid, in float32 on the
    CPU; all rows are then assigned exactly. O(256 k^2 D (steps + log k) + n k D) time. A cluster
    that runs empty takes half of a large one; clusters stay empty only where rows are equal.

    Args:
        x: `[n, D]`, at least `k` rows, no NaN.
        k: number of clusters, at least 1.
        rng: draws the rows trained on, and the seeds.
        weights: of the rows, `[n]`, not negative; all zero counts as all equal.
        steps: of Lloyd's algorithm.
        greedy: seed by greedy k-means++, a few percent nearer to the optimum for small clusters;
            else (without weights) by plain k-means++, many times faster where `k` is large.
    """
    matrix = np.ascontiguousarray(x.detach().cpu().numpy(), np.float32)
    mass = None if weights is None else weights.detach().cpu().numpy().astype(np.float32)
    if mass is not None and not mass.any():
        mass = None
    trained, mass = _trained(matrix, mass, k, rng)
    # Products of centred rows round less.
    mean = trained.mean(axis=0, dtype=np.float64).astype(np.float32)
    trained = trained - mean
    lloyd = faiss.Kmeans(
        matrix.shape[1],
        k,
        niter=steps,
        seed=int(rng.integers(2**31)),
        min_points_per_centroid=1,
        max_points_per_centroid=_TRAINED,
    )
    seeds = _seeds(trained, mass, k, rng, greedy)
    lloyd.train(trained, weights=mass, init_centroids=trained[seeds])
    nearest = np.empty(len(matrix), np.int64)
    for some in slices(len(matrix), 4 * matrix.shape[1]):
        nearest[some] = lloyd.index.search(matrix[some] - mean, 1)[1][:, 0]
    centroids = np.asarray(lloyd.centroids, np.float32) + mean
    return torch.from_numpy(centroids).to(x.device), torch.from_numpy(nearest).to(x.device)


def _trained(
    matrix: Vectors, mass: Vectors | None, k: int, rng: np.random.Generator
) -> tuple[Vectors, Vectors | None]:
    """Return the rows to train on, and their weights; those of weight 0 only where they must."""
    rows = np.arange(len(matrix)) if mass is None else np.flatnonzero(mass)
    if len(rows) < k:
        spare = rng.permutation(np.setdiff1d(np.arange(len(matrix)), rows))
        rows = np.concatenate([rows, spare[: k - len(rows)]])
    if len(rows) > _TRAINED * k:
        rows = np.sort(rng.choice(rows, _TRAINED * k, replace=False))
    if len(rows) == len(matrix):
        return matrix, mass
    return matrix[rows], None if mass is None else mass[rows]


def _seeds(
    x: Vectors, mass: Vectors | None, k: int, rng: np.random.Generator, greedy: bool
) -> Indices:
    rows = torch.from_numpy(x)
    if not greedy and mass is None:
        return plus_plus(Euclidean(rows), int(rng.integers(len(x))), k, rng).positions
    weights = torch.ones(len(x)) if mass is None else torch.from_numpy(mass)
    return greedy_plus_plus(rows, weights, k, rng)


def representatives(
    x: Tensor, k: int, rng: np.random.Generator, weights: Tensor | None = None
) -> tuple[Indices, Scores]:
    """Return the rows nearest to the centroids of `k` clusters, and how much each stands for.

    See `k_means` and `nearest_to_centroids`; `k` from 0 to the number of rows.
    """
    if k == 0:
        return np.empty(0, np.int64), np.empty(0)
    if k == len(x):  # each row is its own cluster
        centroids, assignment = x, torch.arange(k, device=x.device)
    else:
        centroids, assignment = k_means(x, k, rng, weights=weights)
    return nearest_to_centroids(x, centroids, assignment, rng, weights)


def nearest_to_centroids(
    x: Tensor,
    centroids: Tensor,
    assignment: Tensor,
    rng: np.random.Generator,
    weights: Tensor | None = None,
) -> tuple[Indices, Scores]:
    """Return one row for each of `k` clusters `[k]`, and how much each stands for `[k]`.

    It is the row of the cluster that is nearest to the centroid. Clusters that are empty, where
    rows are equal, are made up for by the rows farthest from their centroids. Ties break by
    `rng`. The largest cluster comes first.

    Args:
        x: `[n, D]`, at least as many rows as centroids.
        centroids: `[k, D]`.
        assignment: the cluster of each row, `[n]`.
        rng: breaks ties.
        weights: of the rows, `[n]`; None: 1 each.
    """
    away = torch.empty(len(x), dtype=torch.float64, device=x.device)
    for some in slices(len(x), 12 * x.shape[1]):
        away[some] = (x[some] - centroids[assignment[some]]).double().square().sum(dim=1)
    far: Scores = away.cpu().numpy()
    cluster: Indices = assignment.cpu().numpy()
    mass = np.ones(len(far)) if weights is None else weights.double().cpu().numpy()
    order = np.lexsort((rng.permutation(len(far)), far, cluster))
    filled, starts = np.unique(cluster[order], return_index=True)
    chosen: Indices = order[starts]
    size: Scores = np.bincount(cluster, mass, len(centroids))[filled].astype(np.float64)
    largest = np.lexsort((rng.permutation(len(size)), -size))
    chosen, size = chosen[largest], size[largest]
    missing = len(centroids) - len(chosen)
    if missing:
        far[chosen] = -1
        chosen = np.concatenate([chosen, highest(far, missing, rng)])
        size = np.concatenate([size, np.zeros(missing)])
    return chosen, size
