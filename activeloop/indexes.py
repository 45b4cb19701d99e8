"""Search for nearest rows: exactly, by inverted lists, by a graph (faiss), or on a GPU (torch).

An approximate index is tuned on a sample of the queries until its recall, measured against the
exact search, reaches what was asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.memory import rows_at_a_time
from activeloop.types import Indices

log = logging.getLogger("activeloop.neighbors")

Vectors = npt.NDArray[np.float32]

KINDS = ("auto", "exact", "ivf", "hnsw")

# Above so many multiplications the exact search takes longer than some ten seconds on two cores.
_EXACT_WORK = 1e12
# Queries on which recall is measured.
_SAMPLE = 500
# Rows a list of IVF is trained on: faiss's own least number.
_TRAINED_PER_LIST = 39
_MOST_LISTS = 2**14
_HNSW_LINKS = 32


class Rows(Protocol):
    """Rows of a matrix, scaled as they are read, so that no scaled copy of all of them exists."""

    @property
    def dimensions(self) -> int:
        """Length of a row."""

    def take(self, numbers: Indices) -> Vectors:
        """Return a copy of rows by their numbers, `[n, D]` float32, contiguous."""


class Search(Protocol):
    """Positions in `reference` of the nearest `width` rows to each of `queries`."""

    def __call__(self, queries: Indices, width: int) -> Indices:
        """Return positions `[q, width]`, -1 where fewer were found."""


def searcher(
    kind: str, recall: float, rows: Rows, reference: Indices, queries: Indices, width: int
) -> Search:
    """Return the search of that kind over the rows `reference`, built and tuned.

    Args:
        kind: one of `KINDS`; "auto" is exact while that takes seconds, then "ivf".
        recall: least share of the true neighbours that an approximate search finds.
        rows: the matrix.
        reference: numbers of the rows to search among, `[r]`.
        queries: numbers of the rows that will be asked for, `[q]`.
        width: how many neighbours will be asked for.
    """
    work = float(len(reference)) * len(queries) * rows.dimensions
    if kind == "auto":
        # An index pays off when it is asked often: building it takes some r^1.5 D itself.
        many = len(queries) > 4 * len(reference) ** 0.5
        kind = "ivf" if work > _EXACT_WORK and many else "exact"
    if kind == "exact" or len(reference) < _TRAINED_PER_LIST:
        return _Flat(rows, reference)
    index = (_Lists if kind == "ivf" else _Graph)(rows, reference)
    _tune(index, recall, rows, reference, queries, width)
    return index


class _Flat:
    """Every distance: O(q r D)."""

    def __init__(self, rows: Rows, reference: Indices) -> None:
        self._rows = rows
        self._index = faiss.IndexFlatL2(rows.dimensions)
        _fill(self._index, rows, reference)

    def __call__(self, queries: Indices, width: int) -> Indices:
        found = np.empty((len(queries), width), np.int64)
        for part in _parts(len(queries), self._rows.dimensions):
            found[part] = self._index.search(self._rows.take(queries[part]), width)[1]
        return found


class _Approximate:
    """An index whose accuracy grows with one setting, its effort."""

    name: str
    efforts: tuple[int, ...]

    def __init__(self, rows: Rows, reference: Indices) -> None:
        self._rows = rows
        self._index = self._built(rows, reference)
        self.fill(reference)

    def _built(self, rows: Rows, reference: Indices) -> Any:
        raise NotImplementedError

    def fill(self, reference: Indices) -> None:
        """Put the rows `reference` into the index."""
        _fill(self._index, self._rows, reference)

    def tune(self, effort: int) -> None:
        """Set how hard to search."""
        raise NotImplementedError

    def order(self, queries: Indices) -> Indices:
        """Return the order in which to ask `queries`."""
        return np.arange(len(queries))

    def __call__(self, queries: Indices, width: int) -> Indices:
        found = np.empty((len(queries), width), np.int64)
        order = self.order(queries)
        for part in _parts(len(queries), self._rows.dimensions):
            some = order[part]
            found[some] = self._index.search(self._rows.take(queries[some]), width)[1]
        return found


class _Lists(_Approximate):
    """Inverted lists: only those of the nearest centroids are searched, O(q r^0.5 D) and more."""

    name = "IVF"
    efforts = (*range(2, 13), 14, 16, 20, 24, 32, 48, 64, 96, 128, 256, 512, 1024)

    def _built(self, rows: Rows, reference: Indices) -> Any:
        # About as much work to find the lists as to search eight of them.
        wanted = int((8 * len(reference)) ** 0.5)
        lists = max(1, min(wanted, _MOST_LISTS, len(reference) // _TRAINED_PER_LIST))
        quantizer = faiss.IndexFlatL2(rows.dimensions)
        index = faiss.IndexIVFFlat(quantizer, rows.dimensions, lists)
        index.cp.niter = 6
        sample = np.random.default_rng(0).choice(
            reference, min(len(reference), _TRAINED_PER_LIST * lists), replace=False
        )
        index.train(rows.take(np.sort(sample)))
        return index

    def fill(self, reference: Indices) -> None:
        # To find a row's list costs as much as a search, and it is wanted again when that row asks.
        self._lists = np.full(int(reference.max()) + 1, -1, np.int32)
        for part in _parts(len(reference), self._rows.dimensions):
            rows = self._rows.take(reference[part])
            lists = self._nearest_list(rows)
            self._index.add_core(len(rows), faiss.swig_ptr(rows), None, faiss.swig_ptr(lists))
            self._lists[reference[part]] = lists

    def tune(self, effort: int) -> None:
        self._index.nprobe = min(effort, self._index.nlist)

    def order(self, queries: Indices) -> Indices:
        # Queries that go to the same lists one after the other find them in the processor's cache.
        known = queries < len(self._lists)
        lists = np.where(known, self._lists[queries * known], -1)
        others = np.flatnonzero(lists < 0)
        for part in _parts(len(others), self._rows.dimensions):
            lists[others[part]] = self._nearest_list(self._rows.take(queries[others[part]]))
        return np.argsort(lists, kind="stable")

    def _nearest_list(self, rows: Vectors) -> Indices:
        nearest: Indices = self._index.quantizer.search(rows, 1)[1][:, 0]
        return np.ascontiguousarray(nearest)


class _Graph(_Approximate):
    """A navigable small-world graph (HNSW): slow to build, quick to ask. Malkov et al., 2018."""

    name = "HNSW"
    efforts = (32, 64, 128, 256, 512, 1024)

    def _built(self, rows: Rows, reference: Indices) -> Any:
        index = faiss.IndexHNSWFlat(rows.dimensions, _HNSW_LINKS)
        index.hnsw.efConstruction = 64
        return index

    def fill(self, reference: Indices) -> None:
        # Threads would link the graph in the order in which they happen to come.
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            super().fill(reference)
        finally:
            faiss.omp_set_num_threads(threads)

    def tune(self, effort: int) -> None:
        self._index.hnsw.efSearch = effort


def _tune(
    index: _Approximate,
    recall: float,
    rows: Rows,
    reference: Indices,
    queries: Indices,
    width: int,
) -> None:
    """Raise the effort until the measured recall reaches `recall`, and log it."""
    rng = np.random.default_rng(0)
    sample = np.sort(rng.choice(queries, min(_SAMPLE, len(queries)), replace=False))
    limits = _farthest(rows, sample, reference[_streamed(rows, reference, sample, width)])
    for effort in index.efforts:
        index.tune(effort)
        positions = index(sample, width)
        distances = _apart(rows, sample, reference[positions.clip(min=0)])
        # By distance, for among equally near ones any will do.
        good = (distances <= limits[:, None] * (1 + 1e-6)) & (positions >= 0)
        reached = float(good.mean())
        if reached >= recall:
            break
    log.info(
        "neighbours among %s samples by %s (effort %d): recall %.4f, measured on %d of them",
        *(f"{len(reference):,}", index.name, effort, reached, len(sample)),
    )
    if reached < recall:
        log.warning(
            "%s reached a recall of %.4f, less than neighbors.recall=%g: use neighbors.index=exact",
            *(index.name, reached, recall),
        )


def _streamed(rows: Rows, reference: Indices, queries: Indices, width: int) -> Indices:
    """Return what `_Flat` does, for a few queries: references are read once, and none is kept."""
    asked = rows.take(queries)
    best = np.empty((len(queries), 0), np.float32)
    where = np.empty((len(queries), 0), np.int64)
    for part in _parts(len(reference), rows.dimensions):
        near = rows.take(reference[part])
        distances, positions = faiss.knn(asked, near, min(width, len(near)))
        best = np.concatenate([best, distances], axis=1)
        where = np.concatenate([where, positions + part.start], axis=1)
        kept = np.argsort(best, axis=1, kind="stable")[:, :width]
        best = np.take_along_axis(best, kept, axis=1)
        where = np.take_along_axis(where, kept, axis=1)
    return where


def _farthest(rows: Rows, queries: Indices, found: Indices) -> npt.NDArray[np.float32]:
    farthest: npt.NDArray[np.float32] = _apart(rows, queries, found).max(axis=1)
    return farthest


def _apart(rows: Rows, queries: Indices, found: Indices) -> npt.NDArray[np.float32]:
    """Return distances `[q, w]` from each query to the rows `found` `[q, w]`."""
    near = rows.take(found.reshape(-1)).reshape(*found.shape, rows.dimensions)
    distances: npt.NDArray[np.float32] = np.linalg.norm(near - rows.take(queries)[:, None], axis=2)
    return distances


def _fill(index: Any, rows: Rows, reference: Indices) -> None:
    for part in _parts(len(reference), rows.dimensions):
        index.add(rows.take(reference[part]))


def _parts(n: int, dimensions: int) -> Iterator[slice]:
    step = rows_at_a_time(4 * dimensions)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def search_on_device(
    vectors: Tensor, reference: Tensor, queries: Tensor, width: int, *, block: int = 2**16
) -> Tensor:
    """Return positions in `reference` `[q, width]` of the nearest rows, exactly, for a GPU.

    Products in chunks on the device of `vectors`, so that only 2^26 distances exist at once.

    Args:
        vectors: `[N, D]` float32, scaled already.
        reference: row numbers to search among, `[r]`.
        queries: row numbers to search for, `[q]`.
        width: at most `r`.
        block: references at a time.
    """
    found = []
    step = max(1, 2**26 // min(block, len(reference)))
    for first in range(0, len(queries), step):
        some = queries[first : first + step]
        x = vectors[some]
        best = x.new_full((len(some), 0), 0.0)
        where = some.new_empty((len(some), 0))
        for start in range(0, len(reference), block):
            y = vectors[reference[start : start + block]]
            # |x|^2 is the same for all of a query's distances.
            distances = (y * y).sum(dim=1) - 2 * (x @ y.T)
            positions = torch.arange(start, start + len(y), device=x.device).expand(len(x), -1)
            best, where = torch.cat([best, distances], 1), torch.cat([where, positions], 1)
            best, kept = best.topk(min(width, best.shape[1]), dim=1, largest=False)
            where = where.gather(1, kept)
        found.append(where)
    return torch.cat(found)
