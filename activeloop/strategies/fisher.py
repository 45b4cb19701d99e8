"""The Fisher information of a last layer, of which a sample's share has rank C.

For features h `[D]` and probabilities p `[C]` a sample's Fisher information is the Kronecker
product (diag p - p p') x h h', a `[C D, C D]` matrix: V V', with the columns of V one for each
class, sqrt(p_y) (e_y - p) x h. All matrices here are float64, for information about directions that
nothing has been labelled in is many orders of magnitude below the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from activeloop.memory import rows_at_a_time


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Samples as the last layer sees them: features `[N, D]` and probabilities `[N, C]`."""

    features: Tensor
    probs: Tensor

    @property
    def width(self) -> int:
        """Number of the layer's weights, `C D`."""
        return self.features.shape[1] * self.probs.shape[1]

    def rows(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `[n, D]` and probabilities `[n, C]` of `indices`, float64.

        Probabilities sum to 1 here to the last digit, without which V V' would not be what it is.
        """
        p = self.probs[indices].double()
        return self.features[indices].double(), p / p.sum(dim=1, keepdim=True)

    def information(self, indices: Tensor) -> Tensor:
        """Return the sum of the samples' Fisher information, `[C D, C D]`."""
        d, classes = self.features.shape[1], self.probs.shape[1]
        device = self.features.device
        total = torch.zeros(self.width, self.width, dtype=torch.float64, device=device)
        for some in torch.split(indices, rows_at_a_time(16 * self.width)):
            h, p = self.rows(some)
            ph = (p[:, :, None] * h[:, None, :]).flatten(1)  # [n, C D]
            total.addmm_(ph.T, ph, alpha=-1)
            blocks = total.view(classes, d, classes, d).diagonal(dim1=0, dim2=2)  # [D, D, C]
            blocks += (ph.view(-1, classes, d).permute(1, 2, 0) @ h).permute(1, 2, 0)
        return total

    def factor(self, index: Tensor) -> Tensor:
        """Return V of one sample, `[C D, C]`."""
        h, p = self.rows(index.view(1))
        each = torch.eye(p.shape[1], dtype=p.dtype, device=p.device)
        root = _times_root(each[None], p)[0]
        return (root[:, None, :] * h[0][None, :, None]).flatten(0, 1)

    def forms(self, matrix: Tensor, indices: Tensor) -> Tensor:
        """Return V' `matrix` V of each sample, for a symmetric `[C D, C D]` matrix.

        They are symmetric: lower triangles, `[n, C (C + 1) / 2]`.
        """
        d, classes = self.features.shape[1], self.probs.shape[1]
        row, column = torch.tril_indices(classes, classes, device=matrix.device)
        blocks = matrix.view(classes, d, classes, d)[row, :, column]  # [C (C + 1) / 2, D, D]
        by_feature = blocks.transpose(0, 1).reshape(d, -1)
        result = matrix.new_empty(len(indices), len(row))
        rows = rows_at_a_time(8 * len(row) * d)
        for part, some in zip(torch.split(result, rows), torch.split(indices, rows), strict=True):
            h, p = self.rows(some)
            half = (h @ by_feature).view(len(some), len(row), d)
            inner = full((half @ h[:, :, None]).squeeze(2), classes)
            part.copy_(triangle(_times_root(_times_root(inner, p).mT, p)))
        return result

    def projections(self, columns: Tensor, indices: Tensor) -> Tensor:
        """Return `columns`' V of each sample, `[n, r, C]`, for `columns` `[C D, r]`."""
        d, classes = self.features.shape[1], self.probs.shape[1]
        h, p = self.rows(indices)
        by_feature = columns.view(classes, d, -1).permute(1, 2, 0).reshape(d, -1)
        return _times_root((h @ by_feature).view(len(indices), -1, classes), p)


def triangle(square: Tensor) -> Tensor:
    """Return the lower triangles `[n, C (C + 1) / 2]` of symmetric matrices `[n, C, C]`."""
    classes = square.shape[1]
    row, column = torch.tril_indices(classes, classes, device=square.device)
    return square.reshape(len(square), -1).index_select(1, row * classes + column)


def full(triangles: Tensor, classes: int) -> Tensor:
    """Return the symmetric matrices `[n, C, C]` of lower triangles `[n, C (C + 1) / 2]`."""
    row, column = torch.tril_indices(classes, classes, device=triangles.device)
    place = torch.empty(classes, classes, dtype=torch.int64, device=triangles.device)
    place[row, column] = place[column, row] = torch.arange(len(row), device=triangles.device)
    return triangles.index_select(1, place.view(-1)).view(-1, classes, classes)


def _times_root(x: Tensor, p: Tensor) -> Tensor:
    """Return x G `[n, r, C]`, where G = (1 - p 1') diag(sqrt p), so that G G' = diag p - p p'."""
    return (x - x @ p[:, :, None]) * p.sqrt()[:, None, :]
