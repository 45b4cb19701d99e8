"""The strategies there are: family, name, and where each lives. Imported when it is used."""

from __future__ import annotations

from collections.abc import Mapping

_HOME = "activeloop.strategies"

FAMILIES: Mapping[str, Mapping[str, str]] = {
    "baseline": {
        "random": f"{_HOME}.uniform.random",
        "random_again": f"{_HOME}.uniform.random_again",
    },
    "uncertainty": {
        "least_confidence": f"{_HOME}.uncertainty.least_confidence",
        "margin": f"{_HOME}.uncertainty.margin",
        "entropy": f"{_HOME}.uncertainty.entropy",
        "variation_ratio": f"{_HOME}.uncertainty.variation_ratio",
        "bald": f"{_HOME}.uncertainty.bald",
        "mean_std": f"{_HOME}.uncertainty.mean_std",
        "epig": f"{_HOME}.predictive.epig",
    },
    "committee": {
        "vote_entropy": f"{_HOME}.committee.vote_entropy",
        "consensus_entropy": f"{_HOME}.committee.consensus_entropy",
        "kl_to_mean": f"{_HOME}.committee.kl_to_mean",
    },
    "batch": {
        "batchbald": f"{_HOME}.batchbald.batchbald",
        "bait": f"{_HOME}.bait.bait",
        "badge": f"{_HOME}.gradients.badge",
        "k_means": f"{_HOME}.centroids.k_means",
        "weighted_k_means": f"{_HOME}.weighted.WeightedKMeans",
        "clue": f"{_HOME}.weighted.clue",
        "cluster_margin": f"{_HOME}.hierarchy.cluster_margin",
        "facility_location": f"{_HOME}.facility.facility_location",
        "alfa_mix": f"{_HOME}.alfa.alfa_mix",
        "dropquery": f"{_HOME}.dropout.dropquery",
    },
    "coverage": {
        "k_center": f"{_HOME}.coreset.k_center",
        "typiclust": f"{_HOME}.typicality.typiclust",
        "probcover": f"{_HOME}.probability_cover.probcover",
        "dcom": f"{_HOME}.dynamic_coverage.dcom",
        "max_herding": f"{_HOME}.herding.max_herding",
        "uherding": f"{_HOME}.uncertainty_herding.uherding",
        "information_density": f"{_HOME}.information_density.InformationDensity",
    },
    "neighbours": {
        "cosine_diversity": f"{_HOME}.neighborhood.cosine_diversity",
        "l2_diversity": f"{_HOME}.neighborhood.l2_diversity",
        "neighbor_kl": f"{_HOME}.neighborhood.neighbor_kl",
        "cal": f"{_HOME}.contrastive.cal",
    },
    "imbalance": {
        "class_balanced": f"{_HOME}.balancing.ClassBalanced",
    },
    "combinators": {
        "mix": f"{_HOME}.mixing.Mix",
        "switch": f"{_HOME}.switching.Switch",
        "tcm": f"{_HOME}.switching.Tcm",
        "filter": f"{_HOME}.narrowing.Filter",
        "subsample": f"{_HOME}.narrowing.Subsample",
        "seals": f"{_HOME}.seals.Seals",
        "deduplicate": f"{_HOME}.deduplication.Deduplicate",
        "replay": f"{_HOME}.replaying.Replay",
    },
}

CATALOG: Mapping[str, str] = {
    name: path for family in FAMILIES.values() for name, path in family.items()
}
