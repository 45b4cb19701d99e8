"""What a report found, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from activeloop.report.document import (
    Comparison,
    Curve,
    Difference,
    Estimate,
    Ranks,
    Reach,
    Row,
)
from activeloop.report.wording import named, quoted
from activeloop.words import counted

# Runs by people are few; a study of many has its curves.
_MOST_AUDITED = 3


def findings(comparisons: Sequence[Comparison], ranks: Ranks | None) -> tuple[str, ...]:
    """Return sentences, the most telling first, with their comparison where there are several."""
    found = []
    for comparison in comparisons:
        where = f"{comparison.title}: " if len(comparisons) > 1 else ""
        found += [f"{where}{text}" for text in _of(comparison)]
    if ranks is not None:
        # What cannot be told apart is no news.
        found.insert(0 if _told_apart(ranks) else len(found), _of_ranks(ranks))
    return tuple(found)


def _of(comparison: Comparison) -> Iterator[str]:
    for difference in sorted(comparison.differences, key=_telling):
        yield difference.words
    yield from _saved(comparison)
    if comparison.noise_floor is not None:
        yield comparison.noise_floor.words
    yield from _ends(comparison)
    for each in comparison.audited[:_MOST_AUDITED]:
        yield each.words
    if comparison.validation_labels:
        labels = counted(comparison.validation_labels, "label")
        yield f"each run used {labels} more to validate, which no label count here has in it"


def _telling(difference: Difference) -> tuple[bool, float]:
    return not difference.settled, -difference.estimate.mean


def _saved(comparison: Comparison) -> Iterator[str]:
    """Say what the strategy that is best for certain saves, at the highest target it can be had."""
    settled = [d for d in comparison.differences if d.settled and d.estimate.mean > 0]
    if not settled:
        return
    best = max(settled, key=lambda difference: difference.estimate.mean).strategy
    table = {row.strategy: row for row in comparison.table}
    pairs = [
        pair
        for pair in zip(table[best].reach, table[comparison.baseline or ""].reach, strict=True)
        # What all have from the start saves nobody a label.
        if not _met_at_once(comparison, (best, comparison.baseline), pair[0].target)
    ]
    for ours, theirs in reversed(pairs):
        if ours.saved is None or ours.labels is None or theirs.labels is None:
            continue
        yield (
            f"{best} reaches {_percent(ours.target)} with {ours.labels.mean:,.0f} labels, "
            f"{comparison.baseline} with {theirs.labels.mean:,.0f}: {_change(ours.saved)}"
        )
        return
    for ours, theirs in reversed(pairs):
        if ours.reached > theirs.reached:
            yield f"{_got_there(best, ours)}, {_got_there(comparison.baseline or '', theirs)}"
            return


def _met_at_once(comparison: Comparison, strategies: Sequence[str | None], target: float) -> bool:
    """Return whether all runs of the strategies have the accuracy in their first round."""
    return all(
        run.values[0] >= target
        for curve in comparison.curves
        if curve.metric == "accuracy" and curve.strategy in strategies
        for run in curve.runs
    )


def _got_there(strategy: str, reach: Reach) -> str:
    return f"{strategy} reaches {_percent(reach.target)} in {reach.reached} of {reach.of} runs"


def _change(saved: Estimate) -> str:
    spread = "" if saved.low is None else f" (95% {saved.low:.0f} to {saved.high:.0f})"
    if saved.mean < 0:
        return f"{-saved.mean:.0f}% more labels"
    return f"{saved.mean:.0f}% fewer labels{spread}"


def _ends(comparison: Comparison) -> Iterator[str]:
    """Say where the best strategy ends in most runs, and what all labels would give."""
    curves = {c.strategy: c for c in comparison.curves if c.metric == "accuracy"}
    rows = [row for row in comparison.table if row.area is not None and row.strategy in curves]
    if not rows:
        return
    best = max(rows, key=_area).strategy
    labels, end = _last(curves[best])
    of = len(curves[best].runs)
    spread = "" if end.low is None else f" (95% {_percent(end.low)} to {_percent(end.high or 0)})"
    text = f"{best} ends at {_percent(end.mean)} with {counted(labels, 'label')}{spread}"
    text += f", {end.n} of {of} runs" if end.n < of else ""
    if comparison.ceiling and "accuracy" in comparison.ceiling:
        text += f"; all labels of the pool give {_percent(comparison.ceiling['accuracy'])}"
    yield text


def _last(curve: Curve) -> tuple[int, Estimate]:
    """Return the last label count that most runs have, and what they have there."""
    points = list(zip(curve.labels, curve.estimates, strict=True))
    shared = [(labels, each) for labels, each in points if 2 * each.n > len(curve.runs)]
    # Of runs that never meet, the one point with the most of them.
    return shared[-1] if shared else max(points, key=lambda point: (point[1].n, point[0]))


def _area(row: Row) -> float:
    return -1.0 if row.area is None else row.area.mean


def _of_ranks(ranks: Ranks) -> str:
    names = [f"{quoted(s)} {r:.1f}" for s, r in zip(ranks.strategies, ranks.ranks, strict=True)]
    text = f"mean ranks over {named(ranks.data_sets)}, 1 is best: {', '.join(names)}"
    if ranks.critical_difference is None:
        return text
    verb = "exceeds" if _told_apart(ranks) else "does not exceed"
    end = "" if _told_apart(ranks) else ", so that they tell none from another"
    return (
        f"{text}; their greatest difference, {_spread(ranks):.2f}, {verb} the critical one of "
        f"{ranks.critical_difference:.2f}{end}"
    )


def _told_apart(ranks: Ranks) -> bool:
    return ranks.critical_difference is not None and _spread(ranks) > ranks.critical_difference


def _spread(ranks: Ranks) -> float:
    return max(ranks.ranks) - min(ranks.ranks)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
