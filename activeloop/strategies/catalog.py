"""The strategies there are: family, name, and where each lives. Imported when it is used."""

from __future__ import annotations

from collections.abc import Mapping

_HOME = "activeloop.strategies"

FAMILIES: Mapping[str, Mapping[str, str]] = {
    "baseline": {
        "random": f"{_HOME}.uniform.random",
    },
    "uncertainty": {
        "least_confidence": f"{_HOME}.uncertainty.least_confidence",
        "margin": f"{_HOME}.uncertainty.margin",
        "entropy": f"{_HOME}.uncertainty.entropy",
    },
    "neighbours": {
        "cosine_diversity": f"{_HOME}.neighborhood.cosine_diversity",
        "l2_diversity": f"{_HOME}.neighborhood.l2_diversity",
        "neighbor_kl": f"{_HOME}.neighborhood.neighbor_kl",
        "cal": f"{_HOME}.contrastive.cal",
    },
    "coverage": {
        "typiclust": f"{_HOME}.typicality.typiclust",
        "prob_cover": f"{_HOME}.probability_cover.prob_cover",
        "dcom": f"{_HOME}.dynamic_coverage.dcom",
        "max_herding": f"{_HOME}.herding.max_herding",
        "uherding": f"{_HOME}.uncertainty_herding.uherding",
        "information_density": f"{_HOME}.information_density.InformationDensity",
    },
}

CATALOG: Mapping[str, str] = {
    name: path for family in FAMILIES.values() for name, path in family.items()
}
