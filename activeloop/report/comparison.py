"""A comparison: strategies side by side, paired by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, nan
from statistics import fmean

from activeloop.audit import pooled
from activeloop.report.ceiling import ceiling
from activeloop.report.comparability import (
    holes,
    other_ends,
    other_versions,
    spread,
    stopped_by_test,
    too_short,
)
from activeloop.report.differences import differences
from activeloop.report.document import (
    Audited,
    Comparison,
    Curve,
    Difference,
    Pictures,
    Problem,
    RunLine,
)
from activeloop.report.grouping import Group, plain_name
from activeloop.report.pairing import unpaired
from activeloop.report.pictures import pictures
from activeloop.report.ranking import Values, penalty_matrix
from activeloop.report.runs import Run
from activeloop.report.series import curve, higher_is_better, line, metrics_of
from activeloop.report.stops import stops
from activeloop.report.table import (
    Lines,
    areas,
    long_enough,
    round_budgets,
    round_targets,
    rows,
    shared_range,
)
from activeloop.report.wording import named
from activeloop.words import counted

BASELINE = "random"
# Random with other draws: what chance alone makes of random against random.
AGAIN = "random_again"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the reader asks of each comparison.

    Attributes:
        baseline: name of the strategy that others are compared with.
        targets: accuracies; None: some that tell something.
        budgets: label counts; None: some of the runs' own.
        pictures_from: seconds that runs must have taken for a look at what they picked; None: none.
    """

    baseline: str = BASELINE
    targets: tuple[float, ...] | None = None
    budgets: tuple[int, ...] | None = None
    pictures_from: float | None = None


def compared(
    group: Group, asked: Asked, ceilings: Sequence[Run]
) -> tuple[Comparison, list[Problem]]:
    """Return all numbers of a group of runs, and what a reader must know of them first.

    Runs that are not over are left out of the numbers, unless none is.
    """
    runs = group.counted
    by_strategy: dict[str, list[Run]] = {}
    for run in runs:
        by_strategy.setdefault(run.strategy, []).append(run)
    baseline = baseline_of(runs, asked.baseline)
    lines = accuracies(by_strategy)
    strategies = _ordered(by_strategy, areas(lines), baseline)
    lines = {name: lines[name] for name in strategies if name in lines}
    runs = [run for name in strategies for run in by_strategy[name]]
    targets = round_targets(lines, baseline) if asked.targets is None else asked.targets
    budgets = round_budgets(lines) if asked.budgets is None else asked.budgets
    metrics = metrics_of(runs)
    curves = (curve(name, metric, by_strategy[name]) for metric in metrics for name in strategies)
    comparison = Comparison(
        name=group.name,
        title=group.title,
        data=group.data,
        baseline=baseline,
        strategies=strategies,
        metrics=metrics,
        higher_is_better={metric: higher_is_better(metric) for metric in metrics},
        curves=tuple(each for each in curves if each is not None),
        ceiling=ceiling(group, ceilings),
        table=rows(
            {name: by_strategy[name] for name in strategies},
            lines,
            baseline=baseline,
            targets=targets,
            budgets=budgets,
        ),
        targets=targets,
        budgets=budgets,
        differences=_differences(areas(lines), strategies, baseline),
        noise_floor=_noise_floor(areas(lines)),
        penalties=penalty_matrix([by_labels(lines)]),
        stops=stops(runs),
        pictures=_pictures(runs, asked.pictures_from),
        settings=group.settings,
        validation_labels=_validation_labels(runs),
        differing=spread(runs),
        area_range=shared_range(lines),
        audited=tuple(each for run in runs if (each := _audited(run)) is not None),
    )
    return comparison, list(_problems(group, runs, lines, comparison, asked))


def _audited(run: Run) -> Audited | None:
    known = pooled(run.rounds)
    tested = any(isfinite(round.metrics.get("accuracy", nan)) for round in run.rounds)
    if known is None or tested:
        return None
    low, high = known.interval
    return Audited(
        strategy=run.strategy,
        seed=run.seed,
        accuracy=known.accuracy,
        low=low,
        high=high,
        samples=known.samples,
        labels=known.labels,
        words=f"{run.strategy}, seed {run.seed}: {known.words}",
    )


def baseline_of(runs: Sequence[Run], wanted: str) -> str | None:
    """Return the strategy of that name, or the only one whose name without options it is."""
    names = {run.strategy: plain_name(run) for run in runs}
    if wanted in names:
        return wanted
    found = [name for name, plain in names.items() if plain == wanted]
    return found[0] if len(found) == 1 else None


def accuracies(by_strategy: Mapping[str, Sequence[Run]]) -> dict[str, dict[int, RunLine]]:
    """Return the accuracy of each run by strategy and seed, of those that have it."""
    lines = {
        strategy: {run.seed: found for run in runs if (found := line(run, "accuracy"))}
        for strategy, runs in by_strategy.items()
    }
    return {strategy: each for strategy, each in lines.items() if each}


