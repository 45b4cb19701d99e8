"""Nearest neighbours by faiss over the whole pool, behind one function."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Literal

import faiss
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.checks import choice, whole
from activeloop.errors import StrategyError
from activeloop.types import Indices

# Neighbour tables kept, by the fingerprint of what they were computed from: features that do not
# change are searched once for all rounds, seeds and strategies of a process.
_KEPT = 2
_tables: OrderedDict[str, tuple[Tensor, Tensor]] = OrderedDict()

# Bytes of gathered neighbour rows at a time.
_CHUNK_BYTES = 16 * 2**20


def nearest(
    features: Tensor, m: int, reference: Indices | None = None, *, normalize: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the `m` nearest neighbours of each row, exactly, the row itself left out.

    Time is O(n r D) for `r` references, memory O(n (D + m)).

    Args:
        features: `[n, D]`; rows with NaN (not predicted) have no neighbours and are nobody's.
        m: how many neighbours.
        reference: rows among which to search; None: all.
        normalize: scale rows to length 1 first (a row of zeros stays).

    Returns:
        Euclidean distances `[n, m]` float32 and row numbers `[n, m]` int64 on the features'
        device, nearest first, equal distances by row number; where fewer than `m` exist, the rest
        is infinity and -1.
    """
    whole("m, the number of neighbours,", m, least=1)
    matrix = np.ascontiguousarray(features.detach().cpu().numpy(), np.float32)
    rows = np.flatnonzero(~np.isnan(matrix).any(axis=1))
    if normalize:
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
        matrix = np.divide(matrix, lengths, out=np.zeros_like(matrix), where=lengths > 0)
    near_to = rows if reference is None else np.intersect1d(rows, reference)
    distances = np.full((len(matrix), m), np.inf, np.float32)
    indices = np.full((len(matrix), m), -1, np.int64)
    # One more than asked, for the row itself is among the references, at distance 0.
    width = min(m + 1, len(near_to))
    if width and len(rows):
        index = faiss.IndexFlatL2(matrix.shape[1])
        index.add(matrix[near_to])
        found = near_to[index.search(matrix[rows], width)[1]]
        exact, found = _ordered(matrix, rows, found)
        distances[rows, :width], indices[rows, :width] = exact[:, :m], found[:, :m]
    device = features.device
    return torch.from_numpy(distances).to(device), torch.from_numpy(indices).to(device)


def _ordered(
    matrix: npt.NDArray[np.float32], rows: Indices, found: Indices
) -> tuple[npt.NDArray[np.float32], Indices]:
    """Return exact distances to `found` `[rows, w]`, ascending, the row itself put last as absent.

    The search computes |x|^2 + |y|^2 - 2xy, which rounds distances below 1e-3 to noise.
    """
    # Sorted by number first, so that the stable sort by distance breaks ties by number. Where
    # duplicates crowd the row itself out of its own neighbours, the farthest one falls off.
    found = np.sort(found, axis=1)
    exact = np.empty(found.shape, np.float32)
    step = max(1, _CHUNK_BYTES // (4 * found.shape[1] * matrix.shape[1]))
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        apart = matrix[found[some]] - matrix[rows[some], None]
        exact[some] = np.sqrt(np.einsum("nmd,nmd->nm", apart, apart))
    itself = found == rows[:, None]
    exact[itself], found[itself] = np.inf, -1
    order = np.argsort(exact, axis=1, kind="stable")
    return np.take_along_axis(exact, order, axis=1), np.take_along_axis(found, order, axis=1)


class PoolNeighbors:
    """The `neighbors` of a context: `nearest` over a round's pool, kept by fingerprint.

    Args:
        features: `[N, D]` of this round, or None.
        embeddings: `[N, E]` fixed features, or None.
        labelled: indices of the labelled samples, `[L]`.
    """

    def __init__(
        self, features: Tensor | None, embeddings: Tensor | None, labelled: Indices
    ) -> None:
        self._spaces = {"features": features, "embeddings": embeddings}
        self._labelled = labelled

    def __call__(
        self,
        m: int,
        reference: Literal["pool", "labelled"] = "pool",
        *,
        space: Literal["features", "embeddings"] = "features",
        normalize: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Return distances `[N, m]` and pool indices `[N, m]`; see `activeloop.types.Neighbors`.

        Raises:
            ConfigError: an unknown reference or space, or `m` below 1.
            StrategyError: there are no features of that space.
        """
        choice("reference", reference, ["pool", "labelled"])
        features = self._spaces[choice("space", space, self._spaces)]
        if features is None:
            raise StrategyError(
                "there are no embeddings in this run: choose embed=pca or embed=file"
                if space == "embeddings"
                else "there are no features before the first round: use space=embeddings"
            )
        rows = None if reference == "pool" else self._labelled
        return _kept(features, m, rows, normalize)


def _kept(features: Tensor, m: int, rows: Indices | None, normalize: bool) -> tuple[Tensor, Tensor]:
    digest = hashlib.blake2b(np.ascontiguousarray(features.detach().cpu().numpy()).data)
    digest.update(b"pool" if rows is None else rows.tobytes())
    key = f"{digest.hexdigest()} {tuple(features.shape)} {features.device} {m} {normalize}"
    if key not in _tables:
        _tables[key] = nearest(features, m, rows, normalize=normalize)
        while len(_tables) > _KEPT:
            _tables.popitem(last=False)
    _tables.move_to_end(key)
    distances, indices = _tables[key]
    # Copies: what one strategy does to them, the next must not meet.
    return distances.clone(), indices.clone()
