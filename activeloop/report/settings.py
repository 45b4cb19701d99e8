"""Settings of runs by their dotted names: which differ, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from activeloop.flat_settings import flat
from activeloop.report.runs import Run

Settings = Mapping[str, Any]

_MOST_SHOWN = 3


def settings_of(run: Run, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return a run's settings, groups and keys of the names `without` left out."""
    left_out = set(without)
    return flat({name: value for name, value in run.config.items() if name not in left_out})


def fingerprints(run: Run) -> dict[str, Any]:
    """Return what tells the run's data from others: its classes, and the digest of each part."""
    return {name: value for name, value in run.identity["data"].items() if name != "name"}


def key(value: Any) -> str:
    """Return text that is equal for equal settings."""
    return json.dumps(value, sort_keys=True, default=str)


def shared(settings: Sequence[Settings]) -> dict[str, Any]:
    """Return those that all of `settings` have with the same value."""
    first, *others = settings
    return {
        name: value
        for name, value in first.items()
        if all(name in other and key(other[name]) == key(value) for other in others)
    }


def differing(settings: Sequence[Settings]) -> list[str]:
    """Return the names of what is not the same in all of `settings`, in their order."""
    same = shared(settings)
    return [
        name for name in dict.fromkeys(n for each in settings for n in each) if name not in same
    ]


def without_consequences(names: Sequence[str]) -> list[str]:
    """Leave out the options of groups that have another target: those differ in any case."""
    groups = tuple(n.removesuffix("_target_") for n in names if n.endswith("._target_"))
    return [n for n in names if n.endswith("._target_") or not n.startswith(groups or "\0")]


def assignment(name: str, value: Any) -> str:
    """Return `name=value` as one would type it; a group's target is named for short."""
    group = name.removesuffix("._target_")
    return f"{name}={shown(value)}" if group == name else f"{group}={_last(value)}"


def shown(value: Any) -> str:
    """Return a value as the command line takes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {shown(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(shown, value)) + "]"
    return str(value)


def _last(target: Any) -> str:
    return str(target).rpartition(".")[2]


def contrasted(one: Settings, other: Settings) -> str:
    """Return what differs, as in "learner.lr is 0.01 and 0.1"."""
    names = without_consequences(differing([one, other]))
    parts = [
        f"{name.removesuffix('._target_')} is {_value(one, name)} and {_value(other, name)}"
        for name in names[:_MOST_SHOWN]
    ]
    return "; ".join([*parts, *_more(names)])


def _value(settings: Settings, name: str) -> str:
    if name not in settings:
        return "not there"
    return assignment(name, settings[name]).partition("=")[2]


def assigned(settings: Settings, names: Sequence[str]) -> list[str]:
    """Return the first of the settings `names`, as one would type them, and how many more."""
    there = [name for name in names if name in settings]
    return [*(assignment(name, settings[name]) for name in there[:_MOST_SHOWN]), *_more(there)]


def _more(names: Sequence[str]) -> list[str]:
    return [f"and {len(names) - _MOST_SHOWN} more"] if len(names) > _MOST_SHOWN else []
