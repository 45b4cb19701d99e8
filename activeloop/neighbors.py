"""Nearest neighbours over the whole pool, behind one function."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.checks import choice, real, whole
from activeloop.errors import StrategyError
from activeloop.indexes import KINDS, Vectors, search_on_device, searcher
from activeloop.memory import rows_at_a_time
from activeloop.neighbor_tables import Table, TableStore
from activeloop.types import Indices

Distances = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class NeighborSearch:
    """How neighbours are searched.

    Attributes:
        index: "exact"; "ivf" (inverted lists) or "hnsw" (a graph), approximate; or "auto": exact
            while that takes seconds, then "ivf". On a GPU the search is always exact.
        recall: least share of the true neighbours that an approximate search must find; measured
            on a sample and logged.
        cache: folder in which the neighbours in fixed embeddings are kept between runs; None:
            nowhere.

    Raises:
        ConfigError: an option has no meaning.
    """

    index: str = "auto"
    recall: float = 0.99
    cache: Path | None = None

    def __post_init__(self) -> None:
        choice("neighbors.index", self.index, KINDS)
        real("neighbors.recall", self.recall, above=0, most=1)

    @property
    def accuracy(self) -> str:
        """What tells tables of different accuracy apart."""
        return "exact" if self.index == "exact" else f"{self.index} {self.recall:g}"


def nearest(
    features: Tensor,
    m: int,
    reference: Indices | None = None,
    *,
    normalize: bool = True,
    queries: Indices | None = None,
    search: NeighborSearch | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the `m` nearest neighbours of each row, the row itself left out.

    The exact search of `q` rows among `r` takes O(q r D) time. Memory is one copy of the references
    and the result, O(r D + q m).

    Args:
        features: `[n, D]`; rows with NaN (not predicted) have no neighbours and are nobody's.
        m: how many neighbours.
        reference: rows among which to search; None: all.
        normalize: scale rows to length 1 first (a row of zeros stays).
        queries: rows whose neighbours to search; None: all.
        search: how; None: exact while that takes seconds.

    Returns:
        Euclidean distances `[q, m]` float32 and row numbers `[q, m]` int64 on the features'
        device, nearest first, equal distances by row number; where fewer than `m` exist, the rest
        is infinity and -1.
    """
    whole("m, the number of neighbours,", m, least=1)
    rows = _Rows(features, normalize)
    asked = np.arange(len(features)) if queries is None else np.asarray(queries, np.int64)
    places = np.flatnonzero(rows.present[asked])
    near_to = np.flatnonzero(rows.present if reference is None else rows.among(reference))
    distances = np.full((len(asked), m), np.inf, np.float32)
    indices = np.full((len(asked), m), -1, np.int64)
    # One more than asked, for the row itself may be among the references, at distance 0.
    width = min(m + 1, len(near_to))
    if width and len(places):
        found = _found(rows, near_to, asked[places], width, search or NeighborSearch())
        step = rows_at_a_time(12 * width * rows.dimensions)
        for start in range(0, len(places), step):
            some = places[start : start + step]
            exact, numbers = _ordered(rows, asked[some], found[start : start + step])
            distances[some, :width], indices[some, :width] = exact[:, :m], numbers[:, :m]
    device = features.device
    return torch.from_numpy(distances).to(device), torch.from_numpy(indices).to(device)


class _Rows:
    """Rows of a tensor, read as float32 in main memory and scaled to length 1 if so wished."""

    def __init__(self, features: Tensor, normalize: bool) -> None:
        self.features = features.detach()
        self._matrix = self.features.cpu().numpy()
        self.dimensions = int(features.shape[1])
        self.normalize = normalize
        self.present = np.empty(len(features), bool)
        # What each row is divided by; measured once, for a row is read many times.
        self._scale = np.empty((len(features) if normalize else 0, 1), np.float32)
        step = rows_at_a_time(8 * self.dimensions)
        for start in range(0, len(features), step):
            some = slice(start, start + step)
            rows = self._matrix[some].astype(np.float32, copy=False)
            self.present[some] = ~np.isnan(rows).any(axis=1)
            if normalize:
                lengths = np.linalg.norm(rows, axis=1, keepdims=True)
                self._scale[some] = np.where(lengths > 0, lengths, 1)

    def among(self, reference: Indices) -> npt.NDArray[np.bool_]:
        """Return which rows are present and in `reference`, `[N]`."""
        chosen = np.zeros_like(self.present)
        chosen[reference] = True
        return chosen & self.present

    def take(self, numbers: Indices) -> Vectors:
        """Return rows by their numbers, `[n, D]` float32, which are the caller's."""
        rows: Vectors = self._matrix.take(numbers, axis=0).astype(np.float32, copy=False)
        if self.normalize:
            rows /= self._scale.take(numbers, axis=0)
        return rows


