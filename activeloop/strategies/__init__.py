"""Strategies: callables that pick `k` samples from a context. Custom ones need no registration."""

from __future__ import annotations

from activeloop.strategies.alfa import alfa_mix
from activeloop.strategies.bait import bait
from activeloop.strategies.balancing import ClassBalanced
from activeloop.strategies.base import ScoreStrategy, needs, needs_of, score, score_of
from activeloop.strategies.batchbald import batchbald
from activeloop.strategies.catalog import CATALOG, FAMILIES
from activeloop.strategies.centroids import k_means
from activeloop.strategies.committee import consensus_entropy, kl_to_mean, vote_entropy
from activeloop.strategies.contrastive import cal
from activeloop.strategies.coreset import k_center
from activeloop.strategies.deduplication import Deduplicate
from activeloop.strategies.dropout import dropquery
from activeloop.strategies.dynamic_coverage import dcom
from activeloop.strategies.facility import facility_location
from activeloop.strategies.gradients import badge
from activeloop.strategies.herding import max_herding
from activeloop.strategies.hierarchy import cluster_margin
from activeloop.strategies.information_density import InformationDensity
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
from activeloop.strategies.predictive import epig
from activeloop.strategies.probability_cover import probcover
from activeloop.strategies.replaying import Replay
from activeloop.strategies.seals import Seals
from activeloop.strategies.switching import Switch, Tcm
from activeloop.strategies.typicality import typiclust
from activeloop.strategies.uncertainty import (
    bald,
    entropy,
    least_confidence,
    margin,
    mean_std,
    variation_ratio,
)
from activeloop.strategies.uncertainty_herding import uherding
from activeloop.strategies.uniform import random, random_again
from activeloop.strategies.weighted import WeightedKMeans, clue

__all__ = [
    "CATALOG",
    "ENTRY_POINTS",
    "FAMILIES",
    "About",
    "ClassBalanced",
    "Deduplicate",
    "Filter",
    "InformationDensity",
    "Mix",
    "Replay",
    "ScoreStrategy",
    "Seals",
    "Subsample",
    "Switch",
    "Tcm",
    "WeightedKMeans",
    "about",
    "alfa_mix",
    "as_strategy",
    "badge",
    "bait",
    "bald",
    "batchbald",
    "bind",
    "cal",
    "clue",
    "cluster_margin",
    "consensus_entropy",
    "cosine_diversity",
    "dcom",
    "described",
    "dropquery",
    "entropy",
    "epig",
    "facility_location",
    "find",
    "from_config",
    "k_center",
    "k_means",
    "kl_to_mean",
    "known_strategies",
    "l2_diversity",
    "least_confidence",
    "load_strategy",
    "locate",
    "margin",
    "max_herding",
    "mean_std",
    "name_of",
    "needs",
    "needs_of",
    "neighbor_kl",
    "probcover",
    "random",
    "random_again",
    "score",
    "score_of",
    "typiclust",
    "uherding",
    "variation_ratio",
    "vote_entropy",
]
