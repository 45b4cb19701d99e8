"""Similarities that fall with the distance, and distances as one matrix product."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from activeloop.errors import StrategyError
from activeloop.memory import readable, rows_at_a_time
from activeloop.types import Indices

# A sum of so small similarities, over any pool, is less than the rounding of the sums it goes into.
_NEGLIGIBLE = 1e-12

# Products of float32 unit vectors round squared distances to 1e-7, which would distort a Gaussian
# kernel below this radius.
_NARROW = 0.03


@dataclass(frozen=True)
class Kernel:
    """A similarity in [0, 1] that falls with the distance.

    Attributes:
        values: from -d^2 / 2, which may be overwritten, to similarities.
        reach: the distance from which on no similarity is above the given one, or to speak of.
        dtype: of the products that distances come from.
    """

    values: Callable[[Tensor], Tensor]
    reach: Callable[[float], float]
    dtype: torch.dtype = torch.float32


def ball(radius: float) -> Kernel:
    """Return the kernel that is 1 at distances below `radius`, else 0."""
    threshold = -0.5 * radius * radius
    return Kernel(lambda halves: halves.gt_(threshold), lambda best: radius)


def gaussian(radius: float) -> Kernel:
    """Return the kernel exp(-(d / radius)^2); similarities below 1e-12 may count as 0."""
    scale = 2 / (radius * radius)

    def reach(best: float) -> float:
        return radius * math.sqrt(-math.log(max(best, _NEGLIGIBLE)))

    dtype = torch.float64 if radius < _NARROW else torch.float32
    return Kernel(lambda halves: halves.clamp_(max=0).mul_(scale).exp_(), reach, dtype)


def cosine() -> Kernel:
    """Return the kernel (1 + cosine) / 2 of rows of length 1: 1 - (d / 2)^2."""
    return Kernel(
        lambda halves: halves.mul_(0.5).add_(1).clamp_(0, 1), lambda best: 2 * math.sqrt(1 - best)
    )


def placed(x: Tensor, rows: Indices, *, normalize: bool, limit: int) -> Tensor:
    """Return rows of `x` `[N, D]` such that one product of two gives their distance, `[n, D + 2]`.

    Rows are scaled to length 1 if `normalize` (zeros stay), and centred, which rounds less. Beside
    them stand -|x|^2 / 2 and 1; see `half_squares`. float32.

    Raises:
        StrategyError: they, and as much again, take more than `limit` bytes.
    """
    n, width = len(rows), x.shape[1]
    if (needed := 8 * n * (width + 2)) > limit:
        raise StrategyError(
            f"comparing {n} samples takes {readable(needed)} of memory, and {readable(limit)} may "
            "be used (memory_limit): choose among fewer by strategy=subsample or strategy=seals"
        )
    points = torch.ones(n, width + 2, device=x.device)
    vectors, step = points[:, :width], rows_at_a_time(16 * width)
    for start in range(0, n, step):
        some = torch.from_numpy(rows[start : start + step]).to(x.device)
        part = x[some].float()
        if normalize:
            part = torch.nn.functional.normalize(part, dim=1)
        vectors[start : start + step] = part
    centre = vectors.mean(dim=0)
    for start in range(0, n, step):
        part = vectors[start : start + step].sub_(centre)
        points[start : start + step, width] = -0.5 * (part * part).sum(dim=1)
    return points


def half_squares(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return -|a_i - b_j|^2 / 2 of placed rows, `[len(a), len(b)]`; by float64 if `out` is."""
    if out is not None and out.dtype != a.dtype:
        a, b = _widened(a, out.dtype), _widened(b, out.dtype)
    turned = a.clone()
    turned[:, -2:] = a[:, -2:].flip(1)
    return torch.mm(turned, b.T, out=out)


def _widened(points: Tensor, dtype: torch.dtype) -> Tensor:
    points = points.to(dtype)
    points[:, -2] = -0.5 * points[:, :-2].square().sum(dim=1)
    return points