def _found(
    rows: _Rows, reference: Indices, queries: Indices, width: int, search: NeighborSearch
) -> Indices:
    """Return the numbers `[q, width]` of the nearest rows among `reference`, in any order."""
    if rows.features.device.type != "cpu":
        return _found_on_device(rows, reference, queries, width)
    ask = searcher(search.index, search.recall, rows, reference, queries, width)
    positions = ask(queries, width)
    # An approximate search may come back with too few: those rows are searched exactly.
    short = np.flatnonzero((positions < 0).any(axis=1))
    if len(short):
        exactly = searcher("exact", 1, rows, reference, queries[short], width)
        positions[short] = exactly(queries[short], width)
    return reference[positions]


def _found_on_device(rows: _Rows, reference: Indices, queries: Indices, width: int) -> Indices:
    vectors = rows.features.float()
    if rows.normalize:
        vectors = torch.nn.functional.normalize(vectors, dim=1)
    among, asked = (torch.from_numpy(each).to(vectors.device) for each in (reference, queries))
    positions: Indices = search_on_device(vectors, among, asked, width).cpu().numpy()
    return reference[positions]


def _ordered(rows: _Rows, queries: Indices, found: Indices) -> tuple[Distances, Indices]:
    """Return exact distances to `found` `[q, w]`, ascending, the row itself put last as absent.

    The search computes |x|^2 + |y|^2 - 2xy, which rounds distances below 1e-3 to noise.
    """
    # Sorted by number first, so that the stable sort by distance breaks ties by number. Where
    # duplicates crowd the row itself out of its own neighbours, the farthest one falls off.
    found = np.sort(found, axis=1)
    near = rows.take(found.reshape(-1)).reshape(*found.shape, rows.dimensions)
    near -= rows.take(queries)[:, None]
    exact = np.sqrt(np.einsum("nmd,nmd->nm", near, near))
    itself = found == queries[:, None]
    exact[itself], found[itself] = np.inf, -1
    order = np.argsort(exact, axis=1, kind="stable")
    return np.take_along_axis(exact, order, axis=1), np.take_along_axis(found, order, axis=1)


class PoolNeighbors:
    """The `neighbors` of a context: `nearest` over a round's pool, kept by fingerprint.

    Args:
        features: `[N, D]` of this round, or None.
        embeddings: `[N, E]` fixed features, or None.
        labelled: indices of the labelled samples, `[L]`.
        search: how to search, and where tables of embeddings are kept on disk.
    """

    def __init__(
        self,
        features: Tensor | None,
        embeddings: Tensor | None,
        labelled: Indices,
        search: NeighborSearch | None = None,
    ) -> None:
        self._spaces = {"features": features, "embeddings": embeddings}
        self._labelled = labelled
        self._search = search or NeighborSearch()

    def __call__(
        self,
        m: int,
        reference: Literal["pool", "labelled"] = "pool",
        *,
        space: Literal["features", "embeddings"] = "features",
        normalize: bool = True,
        queries: Indices | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return distances and pool indices; see `activeloop.types.Neighbors`.

        Raises:
            ConfigError: an unknown reference or space, or `m` below 1.
            StrategyError: there are no features of that space.
        """
        whole("m, the number of neighbours,", m, least=1)
        choice("reference", reference, ["pool", "labelled"])
        features = self._spaces[choice("space", space, self._spaces)]
        if features is None:
            raise StrategyError(
                "there are no embeddings in this run: choose embed=pca, backbone or file"
                if space == "embeddings"
                else "there are no features before the first round: use space=embeddings"
            )
        among = None if reference == "pool" else self._labelled
        asked = np.arange(len(features)) if queries is None else np.asarray(queries, np.int64)
        # Features change with every round, and tables of the labelled with every label.
        lasting = space == "embeddings" and among is None
        folder = self._search.cache if lasting else None
        key = _fingerprint(features, among, f"{m} {normalize} {self._search.accuracy}")
        table = _tables.get(key, folder)
        missing = np.sort(asked[~np.isin(asked, table.rows)] if len(table.rows) else asked)
        if len(missing):
            new = nearest(
                features, m, among, normalize=normalize, queries=missing, search=self._search
            )
            table = table.joined(Table(missing, *(each.cpu().numpy() for each in new)))
            _tables.put(key, table, folder)
        distances, indices = table.of(asked)
        device = features.device
        return torch.from_numpy(distances).to(device), torch.from_numpy(indices).to(device)


def _fingerprint(features: Tensor, among: Indices | None, options: str) -> str:
    digest = hashlib.blake2b(f"{tuple(features.shape)} {features.dtype} {options}".encode())
    matrix = features.detach()
    step = rows_at_a_time(matrix.element_size() * max(1, matrix.shape[1]))
    for start in range(0, len(matrix), step):
        digest.update(np.ascontiguousarray(matrix[start : start + step].cpu().numpy()).data)
    digest.update(b"pool" if among is None else among.tobytes())
    return digest.hexdigest()[:32]


# Shared by all rounds, seeds and strategies of a process.
_tables = TableStore()
