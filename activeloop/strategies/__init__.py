"""Strategies: callables that pick `k` samples from a context. Custom ones need no registration."""

from __future__ import annotations

from activeloop.strategies.balancing import ClassBalanced
from activeloop.strategies.base import ScoreStrategy, needs, needs_of, score, score_of
from activeloop.strategies.catalog import CATALOG, FAMILIES
from activeloop.strategies.deduplication import Deduplicate
from activeloop.strategies.loading import (
    ENTRY_POINTS,
    About,
    about,
    as_strategy,
    bind,
    described,
    find,
    from_config,
    known_strategies,
    load_strategy,
    locate,
    name_of,
)
from activeloop.strategies.mixing import Mix
from activeloop.strategies.narrowing import Filter, Subsample
from activeloop.strategies.neighborhood import cosine_diversity, l2_diversity, neighbor_kl
from activeloop.strategies.replaying import Replay
from activeloop.strategies.seals import Seals
from activeloop.strategies.switching import Switch, Tcm
from activeloop.strategies.uncertainty import entropy, least_confidence, margin
from activeloop.strategies.uniform import random

__all__ = [
    "CATALOG",
    "ENTRY_POINTS",
    "FAMILIES",
    "About",
    "ClassBalanced",
    "Deduplicate",
    "Filter",
    "Mix",
    "Replay",
    "ScoreStrategy",
    "Seals",
    "Subsample",
    "Switch",
    "Tcm",
    "about",
    "as_strategy",
    "bind",
    "cosine_diversity",
    "described",
    "entropy",
    "find",
    "from_config",
    "known_strategies",
    "l2_diversity",
    "least_confidence",
    "load_strategy",
    "locate",
    "margin",
    "name_of",
    "needs",
    "needs_of",
    "neighbor_kl",
    "random",
    "score",
    "score_of",
]
