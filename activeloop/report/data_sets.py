"""Comparisons that differ by their data alone: what ranks and penalties over data sets are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from activeloop.report.document import Problem
from activeloop.report.grouping import Group, set_apart
from activeloop.report.settings import fingerprints, key
from activeloop.report.wording import named

# Settings that say which data, or that name files made for them.
_OF_DATA = ("data.", "pool", "embed.pool", "embed.test", "embed.validation", "initial.path")


def corresponding(groups: Sequence[Group]) -> tuple[list[Group], list[Problem]]:
    """Return comparisons on several data sets, one on each, with the same settings otherwise.

    Data sets are told apart by their fingerprints, whatever they are called.

    Returns:
        The comparisons, none where there are no two such; and a problem where they fall into
            several sets, of which none is taken: each data set would count several times.
    """
    alike: dict[str, dict[str, Group]] = {}
    for group in groups:
        of_data = alike.setdefault(key(_besides_data(group)), {})
        of_data.setdefault(key(fingerprints(group.runs[0])), group)
    several = [list(of_data.values()) for of_data in alike.values() if len(of_data) > 1]
    if len(several) < 2:
        return [group for each in several for group in each], []
    titles = [named([group.title for group in each], 4) for each in several]
    text = (
        "no ranks and no penalties over data sets, for the same were compared several times, with "
        f"other settings ({'; '.join(titles)}): make a report of each on its own"
    )
    return [], [Problem(level="warning", text=text)]


def labels(groups: Sequence[Group]) -> list[str]:
    """Return what to call the data set of each group: its name, or its title where names repeat."""
    names = [group.data for group in groups]
    return names if len(set(names)) == len(names) else [group.title for group in groups]


def _besides_data(group: Group) -> dict[str, Any]:
    return {n: value for n, value in set_apart(group).items() if not n.startswith(_OF_DATA)}
