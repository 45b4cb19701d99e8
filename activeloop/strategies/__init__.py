"""Strategies: callables that pick `k` samples from a context. Custom ones need no registration."""

from __future__ import annotations

from activeloop.strategies.base import ScoreStrategy, needs, needs_of, score, score_of
from activeloop.strategies.catalog import CATALOG, FAMILIES
from activeloop.strategies.contrastive import cal
from activeloop.strategies.dynamic_coverage import dcom
from activeloop.strategies.herding import max_herding
from activeloop.strategies.information_density import InformationDensity
from activeloop.strategies.loading import (
    ENTRY_POINTS,
    About,
    about,
    as_strategy,
    bind,
    described,
    from_config,
    known_strategies,
    load_strategy,
    locate,
    name_of,
)
from activeloop.strategies.neighborhood import cosine_diversity, l2_diversity, neighbor_kl
from activeloop.strategies.probability_cover import prob_cover
from activeloop.strategies.typicality import typiclust
from activeloop.strategies.uncertainty import entropy, least_confidence, margin
from activeloop.strategies.uncertainty_herding import uherding
from activeloop.strategies.uniform import random

__all__ = [
    "CATALOG",
    "ENTRY_POINTS",
    "FAMILIES",
    "About",
    "InformationDensity",
    "ScoreStrategy",
    "about",
    "as_strategy",
    "bind",
    "cal",
    "cosine_diversity",
    "dcom",
    "described",
    "entropy",
    "from_config",
    "known_strategies",
    "l2_diversity",
    "least_confidence",
    "load_strategy",
    "locate",
    "margin",
    "max_herding",
    "name_of",
    "needs",
    "needs_of",
    "neighbor_kl",
    "prob_cover",
    "random",
    "score",
    "score_of",
    "typiclust",
    "uherding",
]
