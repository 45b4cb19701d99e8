"""BAIT: the batch that leaves least error in the last layer, by its Fisher information."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import real
from activeloop.errors import StrategyError
from activeloop.memory import readable, rows_at_a_time
from activeloop.strategies.base import highest, needs
from activeloop.strategies.fisher import Layer, full, triangle
from activeloop.types import Context, Indices, Scores

log = logging.getLogger("activeloop.strategies")

_MATRICES = 5  # of C D x C D float64 at once, at most
_LONG = 30  # seconds, from which on a warning comes first


@needs("probs", "features")
def bait(context: Context, *, lambda_: float = 1.0, oversample: float = 2.0) -> Indices:
    """Labels that leave least error over the pool first, by the last layer's Fisher information.

    Least trace of M^-1 F, where F is the mean Fisher information over the pool, and M the sum over
    labelled and picked samples plus `lambda_` I: greedily `oversample` k picks forward, of which
    those that are missed least go again until k are left.

    Paper: Ash et al., Gone Fishing: Neural Active Learning with Fisher Embeddings, NeurIPS 2021.
    Budget: any.
    Time: O(U C^2 D^2 + k U C^2 (C + D) + k C^3 D^2).
    Memory: O(C^2 D^2 + U C^2).

    Every labelled or picked sample weighs the same in M, as in the objective that the paper starts
    from. The authors' code weighs a pick as k labelled samples. The bias of the last layer is left
    out, as there.

    Args:
        context: what there is to choose from.
        lambda_: what is known of each weight before there are labels, as a multiple of I.
        oversample: how many times k are picked forward; 1 leaves nothing to take back.

    Raises:
        StrategyError: the matrices do not fit into `context.memory_limit`, or features are larger
            than float64 can tell apart.
    """
    lambda_ = real("strategy.lambda_", lambda_, above=0)
    oversample = real("strategy.oversample", oversample, least=1)
    n, k = len(context.unlabelled), context.k
    forward = min(n, round(oversample * k))
    layer = Layer(features=context.features, probs=context.probs)
    _check_cost(context, layer, forward)
    search = _Search(context, layer, lambda_)
    for _ in range(forward):
        search.add()
    search.keep_picks()
    for _ in range(forward - k):
        search.take_back()
    return search.indices.cpu().numpy()


class _Search:
    """The inverse of M, kept by the Woodbury identity as samples of rank C come and go.

    Of each candidate only V' M^-1 V and V' M^-1 F M^-1 V are kept, as lower triangles of
    `[n, C, C]`; a step changes both by products of rank C. Equal samples tie but for rounding,
    which may depend on their place: hence candidates are in an order that `rng` draws.
    """

    def __init__(self, context: Context, layer: Layer, lambda_: float) -> None:
        device = context.features.device
        self.layer, self.rng = layer, context.rng
        self.indices = torch.from_numpy(self.rng.permutation(context.unlabelled)).to(device)
        self.classes = context.probs.shape[1]
        self.chosen: list[int] = []  # positions
        known = torch.from_numpy(context.labelled).to(device)
        self.fisher = layer.information(self.indices)
        labelled = layer.information(known)
        self.fisher.add_(labelled).div_(len(self.indices) + len(known))
        labelled.diagonal().add_(lambda_)
        self.inverse = torch.cholesky_inverse(_cholesky(labelled))
        del labelled
        self.variance = layer.forms(self.inverse, self.indices)
        self.error = layer.forms(self.inverse @ self.fisher @ self.inverse, self.indices)

    def add(self) -> None:
        """Pick the candidate that leaves least error."""
        gains = self._changes(1)
        gains[self.chosen] = -np.inf
        chosen = int(highest(gains, 1, self.rng)[0])
        self._update(chosen, 1)
        self.chosen.append(chosen)

    def keep_picks(self) -> None:
        """Forget what was not picked: from here on, picks are only taken back."""
        self._keep(torch.tensor(self.chosen, device=self.indices.device))

    def take_back(self) -> None:
        """Give up the pick without which the error grows least."""
        losses = self._changes(-1)
        chosen = int(highest(-losses, 1, self.rng)[0])
        self._update(chosen, -1)
        self._keep(torch.arange(len(self.indices), device=self.indices.device) != chosen)

    def _keep(self, which: Tensor) -> None:
        self.indices = self.indices[which]
        self.variance, self.error = self.variance[which], self.error[which]

    def _changes(self, sign: int) -> Scores:
        """Return by how much trace(M^-1 F) falls if V V' is added, or grows if it is taken away.

        The trace of (I + sign V' M^-1 V)^-1 V' M^-1 F M^-1 V.
        """
        changes = []
        rows = rows_at_a_time(32 * self.classes**2)
        for variance, error in zip(
            torch.split(self.variance, rows), torch.split(self.error, rows), strict=True
        ):
            factor = _root(full(variance, self.classes), sign)
            solved = torch.cholesky_solve(full(error, self.classes), factor)
            changes.append(solved.diagonal(dim1=1, dim2=2).sum(dim=1))
        result: Scores = torch.cat(changes).cpu().numpy()
        return result

    def _update(self, chosen: int, sign: int) -> None:
        """Add the sample's V V' to M (`sign` 1), or take it away (-1).

        M^-1 changes by -sign Z Z', Z = M^-1 V L'^-1, with L L' = I + sign V' M^-1 V.
        """
        v = self.layer.factor(self.indices[chosen])
        factor = _root(full(self.variance[chosen : chosen + 1], self.classes)[0], sign)
        z = torch.linalg.solve_triangular(factor, (self.inverse @ v).T, upper=False).T
        fz = self.fisher @ z
        y = self.inverse @ fz - 0.5 * sign * z @ (z.T @ fz)
        self.inverse.addmm_(z, z.T, alpha=-sign)
        both = torch.cat([z, y], dim=1)
        rank = z.shape[1]
        rows = rows_at_a_time(8 * (self.layer.width + 4 * rank * rank))
        for some, variance, error in zip(
            torch.split(self.indices, rows),
            torch.split(self.variance, rows),
            torch.split(self.error, rows),
            strict=True,
        ):
            zx, yx = torch.split(self.layer.projections(both, some), rank, dim=1)
            cross = zx.mT @ yx
            variance.sub_(triangle(zx.mT @ zx), alpha=sign)
            error.sub_(triangle(cross + cross.mT), alpha=sign)


def _root(variance: Tensor, sign: int) -> Tensor:
    """Return the lower Cholesky factor of I + sign * variance, `[..., C, C]`."""
    each = torch.eye(variance.shape[-1], dtype=variance.dtype, device=variance.device)
    return _cholesky(each + sign * variance)


def _cholesky(matrix: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed.any():
        raise StrategyError(
            "the features are so large beside strategy.lambda_ that rounding hides what a sample "
            "adds: take a larger strategy.lambda_, or scale the features down"
        )
    root: Tensor = factor
    return root


def _check_cost(context: Context, layer: Layer, forward: int) -> None:
    """Refuse what does not fit into memory, and warn of what takes long."""
    n, classes, width = len(context.unlabelled), context.probs.shape[1], layer.width
    memory = 8 * (_MATRICES * width**2 + n * classes * (classes + 1))
    if memory > context.memory_limit:
        raise StrategyError(
            f"bait needs {readable(memory)} for {width} weights of the last layer (classes "
            f"times features) and {n} candidates, and may use "
            f"{readable(context.memory_limit)}: take fewer features (a narrower last layer, or "
            "embed=pca as input), fewer candidates (strategy=subsample around bait), or badge"
        )
    # Measured on one core: products of float64, and a little for each candidate and step.
    step = 6e-11 * classes**2 * (2 * layer.features.shape[1] + 10 * classes) + 5e-7
    seconds = n * (1.3e-10 * width**2 + forward * step)
    seconds += 2e-10 * width**2 * (width + forward * classes)
    if seconds > _LONG:
        log.warning(
            "bait with %d candidates, %d weights and %d steps: about %.0f minutes; "
            "strategy=subsample around it, or fewer features, take less",
            n,
            width,
            forward,
            seconds / 60,
        )
