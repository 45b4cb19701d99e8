"""What strategies chose in the runs that are compared, and which run stands for a strategy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from activeloop.report.runs import Run
from activeloop.store import Asked


@dataclass(frozen=True, kw_only=True)
class Picks:
    """What a strategy chose in one run and got a class for, in the order of asking."""

    run: Run
    asked: tuple[Asked, ...]

    @property
    def labels(self) -> list[str]:
        """The class of each."""
        answers = self.run.answers
        return [label for a in self.asked if (label := answers[a.key]) is not None]


# By strategy, then by seed.
ByStrategy = Mapping[str, Mapping[int, Picks]]


def answered(run: Run) -> list[Asked]:
    """Return all that a run asked for and got a class for, in the order of asking.

    Each sample once, where it was asked last: what people leave open may be asked again.
    """
    last = {a.key: a for a in run.queries if run.answers.get(a.key) is not None}
    return sorted(last.values(), key=lambda a: (a.round, a.position))


def chosen(run: Run) -> Picks:
    """Return a run's picks: neither the initial set, nor the audit's, nor what has no class."""
    asked = tuple(a for a in answered(run) if a.round > 0 and not a.audit)
    return Picks(run=run, asked=asked)


def shared(runs: Sequence[Run]) -> dict[str, dict[int, Picks]]:
    """Return picks by strategy and seed, as many of each run as all of them have.

    Runs that are not over are left out, where others are; so are runs without picks.
    """
    over = [run for run in runs if run.finished] or runs
    found = [picks for picks in map(chosen, over) if picks.asked]
    size = min((len(picks.asked) for picks in found), default=0)
    by_strategy: dict[str, dict[int, Picks]] = {}
    for picks in found:
        cut = Picks(run=picks.run, asked=picks.asked[:size])
        by_strategy.setdefault(picks.run.strategy, {})[picks.run.seed] = cut
    return by_strategy


def of_seed(runs: Sequence[Run], seed: int | None = None) -> dict[str, Run]:
    """Return the run of one seed for each strategy: `seed`, or the one that most of them have.

    A strategy without a run of that seed is shown by its least seed.
    """
    by_strategy: dict[str, dict[int, Run]] = {}
    for run in runs:
        by_strategy.setdefault(run.strategy, {})[run.seed] = run
    counts = Counter(each for seeds in by_strategy.values() for each in seeds)
    if seed is None:
        seed = min(counts, key=lambda each: (-counts[each], each), default=0)
    return {name: seeds.get(seed, seeds[min(seeds)]) for name, seeds in by_strategy.items()}


def class_names(runs: Sequence[Run], first: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the classes: `first`, the runs' own, and any that were added later."""
    own = [run.identity.get("data", {}).get("classes", ()) for run in runs]
    names = dict.fromkeys([*first, *(name for each in own for name in each)])
    answered = {label for run in runs for label in run.answers.values() if label is not None}
    return (*names, *sorted(answered - names.keys()))
