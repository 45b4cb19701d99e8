"""Each strategy against the baseline, and the finding in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from activeloop.report.document import Difference
from activeloop.report.statistics import LEVEL, holm, paired

# From here on the number of seeds that a difference would take is not worth telling exactly.
MANY_SEEDS = 1000


def differences(areas: Mapping[str, Mapping[int, float]], baseline: str) -> tuple[Difference, ...]:
    """Compare every other strategy with the baseline, paired by the seeds that both have.

    Holm's correction is for as many comparisons as can be tested here: hand over only what is one
    family. Strategies come in the order of `areas`.

    Args:
        areas: by strategy and seed, as mean accuracies.
        baseline: one of the strategies.
    """
    others = [name for name in areas if name != baseline]
    seeds = {name: sorted(areas[name].keys() & areas[baseline].keys()) for name in others}
    results = [
        paired([areas[name][s] for s in seeds[name]], [areas[baseline][s] for s in seeds[name]])
        for name in others
    ]
    found = []
    for name, result, p_holm in zip(others, results, holm([r.p for r in results]), strict=True):
        settled = p_holm is not None and p_holm < LEVEL
        # Where only the correction stands in the way, the formula, uncorrected, has no answer.
        more = result.seeds_needed if result.p is not None and result.p >= LEVEL else None
        difference = Difference(
            strategy=name,
            baseline=baseline,
            estimate=result.estimate,
            p=result.p,
            p_holm=p_holm,
            wilcoxon_p=result.wilcoxon_p,
            wilcoxon_least=result.wilcoxon_least,
            seeds_needed=more,
            settled=settled,
            words="",
        )
        found.append(replace(difference, words=words(difference)))
    return tuple(found)


def words(difference: Difference) -> str:
    """Return the finding as a sentence; area in points of accuracy, p corrected."""
    raise NotImplementedError
