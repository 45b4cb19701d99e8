"""Strategies: callables that pick `k` samples from a context. Custom ones need no registration."""

from __future__ import annotations

from activeloop.strategies.bait import bait
from activeloop.strategies.base import ScoreStrategy, needs, needs_of, score, score_of
from activeloop.strategies.batchbald import batchbald
from activeloop.strategies.catalog import CATALOG, FAMILIES
from activeloop.strategies.committee import consensus_entropy, kl_to_mean, vote_entropy
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
from activeloop.strategies.predictive import epig
from activeloop.strategies.uncertainty import (
    bald,
    entropy,
    least_confidence,
    margin,
    mean_std,
    variation_ratio,
)
from activeloop.strategies.uniform import random

__all__ = [
    "CATALOG",
    "ENTRY_POINTS",
    "FAMILIES",
    "About",
    "ScoreStrategy",
    "about",
    "as_strategy",
    "bait",
    "bald",
    "batchbald",
    "bind",
    "consensus_entropy",
    "cosine_diversity",
    "described",
    "entropy",
    "epig",
    "from_config",
    "kl_to_mean",
    "known_strategies",
    "l2_diversity",
    "least_confidence",
    "load_strategy",
    "locate",
    "margin",
    "mean_std",
    "name_of",
    "needs",
    "needs_of",
    "neighbor_kl",
    "random",
    "score",
    "score_of",
    "variation_ratio",
    "vote_entropy",
]
