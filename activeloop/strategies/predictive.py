"""Expected predictive information gain: ask for labels that say most about other predictions."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from activeloop import measures
from activeloop.checks import whole
from activeloop.memory import rows_at_a_time
from activeloop.strategies.base import by_rows, needs, required_members, score
from activeloop.types import Context

log = logging.getLogger("activeloop.strategies")

# Probabilities below count as this: logarithms stay finite, and what it adds is far below rounding.
_FLOOR = 1e-30
_SECONDS_PER_PAIR = 2.5e-9  # of a candidate's class and a target's class, on one core
_LONG = 120  # seconds, from which on a warning comes first


@score
@needs("members")
def epig(context: Context, *, targets: int = 100) -> Tensor:
    """Most information about the predictions of other samples first.

    The mean over target samples x* of the mutual information of the labels of x and x* under the
    members; BALD asks for information about the members instead, wanted or not. Targets are drawn
    from the pool, labelled or not, so that the pool stands for what will be predicted.

    Paper: Bickford Smith et al., Prediction-Oriented Bayesian Active Learning, AISTATS 2023.
    Budget: high.
    Time: O(M U T C^2).
    Memory: O(M T C).

    Args:
        context: what there is to choose from.
        targets: how many target samples, `T`; all of the pool if it is smaller.
    """
    targets = whole("strategy.targets", targets, least=1)
    members = required_members(context)
    pool = np.union1d(context.labelled, context.unlabelled)
    chosen = context.rng.choice(pool, min(targets, len(pool)), replace=False)
    _warn_if_long(len(context.unlabelled), len(chosen), members.shape[2])
    others = members.index_select(1, torch.from_numpy(chosen).to(members.device))
    others = others.clamp(min=_FLOOR)

    def information(some: Tensor) -> Tensor:
        return expected_information(some.clamp(min=_FLOOR), others)

    return by_rows(information, members, context.unlabelled, dim=1)


def expected_information(members: Tensor, others: Tensor) -> Tensor:
    """Return the mean over `others` `[M, T, C]` of I(label; other's label), `[n]` in nats.

    `members` are `[M, n, C]`; all probabilities are above 0. With p and q the members' means and
    r = E[p_m q_m] / (p q), the information is the sum of p q (r log r - r + 1), since p q and p q r
    both sum to 1. Where there is little of it r is near 1, and rounding of r hardly matters.
    """
    size, n, classes = members.shape
    p, q = members.mean(dim=0), others.mean(dim=0)
    ratios = (members / p).flatten(1).T  # [n C, M]
    columns = (others / (size * q)).flatten(1)  # [M, T C]
    weights = q.flatten() / len(q)
    # Rows are of one class of one sample, so that a thousand classes fit too.
    rows = rows_at_a_time(2 * members.element_size() * columns.shape[1])
    sums = []
    for some in torch.split(ratios, rows):
        r = some @ columns
        sums.append(measures.log(r).mul_(r) @ weights)
    off = ratios.double() @ (columns.double() @ weights.double()) - weights.double().sum()
    each = (torch.cat(sums) - off).view(n, classes)
    return (each * p).sum(dim=1).clamp_(min=0)


def _warn_if_long(n: int, targets: int, classes: int) -> None:
    seconds = n * targets * classes**2 * _SECONDS_PER_PAIR
    if seconds > _LONG:
        log.warning(
            "epig compares %d samples with %d targets over %d classes: about %.0f minutes; fewer "
            "strategy.targets, or strategy=subsample around it, take less",
            n,
            targets,
            classes,
            seconds / 60,
        )
