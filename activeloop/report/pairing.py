"""Are runs paired: with one seed the same initial set, answers and weights; one test set?"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from activeloop.flat_settings import flat
from activeloop.report.document import Problem
from activeloop.report.grouping import Group
from activeloop.report.runs import Run
from activeloop.report.settings import contrasted, key
from activeloop.report.wording import named, numbered

# Rounding differs between machines, and between networks that train alone or stacked.
_SAME_LOSS = 0.05


def unpaired(group: Group, first: str) -> Iterator[Problem]:
    """Yield what keeps strategies from being compared seed by seed.

    Args:
        group: runs that should be paired.
        first: the strategy that others are held against.
    """
    checks: list[tuple[Literal["error", "warning"], Callable[[Run, Run], bool], str]] = [
        ("error", _other_start, "does not start from the same labels as"),
        ("error", _other_answers, "was given other answers for the same samples than"),
        ("warning", _other_weights, "has another loss on the same first labels than"),
    ]
    by_seed: dict[int, list[Run]] = {}
    for run in sorted(group.runs, key=lambda run: (run.strategy != first, run.strategy)):
        by_seed.setdefault(run.seed, []).append(run)
    for level, differs, words in checks:
        for (one, other), seeds in _found(list(by_seed.values()), differs).items():
            text = f"{one} {words} {other} with {numbered(seeds)}: there they are not paired"
            yield Problem(level=level, text=text)
    yield from _other_kinds(list(by_seed.values()))
    yield from _other_tests(group)


def _found(
    of_seeds: Sequence[Sequence[Run]], differs: Callable[[Run, Run], bool]
) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    for reference, *others in of_seeds:
        for run in others:
            if differs(reference, run):
                found.setdefault((run.strategy, reference.strategy), []).append(run.seed)
    return found


def _initial_set(run: Run) -> frozenset[str]:
    return frozenset(asked.key for asked in run.queries if asked.round == 0)


def _other_start(one: Run, other: Run) -> bool:
    if key(one.config.get("initial")) != key(other.config.get("initial")):
        return False  # meant to be another: see `_other_kinds`
    sets = _initial_set(one), _initial_set(other)
    return all(sets) and sets[0] != sets[1]


def _other_kinds(of_seeds: Sequence[Sequence[Run]]) -> Iterator[Problem]:
    """Yield strategies whose initial sets are meant to be others: a part of what is compared."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for reference, *others in of_seeds:
        for run in others:
            kinds = [flat({"initial": each.config.get("initial")}) for each in (run, reference)]
            if _initial_set(run) != _initial_set(reference) and (how := contrasted(*kinds)):
                names = run.strategy, reference.strategy, how
                found.setdefault(names, []).append(run.seed)
    for (one, other, how), seeds in found.items():
        text = (
            f"{one} starts from another kind of initial set than {other} with {numbered(seeds)} "
            f"({how}): what they differ by may come from that"
        )
        yield Problem(level="warning", text=text)


def _other_answers(one: Run, other: Run) -> bool:
    answers = one.answers, other.answers
    return any(answers[0][each] != answers[1][each] for each in answers[0].keys() & answers[1])


def _other_weights(one: Run, other: Run) -> bool:
    if not (one.rounds and other.rounds) or _initial_set(one) != _initial_set(other):
        return False
    losses = [run.rounds[0].metrics.get("loss", 0.0) for run in (one, other)]
    return abs(losses[0] - losses[1]) > _SAME_LOSS * max(map(abs, losses))


def _other_tests(group: Group) -> Iterator[Problem]:
    """Yield runs whose test labels are not those of most: samples are compared by fingerprint."""
    digests = [_test_labels(run) for run in group.runs]
    common = Counter(each for each in digests if each is not None).most_common(1)
    others = [
        f"{run.strategy} with seed {run.seed}"
        for run, digest in zip(group.runs, digests, strict=True)
        if digest is not None and digest != common[0][0]
    ]
    if others:
        text = f"not tested against the same labels as the other runs: {named(others)}"
        yield Problem(level="error", text=text)


def _test_labels(run: Run) -> str | None:
    path = run.directory / "test_probs" / "labels.npy"
    try:
        return hashlib.blake2b(path.read_bytes()).hexdigest()
    except OSError:
        return None