def only_chance(strategy: str) -> bool:
    """Return whether a strategy is there to show chance, which takes no part against others."""
    return strategy.partition(", ")[0] == AGAIN


def by_labels(lines: Mapping[str, Mapping[int, RunLine]]) -> Values:
    """Return accuracies by strategy, label count and seed, without what only shows chance."""
    values: dict[str, dict[int, dict[int, float]]] = {}
    for strategy, each in lines.items():
        if only_chance(strategy):
            continue
        for seed, course in each.items():
            for labels, value in zip(course.labels, course.values, strict=True):
                values.setdefault(strategy, {}).setdefault(labels, {})[seed] = value
    return values


def _ordered(
    by_strategy: Mapping[str, Sequence[Run]],
    found: Mapping[str, Mapping[int, float]],
    baseline: str | None,
) -> tuple[str, ...]:
    """Return the strategies: the baseline, then by falling area."""

    def place(name: str) -> tuple[bool, float, str]:
        mean = fmean(found[name].values()) if name in found else float("-inf")
        return name != baseline, -mean, name

    return tuple(sorted(by_strategy, key=place))


def _differences(
    found: Mapping[str, Mapping[int, float]], strategies: Sequence[str], baseline: str | None
) -> tuple[Difference, ...]:
    if baseline is None or baseline not in found:
        return ()
    return differences(
        {n: found[n] for n in strategies if n in found and (n != AGAIN or n == baseline)},
        baseline,
    )


def _noise_floor(found: Mapping[str, Mapping[int, float]]) -> Difference | None:
    if not {BASELINE, AGAIN} <= found.keys():
        return None
    (floor,) = differences({name: found[name] for name in (BASELINE, AGAIN)}, BASELINE)
    return replace(floor, words=_words(floor))


def _words(floor: Difference) -> str:
    estimate = floor.estimate
    if estimate.low is None or estimate.high is None:
        seeds = "seed" if estimate.n == 1 else "seeds"
        return f"noise floor: not known with {estimate.n} {seeds} in common"
    mean, low, high = (100 * value for value in (estimate.mean, estimate.low, estimate.high))
    text = (
        f"noise floor: random against itself with other draws differs by {mean:+.1f} points of "
        f"area (95% {low:+.1f} to {high:+.1f}, {estimate.n} seeds)"
    )
    return f"{text}, as one of twenty such checks does by chance" if floor.settled else text


def _pictures(runs: Sequence[Run], least: float | None) -> Pictures | None:
    if least is None or sum(run.seconds for run in runs) < least:
        return None
    return pictures(runs)


def _leaked(pictures: Pictures | None) -> Iterator[Problem]:
    """Yield a warning where the pool has near-duplicates of test samples."""
    found = pictures.duplicates if pictures is not None else None
    if found is not None and found.leaked:
        text = (
            f"{found.leaked:,} of {found.test:,} test samples have near-duplicates in the pool, so "
            "that test accuracy is optimistic"
        )
        yield Problem(level="warning", text=text)


def _validation_labels(runs: Sequence[Run]) -> int:
    counts = [run.rounds[-1].metrics.get("validation_labels", 0) for run in runs if run.rounds]
    return int(max(counts, default=0))


def _problems(
    group: Group, runs: Sequence[Run], lines: Lines, comparison: Comparison, asked: Asked
) -> Iterator[Problem]:
    yield from holes(group)
    yield from unpaired(group, comparison.baseline or group.strategies[0])
    yield from too_short(lines)
    kept = long_enough(lines)
    used = [r for r in runs if r.strategy not in lines or r.seed in kept.get(r.strategy, {})]
    yield from other_ends(used)
    yield from other_versions(runs)
    yield from stopped_by_test(runs)
    yield from _leaked(comparison.pictures)
    if comparison.baseline is None and len(comparison.strategies) > 1:
        names = named(comparison.strategies)
        text = f"there is no baseline {asked.baseline!r} to compare {names} with: see --baseline"
        yield Problem(level="warning", text=text)
    accuracy: Sequence[Curve] = [c for c in comparison.curves if c.metric == "accuracy"]
    labelled_alone = len(runs) == 1 and runs[0].by_people  # nothing to compare, nothing to mend
    if comparison.curves and not accuracy and not labelled_alone:
        text = "no run has a test accuracy, so that there are no areas and no differences"
        yield Problem(level="warning", text=text)
    elif len(lines) > 1 and comparison.area_range is None:
        text = "runs share no range of labels, so that there are no areas and no differences"
        yield Problem(level="warning", text=text)
    for labels in asked.budgets or ():
        if accuracy and not any(labels in row.at for row in comparison.table):
            yield Problem(level="warning", text=f"no run has come to {counted(labels, 'label')}")
