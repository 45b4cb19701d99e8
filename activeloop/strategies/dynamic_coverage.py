"""DCoM: coverage while the labels cover little, margin once they cover most."""

from __future__ import annotations

import logging
import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop import measures
from activeloop.checks import real
from activeloop.strategies.ball_purity import pure_radius
from activeloop.strategies.base import needs
from activeloop.strategies.coverage import BLOCK, Coverage, references_of
from activeloop.strategies.kernels import ball, half_squares, placed
from activeloop.strategies.lazy import Lazy, log_gap, others_than
from activeloop.strategies.spaces import Space, vectors
from activeloop.types import Context, Indices, Picks, Scores

_log = logging.getLogger("activeloop.strategies")

# Radii that a labelled sample may get: multiples of a 32nd of the largest.
_STEPS = 32


@needs("probs", "features")
def dcom(
    context: Context,
    *,
    delta: float | Literal["auto"] = "auto",
    purity: float = 0.95,
    growth: float = 1.5,
    midpoint: float = 0.8,
    steepness: float = 50.0,
    references: int | None = None,
    space: Space = "features",
) -> Picks:
    """Trades coverage for margin as the labels cover more (dynamic coverage and margin mix).

    The score is S (1 - margin) + (1 - S) out-degree, the margins scaled to [0, 1] over the
    unlabelled and labelled, the degrees anew for each pick over those that are left, and
    S = (1 + e^-k(1 - a)) / (1 + e^-k(c - a)) of the share c of the unlabelled samples that the
    labelled ones cover. Each labelled sample has the largest radius, up to growth x delta, at which
    a share 0.4 + 0.2 c' of its ball is predicted to be of its class (c': the share covered with
    radius delta); candidates have the mean of these radii. What is covered has no edges.

    Paper: Mishal and Weinshall, DCoM: Active Learning for All Learners, 2024.
    Budget: any.
    Time: O(N R D + L R D) for R references and L labels; lazy greedy.
    Memory: O(N D), no graph.

    The authors keep the radius that a sample got in the round when it was labelled; a strategy has
    no memory of rounds, so all radii are set anew by today's predictions. They search each by
    bisection at steps of 0.05, as if purity fell with the radius; here it is the largest on a grid.
    With no labels S is 0 but for the tail of the curve, and the radius is delta.

    Args:
        context: what there is to choose from.
        delta: radius of the balls at first; "auto": as for probcover.
        purity: share of pure balls that "auto" asks for.
        growth: largest radius of a labelled sample, in deltas (the authors': 1.1 and 0.75).
        midpoint: a, the covered share at which S is about a half.
        steepness: k, how suddenly S rises there.
        references: how many unlabelled samples the coverage is measured on, drawn at random; None:
            all where there are up to 70,000, else 20,000. The gap to others is logged.
        space: "features" or "embeddings".
    """
    x, n, labelled = vectors(context, space), len(context.unlabelled), context.labelled
    purity = real("strategy.purity", purity, above=0, most=1)
    real("strategy.growth", growth, least=1)
    rows = np.concatenate([context.unlabelled, labelled])
    points = placed(x, rows, normalize=True, limit=context.memory_limit)
    if delta == "auto":
        delta = pure_radius(points, context.n_classes, purity, context.rng)
    real("strategy.delta", delta, above=0)
    among = references_of(n, references, x.shape[1], context.rng)
    where = torch.from_numpy(among).to(x.device)
    radii = _radii(context, points[n:], points[where], among, delta, growth)
    covered = _covered(points[n:], radii, points[where]).cpu().numpy()
    competence = competence_of(float(covered.mean()), midpoint, steepness)
    radius = float(radii.mean()) if len(radii) else delta
    _log.info(
        "the labels cover %.1f%%, competence %.3f, radius %.4g",
        *(100 * covered.mean(), competence, radius),
    )

    def uncovered(references: npt.NDArray[np.int64], covered: npt.NDArray[np.bool_]) -> Coverage:
        return Coverage(points[:n], references[~covered], ball(radius))

    unsure = _unsure(context.probs[torch.from_numpy(rows).to(x.device)])[:n]
    picks, scores = _greedy(context, uncovered(among, covered), unsure, competence)
    if len(others := others_than(among, n, context.rng)):
        gained = uncovered(among, covered).gained(picks) / len(among)
        known = _covered(points[n:], radii, points[torch.from_numpy(others).to(x.device)])
        other = uncovered(others, known.cpu().numpy()).gained(picks) / len(others)
        log_gap(gained, among, other, others)
    return Picks(context.unlabelled[picks], scores)


