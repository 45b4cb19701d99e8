"""UHerding: cover what the network is unsure of."""

from __future__ import annotations

import logging
from typing import Literal

import torch
from torch import Tensor

from activeloop import measures
from activeloop.checks import real
from activeloop.neighbors import nearest
from activeloop.strategies.base import needs
from activeloop.strategies.calibration import fitted_temperature
from activeloop.strategies.herding import herd
from activeloop.strategies.spaces import Space, vectors
from activeloop.types import Context, Indices, Picks

_log = logging.getLogger("activeloop.strategies")

# Labelled samples closer than this on the unit sphere are duplicates, up to rounding.
_DUPLICATES = 1e-4


@needs("probs", "features")
def uherding(
    context: Context,
    *,
    temperature: float | Literal["auto"] = "auto",
    radius: float | Literal["auto"] = "auto",
    references: int | None = None,
    space: Space = "features",
) -> Picks:
    """MaxHerding weighted by uncertainty, 1 - margin: covers the pool first, then the unsure.

    With few labels the temperature is high and the radius wide, and it acts like max_herding; with
    many, both fall, and it acts like margin sampling.

    Paper: Bae, Oliveira and Sutherland, Uncertainty Herding, ICLR 2025.
    Budget: any.
    Time: O(N R D + N C + L^2 D) for R references and L labels; lazy greedy.
    Memory: O(N (D + C)), no kernel matrix.

    The paper retrains the network on a part of the labels to fit the temperature on the rest. A
    strategy has no learner, so a linear head on the features stands in: see
    `calibration.fitted_temperature`. Where no sample is unsure, all count the same.

    Args:
        context: what there is to choose from.
        temperature: the probabilities are tempered to p^(1/temperature); "auto": fitted on held-out
            labels by the expected calibration error.
        radius: width of the kernel; "auto": the least distance of two labelled samples, duplicates
            apart, and 1 where there are fewer than two.
        references: how many unlabelled samples the coverage is measured on, drawn at random; None:
            all where there are up to 70,000, else 20,000.
        space: "features" or "embeddings", for distances; for the temperature as well.
    """
    x = vectors(context, space)
    if temperature == "auto":
        temperature = fitted_temperature(context, x)
    if radius == "auto":
        radius = least_distance(x, context.labelled)
    real("strategy.temperature", temperature, above=0)
    real("strategy.radius", radius, above=0)
    _log.info("temperature %.3g, radius %.3g", temperature, radius)
    return herd(context, x, radius, _unsure(context, temperature), references)


def _unsure(context: Context, temperature: float) -> Tensor:
    """Return 1 - margin of the unlabelled at a temperature, `[U]`; 1 each where none is above 0."""
    logits = context.probs[context.unlabelled].log()
    unsure = 1 - measures.margin((logits / temperature).softmax(dim=1))
    return unsure if float(unsure.max()) > 0 else torch.ones_like(unsure)


def least_distance(x: Tensor, labelled: Indices) -> float:
    """Return the least distance between labelled samples on the unit sphere, duplicates apart."""
    if len(labelled) < 2:
        return 1.0
    rows = torch.nn.functional.normalize(x[labelled].float(), dim=1)
    rows = torch.unique(rows, dim=0)
    # What is left of duplicates differs by rounding only: a few neighbours are enough to look past.
    for m in (1, 16):
        distances = nearest(rows, m)[0]
        apart = distances[distances.isfinite() & (distances > _DUPLICATES)]
        if len(apart):
            return float(apart.min())
    return 1.0
