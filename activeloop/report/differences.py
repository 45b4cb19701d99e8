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
    """Return the finding as a sentence: area in points of accuracy, p corrected by Holm.

    `difference.words` is not read.
    """
    ours, theirs, found = difference.strategy, difference.baseline, difference.estimate
    if found.n == 0:
        return f"{ours}: no seed in common with {theirs}, so nothing to compare"
    if found.n == 1:
        return f"{ours}: one seed tells nothing of how it compares with {theirs}"
    if found.low is None or found.high is None:
        return f"{ours}: not comparable with {theirs}, for an area is not finite"
    if difference.settled:
        verb = "beats" if found.mean > 0 else "loses to"
        # The bound nearer to 0 is not said to be 0, for then nothing would be settled.
        digits = _digits(min(map(abs, (found.mean, found.low, found.high))))
        mean, low, high = (
            f"{100 * abs(each):.{digits}f}"
            for each in (found.mean, *sorted((found.low, found.high), key=abs))
        )
        spread = f"the same with each of {found.n} seeds"
        if found.low < found.high:
            spread = f"95% {low} to {high}, {found.n} seeds, {_p(difference.p_holm)}"
        return f"{ours} {verb} {theirs} by {mean} points of area ({spread})"
    if found.low == found.high:
        return f"{ours}: the same area as {theirs} with each of {found.n} seeds"
    return f"{ours}: not distinguishable from {theirs} with {found.n} seeds{_way_out(difference)}"


def _way_out(difference: Difference) -> str:
    """Say what would settle it, or what stands in the way."""
    if difference.p is not None and difference.p < LEVEL:
        alone, corrected = _p(difference.p), _p(difference.p_holm)
        return f" once corrected for the other comparisons ({alone} alone, {corrected} corrected)"
    needed = difference.seeds_needed
    if needed is None:
        return ""
    if needed > MANY_SEEDS:
        return f" (one as small as this would take over {MANY_SEEDS:,} for 80% power, uncorrected)"
    return f" (about {needed} would settle one like this with 80% power, uncorrected)"


def _digits(share: float) -> int:
    """Return with how many decimals a share is to be written in percent: at least one, not 0.0."""
    points = 100 * abs(share)
    return 1 if points == 0 else min(6, max(1, math.ceil(-math.log10(points))))


def _p(p: float | None) -> str:
    """Return p with as many digits as keep it on its side of the level."""
    if p is None:
        return "p unknown"
    if p < 0.001:
        return "p < 0.001"
    for digits in range(3, 7):
        text = f"{p:.{digits}f}"
        if (float(text) < LEVEL) == (p < LEVEL):
            return f"p = {text}"
    return f"p just below {LEVEL}"
