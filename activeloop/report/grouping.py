"""Which runs may be compared: those that differ by strategy, seed, and where they stop only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from activeloop.flat_settings import flat
from activeloop.report.document import Problem
from activeloop.report.reading import short
from activeloop.report.runs import Run
from activeloop.report.settings import (
    Settings,
    assigned,
    differing,
    fingerprints,
    key,
    settings_of,
    shared,
    shown,
    without_consequences,
)
from activeloop.report.wording import named

# What does not set runs apart from others: what is compared, where they end, and what is measured
# of them besides.
_APART_FROM_NONE = ("strategy", "seed", "stopping", "rounds", "budget", "measures", "stop_set")
# Data are told apart by their fingerprints, wherever they lie; initial sets are looked at later.
_FREE = (*_APART_FROM_NONE, "data", "initial")
# Settings of how many labels a run starts with; made in Python, a run may have that number alone.
_HOW_MANY = ("initial", "initial.size", "initial.path")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that are compared with each other.

    Attributes:
        name: fit for an anchor and a file, unique among the groups.
        title: the data set, and what sets it apart from other groups.
        data: name of the data set.
        runs: one for each strategy and seed, called by their strategy's name in the report.
        settings: what all of them share, but for strategy and seed.
    """

    name: str
    title: str
    data: str
    runs: tuple[Run, ...]
    settings: Settings

    @property
    def strategies(self) -> list[str]:
        """Names of the strategies, in the order of the runs."""
        return list(dict.fromkeys(run.strategy for run in self.runs))

    @property
    def counted(self) -> list[Run]:
        """Return the runs that numbers are made of: those that are over, or all if none is."""
        return [run for run in self.runs if run.finished] or list(self.runs)

    def of(self, strategy: str) -> dict[int, Run]:
        """Return the runs of a strategy by their seed."""
        return {run.seed: run for run in self.runs if run.strategy == strategy}


def plain_name(run: Run) -> str:
    """Return the strategy's name without what was swept."""
    own = run.config.get("strategy")
    return own if isinstance(own, str) else run.strategy.partition(", ")[0]


def grouped(runs: Sequence[Run], root: Path) -> tuple[list[Group], list[Problem]]:
    """Return the groups of `runs`, and which runs are there twice."""
    alike: dict[str, list[Run]] = {}
    for run in _called_by_strategy(runs):
        conditions = key([run.data, fingerprints(run), settings_of(run, without=_FREE)])
        alike.setdefault(conditions, []).append(run)
    parts = [part for each in alike.values() for part in _by_initial(each)]
    problems = list(_found_twice(parts, root))
    return _titled([_counting(part) for part in parts]), problems


# -- names of strategies -----------------------------------------------------------------------


def _called_by_strategy(runs: Sequence[Run]) -> Iterator[Run]:
    """Yield the runs, called by their strategy's name and those of its options that differ."""
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(plain_name(run), []).append(run)
    for name, same in by_name.items():
        options = [_options(run) for run in same]
        swept = [each for each in differing(options) if not _follows_seed(each, same, options)]
        for run, own in zip(same, options, strict=True):
            more = [f"{each}={shown(own[each])}" for each in swept if each in own]
            yield run.called(", ".join([name, *more]))


def _options(run: Run) -> dict[str, Any]:
    own = run.config.get("strategy")
    return flat({"strategy": own}) if isinstance(own, Mapping) else {}


def _follows_seed(option: str, runs: Sequence[Run], settings: Sequence[Settings]) -> bool:
    """Return whether an option is a path that is another for each seed, as that of `replay`."""
    pairs = {(run.seed, shown(own.get(option))) for run, own in zip(runs, settings, strict=True)}
    return option.endswith(".path") and len(pairs) == len({seed for seed, _ in pairs})


# -- groups ------------------------------------------------------------------------------------


def _by_initial(runs: list[Run]) -> list[list[Run]]:
    """Split runs that start with other numbers of labels, or from other files.

    Another kind of initial set may be the strategy's own affair: runs are split by it where one
    strategy has several. If that is the only strategy, it is a comparison of initial sets.
    """
    settings = [flat({"initial": run.config.get("initial")}) for run in runs]
    names = [n for n in differing(settings) if not _follows_seed(n, runs, settings)]
    if len({run.strategy for run in runs}) == 1:
        shown_names = without_consequences(names)
        return [
            [
                run.called(", ".join([run.strategy, *assigned(own, shown_names)]))
                for run, own in zip(runs, settings, strict=True)
            ]
        ]
    apart = [n for n in names if n in _HOW_MANY] or (names if _several_ways(runs) else [])
    if not apart:
        return [runs]
    parts: dict[str, list[Run]] = {}
    for run, own in zip(runs, settings, strict=True):
        parts.setdefault(key({n: own[n] for n in apart if n in own}), []).append(run)
    return [each for part in parts.values() for each in _by_initial(part)]


