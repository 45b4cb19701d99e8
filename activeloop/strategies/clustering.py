"""k-means by faiss, seeded by k-means++."""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.types import Indices

Vectors = npt.NDArray[np.float32]


def k_means(
    x: Tensor, k: int, rng: np.random.Generator, *, weights: Tensor | None = None, steps: int = 20
) -> tuple[Tensor, Tensor]:
    """Return centroids `[k, D]` and the nearest centroid of each row `[n]`, by Lloyd's algorithm.

    faiss.Kmeans on at most 256 rows a centroid, in float32 on the CPU; the rows are then assigned
    exactly. O(256 k^2 D steps + n k D) time.

    Args:
        x: `[n, D]`, at least `k` rows, no NaN.
        k: number of clusters; some may be empty where rows are equal.
        rng: draws the seeds.
        weights: of the rows, `[n]`, not negative.
        steps: of Lloyd's algorithm.
    """
    matrix = np.ascontiguousarray(x.detach().cpu().numpy(), np.float32)
    mass = None if weights is None else weights.detach().cpu().numpy().astype(np.float32)
    clustering = faiss.Kmeans(
        matrix.shape[1],
        k,
        niter=steps,
        seed=int(rng.integers(2**31)),
        min_points_per_centroid=1,
        max_points_per_centroid=256,
    )
    clustering.train(matrix, weights=mass)
    nearest = _assigned(clustering.index, matrix)
    centroids = np.asarray(clustering.centroids, np.float32)
    return torch.from_numpy(centroids).to(x.device), nearest.to(x.device)


def _assigned(index: faiss.Index, matrix: Vectors) -> Tensor:
    nearest: Indices = index.search(matrix, 1)[1][:, 0]
    return torch.from_numpy(nearest)
