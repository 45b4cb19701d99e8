"""Cluster-Margin: the smallest margins, spread over hierarchical clusters."""

from __future__ import annotations

import logging
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop import measures
from activeloop.checks import real, whole
from activeloop.strategies.base import highest, needs
from activeloop.strategies.clustering import k_means
from activeloop.strategies.rows import rows_of, slices
from activeloop.strategies.spaces import Space
from activeloop.types import Context, Indices, Picks, Scores

_log = logging.getLogger(__name__)

Distances = npt.NDArray[np.float32]

# Steps of the k-means that comes first: small clusters need not be at their optimum.
_STEPS = 5


@needs("probs", "features")
def cluster_margin(
    context: Context,
    *,
    beta: float = 1.25,
    clusters: int | None = None,
    small: int = 2048,
    space: Space = "features",
) -> Picks:
    """Smallest margins, spread over hierarchical clusters, the smallest first (Cluster-Margin).

    The beta k samples of the smallest margin are taken by turns, one at random from each cluster,
    clusters with the fewest of them first. The score of a pick is 1 - margin.
    The paper clusters once, in the first round's features, by average linkage cut at a distance.
    That is quadratic. Here pools over `small` samples are first put into that many clusters by
    k-means, which are then joined by average linkage, weighted by their sizes. The distance of two
    is the root mean square over their pairs of samples, |c - c'|^2 + spread + spread', which is the
    mean where samples lie densely in many dimensions. Clusters finer than the small ones cannot
    be found; how far apart the samples of one are is logged beside the distance of the cut.
    Features change from round to round, and the clusters with them; `space=embeddings` keeps them.

    Paper: Citovsky et al., Batch Active Learning at Scale, NeurIPS 2021.
    Budget: high; made for batches of thousands.
    Time: O(U S (C + D) + S^2 log S) for S small clusters.
    Memory: O(U D + S^2).

    Args:
        context: what there is to choose from.
        beta: how many times k samples of the smallest margin are chosen from.
        clusters: how many there are; None: k.
        small: pools of more samples than this are clustered by k-means first; the linkage takes
            8 bytes times its square.
        space: in which vectors are clustered.
    """
    real("strategy.beta", beta, least=1)
    whole("strategy.small", small, least=1)
    count = context.k if clusters is None else whole("strategy.clusters", clusters, least=1)
    unlabelled = torch.from_numpy(context.unlabelled).to(context.probs.device)
    unsure = (1 - measures.margin(context.probs[unlabelled])).double().cpu().numpy()
    size = min(len(unsure), math.ceil(beta * context.k))
    least = highest(unsure, size, context.rng)
    x = rows_of(context, space, context.unlabelled).float()
    member = hierarchical(x, max(1, count), small, context.rng)[least]
    chosen = least[round_robin(member, context.k, context.rng)]
    return Picks(context.unlabelled[chosen], unsure[chosen])


def round_robin(member: Indices, k: int, rng: np.random.Generator) -> Indices:
    """Take `k` positions by turns from clusters, the smallest first, at random within each."""
    _, cluster, sizes = np.unique(member, return_inverse=True, return_counts=True)
    shuffled = rng.permutation(len(cluster))
    by_cluster = shuffled[np.argsort(cluster[shuffled], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    turn = np.empty(len(cluster), np.int64)
    turn[by_cluster] = np.arange(len(cluster)) - np.repeat(starts, sizes)
    tie = rng.permutation(len(sizes))
    order: Indices = np.lexsort((tie[cluster], sizes[cluster], turn))[:k]
    return order


def hierarchical(x: Tensor, count: int, small: int, rng: np.random.Generator) -> Indices:
    """Return the cluster of each row of `x`, of `count` clusters by average linkage, `[n]`."""
    if len(x) <= small:
        centres, near = x, np.arange(len(x))
    else:
        centres, assignment = k_means(x, small, rng, steps=_STEPS, greedy=False)
        filled, near = np.unique(assignment.cpu().numpy(), return_inverse=True)
        centres = centres[torch.from_numpy(filled).to(x.device)]
    sizes = np.bincount(near).astype(float)
    spread = np.bincount(near, _squared_to(centres, x, near)) / sizes
    apart = torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist").square_()
    own = torch.from_numpy(spread).to(apart)
    apart = apart.add_(own).add_(own[:, None]).sqrt_()
    first, second, heights = average_linkage(apart.cpu().numpy(), sizes)
    joined = max(0, len(centres) - count)
    if len(x) > small and joined:
        _log.info(
            "cluster_margin: %d small clusters stand for %d samples; two samples of one are %.3g "
            "apart (root mean square), and clusters are joined up to an average distance of %.3g",
            len(centres), len(x), math.sqrt(2 * float(spread @ sizes) / len(x)), heights[joined - 1]
        )  # fmt: skip
    label = np.arange(len(centres))
    for a, b in zip(first[:joined], second[:joined], strict=True):
        label[label == label[a]] = label[b]
    return label[near]


def _squared_to(centres: Tensor, x: Tensor, near: Indices) -> Scores:
    """Return the squared distance of each row of `x` to its centre, `[n]`."""
    own = torch.from_numpy(near).to(x.device)
    squared = [
        (x[some] - centres[own[some]]).square().sum(dim=1)
        for some in slices(len(x), 8 * x.shape[1])
    ]
    distances: Scores = torch.cat(squared).double().cpu().numpy()
    return distances


def average_linkage(apart: Distances, sizes: Scores) -> tuple[Indices, Indices, Scores]:
    """Join clusters by average linkage; return which, and their average distance, nearest first.

    By chains of nearest neighbours: two clusters that are each other's nearest can be joined at
    once, for no later join comes nearer to them. O(m^2) time.

    Args:
        apart: distances `[m, m]`; overwritten.
        sizes: how many samples each stands for, `[m]`.

    Returns:
        A member of either side `[m - 1]`, twice, and the average distance `[m - 1]`, ascending.
    """
    sizes = sizes.copy()
    np.fill_diagonal(apart, np.inf)
    joins: list[tuple[float, int, int]] = []
    chain: list[int] = []
    left = set(range(len(sizes)))
    while len(left) > 1:
        if not chain:
            chain.append(min(left))
        last = chain[-1]
        nearest = int(apart[last].argmin())
        if len(chain) > 1 and apart[last, chain[-2]] <= apart[last, nearest]:
            nearest = chain[-2]
            del chain[-2:]
            joins.append((float(apart[last, nearest]), last, nearest))
            whole = sizes[last] + sizes[nearest]
            mean = (sizes[last] * apart[last] + sizes[nearest] * apart[nearest]) / whole
            mean[nearest] = np.inf
            apart[nearest] = apart[:, nearest] = mean
            apart[last] = apart[:, last] = np.inf
            sizes[nearest] = whole
            left.remove(last)
        else:
            chain.append(nearest)
    joins.sort()
    heights, first, second = zip(*joins, strict=True) if joins else ((), (), ())
    return np.array(first, np.int64), np.array(second, np.int64), np.array(heights)
