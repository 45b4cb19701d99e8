"""TypiClust: the most typical sample of each cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import whole
from activeloop.memory import rows_at_a_time
from activeloop.strategies.base import highest, needs
from activeloop.strategies.clustering import k_means
from activeloop.strategies.kernels import half_squares, placed
from activeloop.strategies.spaces import Space, vectors
from activeloop.types import Context, Indices, Picks, Scores

_log = logging.getLogger("activeloop.strategies")

_NEIGHBOURS = 20
# Clusters of so few hold outliers, and are left for last.
_SMALL = 5
# Of a larger cluster, so many stand for the rest.
_CROWDED = 20_000
# So many of a cluster get exact distances.
_EXACT = 64
# Rows a cluster that the centroids are trained on, and steps of training.
_TRAINED_ON, _STEPS = 64, 10


@needs("features")
def typiclust(
    context: Context,
    *,
    max_clusters: int = 500,
    normalize: bool = True,
    space: Space = "features",
) -> Picks:
    """Takes the most typical sample of each cluster, of those with the fewest labels first.

    min(labels + k, max_clusters) clusters by k-means, the largest first among equals; typicality
    is 1 / the mean distance to min(20, size / 2) neighbours in the cluster. Clusters of 5 or fewer
    come last. More picks than clusters go round again. Works with no labels.

    Paper: Hacohen, Dekel and Weinshall, Active Learning on a Budget, ICML 2022.
    Budget: low.
    Time: O(N K D) for K clusters, and O(s^2 D) for each cluster of s samples that is picked from.
    Memory: O(N D).

    The authors' code takes squared distances for distances, and leaves labelled samples out of the
    neighbours; here all samples of a cluster are neighbours. Clusters above 20,000 samples
    are represented by that many, the others come last.

    Args:
        context: what there is to choose from.
        max_clusters: most clusters there may be.
        normalize: scale vectors to length 1 first.
        space: "features" or "embeddings".
    """
    most = whole("strategy.max_clusters", max_clusters, least=1)
    rows = np.concatenate([context.unlabelled, context.labelled])
    x = placed(vectors(context, space), rows, normalize=normalize, limit=context.memory_limit)
    size = min(len(context.labelled) + context.k, most, len(rows))
    clusters = _clusters(x, size, context.rng)
    n = len(context.unlabelled)
    order, small = _ranked(clusters, n, size, context.rng)
    picks: list[int] = []
    scores: list[float] = []
    for queue in (order, small):
        ranks = [_typical(x, clusters, cluster, n, context.rng) for cluster in queue]
        while ranks and len(picks) < context.k:
            left = []
            for rank in ranks:
                if len(picks) < context.k and (best := next(rank, None)) is not None:
                    picks.append(best[0])
                    scores.append(best[1])
                    left.append(rank)
            ranks = left
    return Picks(context.unlabelled[picks], scores)


def _clusters(x: Tensor, size: int, rng: np.random.Generator) -> Indices:
    """Return the cluster of each row: centroids are trained on a sample, all are assigned."""
    n = len(x)
    some = np.sort(rng.choice(n, min(n, max(_TRAINED_ON * size, 10_000)), replace=False))
    sample = x[torch.from_numpy(some).to(x.device), :-2]
    centroids = k_means(sample, size, rng, steps=_STEPS, greedy=False)[0].to(x)
    centres = torch.cat([centroids, torch.ones_like(centroids[:, :2])], dim=1)
    centres[:, -2] = -0.5 * centroids.square().sum(dim=1)
    step = rows_at_a_time(4 * size)
    nearest = [half_squares(x[i : i + step], centres).argmax(dim=1) for i in range(0, n, step)]
    return torch.cat(nearest).cpu().numpy()


def _ranked(
    clusters: Indices, n: int, size: int, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Return the clusters to pick from, first is first, and the small ones apart.

    The first `n` rows are unlabelled, the rest labelled.
    """
    members = np.bincount(clusters, minlength=size)
    labels = np.bincount(clusters[n:], minlength=size)
    order = np.lexsort((rng.permutation(size), -members, labels))
    order = order[members[order] > labels[order]]
    large = members[order] > _SMALL
    return order[large].tolist(), order[~large].tolist()


def _typical(
    x: Tensor, clusters: Indices, cluster: int, n: int, rng: np.random.Generator
) -> Iterator[tuple[int, float]]:
    """Yield the unlabelled rows of a cluster and their typicality, most typical first."""
    members, others = np.flatnonzero(clusters == cluster), np.empty(0, np.int64)
    if len(members) > _CROWDED:
        _log.info("cluster of %d samples: %d stand for it", len(members), _CROWDED)
        members, others = np.split(rng.permutation(members), [_CROWDED])
    typicality = _typicality(x[torch.from_numpy(members).to(x.device)])
    free = members < n
    members, typicality = members[free], typicality[free]
    for position in highest(typicality, len(members), rng):
        yield int(members[position]), float(typicality[position])
    yield from ((int(other), 0.0) for other in others if other < n)


def _typicality(x: Tensor) -> Scores:
    """Return 1 / the mean distance of each row to min(20, size / 2) others, `[size]`."""
    size, found = len(x), np.zeros(len(x))
    m = min(_NEIGHBOURS, max(1, size // 2), size - 1)
    if m == 0:
        return found
    step = rows_at_a_time(4 * size)
    for i in range(0, size, step):
        own = torch.arange(i, min(i + step, size), device=x.device)
        squares = -2 * _nearest(x, own, m).values.double()
        found[i : i + step] = _inverse_mean(squares.clamp(min=0).sqrt())
    # Products round small distances to noise, so those of the most typical are computed exactly.
    top = torch.from_numpy(np.argpartition(-found, min(_EXACT, size) - 1)[:_EXACT]).to(x.device)
    near = _nearest(x, top, m).indices
    apart = (x[near, :-2] - x[top, None, :-2]).double().norm(dim=2)
    found[top.cpu().numpy()] = _inverse_mean(apart)
    return found


def _nearest(x: Tensor, rows: Tensor, m: int) -> torch.return_types.topk:
    """Return the `m` highest -d^2 / 2 to other rows."""
    halves = half_squares(x[rows], x)
    halves[torch.arange(len(rows), device=x.device), rows] = -torch.inf
    return halves.topk(m, dim=1, sorted=False)


def _inverse_mean(distances: Tensor) -> Scores:
    found: Scores = (1 / distances.mean(dim=1).clamp(min=1e-12)).cpu().numpy()
    return found