def competence_of(covered: float, midpoint: float, steepness: float) -> float:
    """Return S of the covered share: a logistic curve, scaled to be 1 at full coverage."""
    real("strategy.midpoint", midpoint, least=0, most=1)
    real("strategy.steepness", steepness, above=0, most=500)
    top = 1 + math.exp(-steepness * (1 - midpoint))
    return top / (1 + math.exp(-steepness * (covered - midpoint)))


def _greedy(
    context: Context, coverage: Coverage, unsure: Scores, competence: float
) -> tuple[Indices, Scores]:
    """Return the positions of the picks, and their scores."""
    lazy = Lazy(coverage.all_gains(), coverage.gains, context.rng)
    picks, scores = np.empty(context.k, np.int64), np.empty(context.k)
    for step in range(context.k):
        degree = lazy.values[lazy.best()]

        def mixed(degrees: Scores, most: float = max(degree, 1.0)) -> Scores:
            return competence * unsure + (1 - competence) * np.minimum(degrees / most, 1)

        picks[step] = lazy.best(mixed)
        scores[step] = mixed(lazy.values)[picks[step]]
        lazy.take(int(picks[step]))
        coverage.take(int(picks[step]))
    return picks, scores


def _unsure(probs: Tensor) -> Scores:
    """Return 1 - margin, scaled to [0, 1] over the rows."""
    unsure = 1 - measures.margin(probs).double()
    unsure -= unsure.min()
    scaled: Scores = (unsure / unsure.max().clamp(min=1e-12)).cpu().numpy()
    return scaled


def _radii(
    context: Context,
    labelled: Tensor,
    references: Tensor,
    among: npt.NDArray[np.int64],
    delta: float,
    growth: float,
) -> Tensor:
    """Return the radius of each labelled sample's ball, `[L]`."""
    first = torch.full_like(labelled[:, 0], delta)
    share = float(_covered(labelled, first, references).double().mean())
    threshold, width = 0.4 + 0.2 * share, growth * delta / _STEPS
    device = labelled.device
    labels = torch.from_numpy(context.labels).to(device)
    samples = torch.from_numpy(context.unlabelled[among]).to(device)
    predicted = context.probs[samples].argmax(dim=1)
    # How many references lie in each ring, and how many of those have the sample's class.
    rings = torch.zeros(2, len(labelled) * _STEPS, dtype=torch.float64, device=device)
    for i in range(0, len(labelled), BLOCK):
        for j in range(0, len(references), BLOCK):
            apart = (-2 * half_squares(labelled[i : i + BLOCK], references[j : j + BLOCK])).clamp_(
                0
            )
            row, column = (apart < (width * _STEPS) ** 2).nonzero(as_tuple=True)
            ring = (apart[row, column].sqrt() / width).long().clamp_(max=_STEPS - 1)
            ring += (row + i) * _STEPS
            same = labels[row + i] == predicted[column + j]
            rings[0] += torch.bincount(ring, minlength=rings.shape[1])
            rings[1] += torch.bincount(ring[same], minlength=rings.shape[1])
    # The sample itself is in its ball.
    inside = rings.view(2, -1, _STEPS).cumsum(dim=2) + 1
    pure = inside[1] / inside[0] >= threshold
    pure[:, 0] = True
    steps = torch.arange(1, _STEPS + 1, device=device)
    return (pure * steps).amax(dim=1).to(labelled.dtype) * width


def _covered(labelled: Tensor, radii: Tensor, references: Tensor) -> Tensor:
    """Return whether each reference lies in the ball of a labelled sample, `[r]`."""
    found = torch.zeros(len(references), dtype=torch.bool, device=references.device)
    least = -0.5 * radii.square()
    for i in range(0, len(labelled), BLOCK):
        for j in range(0, len(references), BLOCK):
            halves = half_squares(labelled[i : i + BLOCK], references[j : j + BLOCK])
            found[j : j + BLOCK] |= (halves > least[i : i + BLOCK, None]).any(dim=0)
    return found
