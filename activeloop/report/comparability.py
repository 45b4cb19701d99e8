"""What keeps runs from being compared, or makes less of a comparison than it seems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from activeloop.report.document import Problem
from activeloop.report.grouping import Group, set_apart
from activeloop.report.runs import Run
from activeloop.report.settings import contrasted, differing, fingerprints, settings_of, shown
from activeloop.report.table import Lines, long_enough, usual_range
from activeloop.report.wording import listed, named, numbered

# Settings of where a run ends, which may differ within a comparison.
_ENDS = ("budget", "rounds", "stopping")
# In the reasons of the rules that look at test accuracy, alone or in combinations.
_BY_TEST = ("reached the target", "stopping=plateau:")
# Packages whose version may change numbers.
_TELLING = ("python", "activeloop", "torch", "torchvision", "numpy", "scikit-learn", "faiss-cpu")


def not_comparable(groups: Sequence[Group]) -> Iterator[Problem]:
    """Yield groups of one data set that were probably meant to be one, and what keeps them apart.

    Groups with the same strategies and seeds are a sweep over something else, and meant to be
    apart, unless it is the data that changed under the same settings.
    """
    for position, one in enumerate(groups):
        before = [each for each in groups[:position] if each.data == one.data]
        if not before:
            continue
        other = min(before, key=lambda each: len(differing([set_apart(each), set_apart(one)])))
        settings = contrasted(set_apart(other), set_apart(one))
        if not settings:
            yield Problem(level="error", text=f"{_both(other, one)}: {_digests(other, one)}")
        elif not (set(one.strategies) == set(other.strategies) and _seeds(one) & _seeds(other)):
            yield Problem(level="warning", text=f"{_both(other, one)}: {settings}")


def _both(other: Group, one: Group) -> str:
    names = [f"{named(each.strategies, 4)} with {numbered(_seeds(each))}" for each in (other, one)]
    return f"{one.data}: {names[0]} cannot be compared with {names[1]}"


def _digests(other: Group, one: Group) -> str:
    prints = fingerprints(other.runs[0]), fingerprints(one.runs[0])
    parts = listed(differing(prints))
    return f"the data were changed between them (the fingerprints of {parts} are others)"


def _seeds(one: Group) -> set[int]:
    return {run.seed for run in one.runs}


def holes(group: Group) -> Iterator[Problem]:
    """Yield strategies without a run of a seed that others have."""
    for strategy in group.strategies:
        if missing := _seeds(group) - group.of(strategy).keys():
            runs = "run" if len(missing) == 1 else "runs"
            text = f"{strategy} has no {runs} with {numbered(missing)}, which others have"
            yield Problem(level="error", text=text)


def too_short(lines: Lines) -> Iterator[Problem]:
    """Yield runs that are left out of areas and differences, by accuracy."""
    kept = long_enough(lines)
    for strategy, each in lines.items():
        out = [line for seed, line in each.items() if seed not in kept.get(strategy, {})]
        if not out:
            continue
        ends = sorted({line.labels[-1] for line in out})
        low, high = usual_range(lines)
        text = (
            f"{strategy} with {numbered(line.seed for line in out)} ends at "
            f"{listed([str(end) for end in ends])} labels, where most runs cover {low} to {high}: "
            "left out of areas and differences"
        )
        yield Problem(level="error", text=text)


def other_ends(runs: Sequence[Run]) -> Iterator[Problem]:
    """Yield a warning where the longest run goes further than the shortest."""
    last: dict[int, list[Run]] = {}
    for run in runs:
        if run.rounds:
            last.setdefault(run.rounds[-1].labels, []).append(run)
    if len(last) < 2:
        return
    least, most = last[min(last)][0], last[max(last)][0]
    ends = [
        {n: v for n, v in settings_of(run).items() if n.partition(".")[0] in _ENDS}
        for run in (least, most)
    ]
    why = contrasted(ends[0], ends[1])
    text = (
        f"runs end at {min(last)} ({_called(least)}) to {max(last)} labels ({_called(most)}), and "
        f"areas are of what all have in common{f': {why}' if why else ''}"
    )
    yield Problem(level="warning", text=text)


def stopped_by_test(runs: Sequence[Run]) -> Iterator[Problem]:
    """Yield a warning where a rule that looks at test accuracy ended runs."""
    ended: dict[str, set[int]] = {}
    for run in runs:
        if any(words in (run.ended or "") for words in _BY_TEST):
            ended.setdefault(run.strategy, set()).add(run.seed)
    if ended:
        who = listed([f"{name} with {numbered(seeds)}" for name, seeds in ended.items()])
        text = (
            f"test accuracy decided where {who} ended, by stopping=target or plateau: their "
            "accuracy at the end is optimistic"
        )
        yield Problem(level="warning", text=text)


def spread(runs: Sequence[Run]) -> dict[str, tuple[str, ...]]:
    """Return what differs among runs that are compared, beside strategy and seed, by dotted name.

    Each value is told with the runs that have it: settings, then versions and hardware.
    """
    settings = [settings_of(run, without=("strategy", "seed")) for run in runs]
    found = {
        name: _told(runs, [_value(each, name) for each in settings]) for name in differing(settings)
    }
    made_by = [_made_by(run) for run in runs]
    return found | {
        name: _told(runs, [each.get(name, "not recorded") for each in made_by])
        for name in differing(made_by)
    }


def _value(settings: Mapping[str, Any], name: str) -> str:
    return shown(settings[name]) if name in settings else "not there"


def _told(runs: Sequence[Run], values: Sequence[str]) -> tuple[str, ...]:
    """Return each value with who has it: strategies, or some of their seeds."""
    of_all: dict[str, set[int]] = {}
    by_value: dict[str, dict[str, set[int]]] = {}
    for run, value in zip(runs, values, strict=True):
        of_all.setdefault(run.strategy, set()).add(run.seed)
        by_value.setdefault(value, {}).setdefault(run.strategy, set()).add(run.seed)
    told = []
    for value, each in by_value.items():
        who = [
            name if seeds == of_all[name] else f"{name} with {numbered(seeds)}"
            for name, seeds in each.items()
        ]
        told.append(f"{value} ({listed(who)})")
    return tuple(told)


def _called(run: Run) -> str:
    return f"{run.strategy} with seed {run.seed}"


def other_versions(runs: Sequence[Run]) -> Iterator[Problem]:
    """Yield a warning where runs were made by different versions, or on different hardware."""
    found: dict[str, dict[str, set[str]]] = {}
    for run in runs:
        for name, value in _made_by(run).items():
            found.setdefault(name, {}).setdefault(value, set()).add(run.strategy)
    parts = [
        f"{name} {listed([f'{value} ({named(sorted(who), 3)})' for value, who in each.items()])}"
        for name, each in found.items()
        if len(each) > 1
    ]
    if parts:
        text = f"runs were not made alike, so that last digits may differ: {'; '.join(parts)}"
        yield Problem(level="warning", text=text)


def _made_by(run: Run) -> Mapping[str, str]:
    hardware = run.hardware
    device = hardware.get("accelerator") or hardware.get("processor")
    named = {name: run.versions.get(name) for name in _TELLING} | {"hardware": device}
    return {name: str(value) for name, value in named.items() if value is not None}