def _several_ways(runs: Sequence[Run]) -> bool:
    """Return whether a strategy was run from several initial sets with one seed."""
    ways = {(run.strategy, run.seed, key(run.config.get("initial"))) for run in runs}
    return len(ways) > len({way[:2] for way in ways})


def _of_one(runs: Sequence[Run]) -> dict[tuple[str, int], list[Run]]:
    """Return the runs by strategy and seed, what counts first: finished, then long, then new."""
    found: dict[tuple[str, int], list[Run]] = {}
    for run in sorted(runs, key=lambda run: str(run.directory)):
        found.setdefault((run.strategy, run.seed), []).append(run)
    for same in found.values():
        same.sort(
            key=lambda run: (run.finished, _length(run), run.environment.get("at", "")),
            reverse=True,
        )
    return found


def _length(run: Run) -> int:
    """Return at how many labels a run ended; of those under way, the newest is what is wanted."""
    return run.rounds[-1].labels if run.finished and run.rounds else 0


def _counting(runs: Sequence[Run]) -> list[Run]:
    return [same[0] for _, same in sorted(_of_one(runs).items())]


def _found_twice(parts: Sequence[Sequence[Run]], root: Path) -> Iterator[Problem]:
    """Yield what is there twice; runs that only ended earlier than one that counts, all in one."""
    shorter = []
    for (strategy, seed), same in (
        item for part in parts for item in sorted(_of_one(part).items())
    ):
        counts, *others = same
        ended_early = [run for run in others if run.finished and _length(run) < _length(counts)]
        shorter += [(counts, run) for run in ended_early]
        twice = [run for run in same if run not in ended_early]
        if len(twice) > 1:
            names = [short(run.directory, root) for run in twice]
            kind = "newest" + (" that is finished" if counts.finished else "")
            if ended_early:
                kind += " of the longest"
            text = f"{named(names)} are {strategy} with seed {seed}: {names[0]} counts, the {kind}"
            yield Problem(level="warning", text=text)
    if shorter:
        counts, run = shorter[0]
        names = [short(run.directory, root) for _, run in shorter]
        verb = "is" if len(names) == 1 else "are"
        text = (
            f"{named(names, 4)} {verb} left out, for there are longer finished runs of the same "
            f"strategies and seeds: {names[0]} ends at {_length(run)} labels, "
            f"{short(counts.directory, root)} at {_length(counts)}"
        )
        yield Problem(level="warning", text=text)


# -- titles ------------------------------------------------------------------------------------


def _titled(parts: Sequence[Sequence[Run]]) -> list[Group]:
    """Return groups with titles that tell them apart, in the order of the titles."""
    made = []
    for runs in parts:
        settings = shared([settings_of(run, without=("strategy", "seed")) for run in runs])
        data = runs[0].data_called
        made.append(Group(name="", title=data, data=data, runs=tuple(runs), settings=settings))
    titled = [replace(each, title=", ".join([each.data, *_apart(each, made)])) for each in made]
    titled.sort(key=lambda each: (each.title, str(each.runs[0].directory)))
    taken: dict[str, int] = {}
    named = []
    for each in titled:
        name = re.sub(r"[^\w.=]+", "-", each.title).strip("-")[:80]
        taken[name] = taken.get(name, 0) + 1
        number = f"-{taken[name]}" if taken[name] > 1 else ""
        title = f"{each.title} ({taken[name]})" if number else each.title
        named.append(replace(each, name=name + number, title=title))
    return named


def _apart(one: Group, groups: Sequence[Group]) -> list[str]:
    """Return what tells a group from the others of its data set."""
    others = [each for each in groups if each.data == one.data]
    if len(others) == 1:
        return []
    names = without_consequences(differing([set_apart(each) for each in others]))
    if words := assigned(set_apart(one), names):
        return words
    digests = [fingerprints(each.runs[0]) for each in others]
    own = fingerprints(one.runs[0])
    return [f"{name} {str(own[name])[:6]}" for name in differing(digests)[:1] if name in own]


def set_apart(one: Group) -> dict[str, Any]:
    """Return the settings that can tell a group from others."""
    return {
        name: value
        for name, value in one.settings.items()
        if name.partition(".")[0] not in _APART_FROM_NONE
    }
