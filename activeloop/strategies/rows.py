"""Rows of a pool's matrix as float32: copied once where that fits, else fetched when used."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from activeloop.errors import StrategyError
from activeloop.memory import readable, rows_at_a_time
from activeloop.strategies.spaces import Space, vectors
from activeloop.types import Context, Indices


class Rows:
    """The rows `indices` of a matrix, `[n, D]` float32 on its device; reads no other row.

    Args:
        matrix: `[N, D]`, maybe memory-mapped, maybe NaN in other rows.
        indices: which rows, `[n]`.
        limit: bytes that may be used; a copy takes a quarter of them at most.
        centred: subtract the mean row. Distances are the same, and round less when they are
            computed from products.
    """

    def __init__(
        self, matrix: Tensor, indices: Indices, limit: int, *, centred: bool = False
    ) -> None:
        self._matrix = matrix
        self._indices = torch.from_numpy(indices).to(matrix.device)
        self._copy: Tensor | None = None
        self.mean: Tensor | None = None
        self.width = matrix.shape[1]
        self.device = matrix.device
        if 4 * len(self) * self.width <= limit // 4:
            self._copy = torch.empty(len(self), self.width, device=self.device)
            for part in self.parts(8 * self.width):
                self._copy[part] = matrix[self._indices[part]]
        if centred and len(self):
            total = torch.zeros(self.width, dtype=torch.float64, device=self.device)
            for part in self.parts(8 * self.width):
                total += self[part].sum(dim=0, dtype=torch.float64)
            self.mean = (total / len(self)).float()
            if self._copy is not None:
                self._copy -= self.mean

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, part: slice | Tensor) -> Tensor:
        """Return rows by their positions in `indices`, `[m, D]`. Not to be written to."""
        if self._copy is not None:
            return self._copy[part]
        return self.like(self._matrix[self._indices[part]])

    def like(self, vectors: Tensor) -> Tensor:
        """Return other vectors `[m, D]` as these rows are: float32, less the same mean."""
        vectors = vectors.float()
        return vectors if self.mean is None else vectors - self.mean

    def parts(self, bytes_per_row: int) -> Iterator[slice]:
        """Yield slices that cover the rows, each of a few megabytes of working memory."""
        return slices(len(self), bytes_per_row)


def rows_of(context: Context, space: Space, indices: Indices) -> Tensor:
    """Return a copy of some of the pool's vectors, `[n, D]`, in their own type.

    Raises:
        StrategyError: it is larger than `context.memory_limit`.
    """
    matrix = vectors(context, space)
    check_fits(matrix.element_size() * len(indices) * matrix.shape[1], len(indices), context)
    return matrix[torch.from_numpy(indices).to(matrix.device)].detach()


def check_fits(needed: int, n: int, context: Context) -> None:
    """Raise `StrategyError` if comparing `n` samples takes more bytes than may be used."""
    if needed > context.memory_limit:
        raise StrategyError(
            f"comparing {n} samples takes {readable(needed)} of memory, and "
            f"{readable(context.memory_limit)} may be used (memory_limit): choose among fewer by "
            "strategy=subsample or strategy=seals"
        )


def slices(size: int, bytes_per_row: int) -> Iterator[slice]:
    """Yield slices that cover `size` rows, each of a few megabytes of working memory."""
    step = rows_at_a_time(bytes_per_row)
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))
