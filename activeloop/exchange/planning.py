"""What becomes of each row of a file of labels, before anything is written."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from activeloop.exchange.matching import matched
from activeloop.exchange.rows import Row
from activeloop.types import Skip
from activeloop.words import some


@dataclass
class Plan:
    """What would be done with a file.

    Attributes:
        new: the row of each key that gets a label, in the file's order.
        conflicts: those of keys that have another answer, which is the first of each pair.
        same: how many have this label already.
        skipped: how many rows the file itself leaves without a class.
        unknown: rows whose sample is not in the pool.
        unlabelled: rows without a label.
        strange: rows of classes that there are not.
        disputed: labels in the file, by the key for which there are several.
        left_out: what was left out before names that are no keys as they are.
    """

    new: dict[str, Row] = field(default_factory=dict)
    conflicts: dict[str, tuple[str, Row]] = field(default_factory=dict)
    same: int = 0
    skipped: int = 0
    unknown: list[Row] = field(default_factory=list)
    unlabelled: list[Row] = field(default_factory=list)
    strange: list[Row] = field(default_factory=list)
    disputed: dict[str, list[str]] = field(default_factory=dict)
    left_out: str = ""

    def problems(self, classes: Sequence[str]) -> list[str]:
        """Return what is wrong with the file, a line each, with the first ten of each kind."""
        names = dict.fromkeys(row.label for row in self.strange)
        strange = [f"{name!r}{_meant(name, classes)}" for name in names]
        disputed = [f"{key!r} is {' and '.join(them)}" for key, them in self.disputed.items()]
        kinds = [
            (len(self.unknown), "not in the pool", _placed(self.unknown)),
            (len(self.unlabelled), "without a label", _placed(self.unlabelled)),
            (len(self.strange), "of no class of the run", strange),
            (len(disputed), "with several labels", disputed),
        ]
        return [f"{count:,} {kind}: {some(said)}" for count, kind, said in kinds if count]

    def conflict_lines(self) -> str:
        """Return the first ten conflicts with what there is."""
        said = [f"{k!r} is {there}, not {row.label}" for k, (there, row) in self.conflicts.items()]
        return some(said)


def plan(
    rows: Iterable[Row],
    pool: Container[str],
    classes: Sequence[str],
    answers: Mapping[str, str | Skip],
    *,
    adds_classes: bool,
) -> Plan:
    """Return what to do with `rows`.

    Args:
        rows: of the file.
        pool: the keys that there are.
        classes: the class names.
        answers: the present answers by key.
        adds_classes: whether other classes are none of the problems.
    """
    made = Plan()
    told: dict[str, dict[str, Row]] = {}
    labelled = []
    for row in rows:
        if row.skipped:
            made.skipped += 1
        elif not row.label.strip():
            made.unlabelled.append(row)
        else:
            labelled.append(row)
    keys, made.left_out = matched(labelled, pool)
    for row in labelled:
        name = row.label if row.label in classes else row.label.strip()
        if row.key not in keys:
            made.unknown.append(row)
        elif name not in classes and not adds_classes:
            made.strange.append(row)
        else:
            told.setdefault(keys[row.key], {}).setdefault(name, row)
    for key, by_name in told.items():
        if len(by_name) > 1:
            made.disputed[key] = list(by_name)
            continue
        ((name, row),) = by_name.items()
        _place(made, key, row, name, answers.get(key))
    return made


def _place(made: Plan, key: str, row: Row, name: str, there: str | Skip | None) -> None:
    if there == name:
        made.same += 1
        return
    row = Row(**vars(row) | {"label": name})
    if there is None:
        made.new[key] = row
    else:
        said = {Skip.SKIP: "skipped", Skip.NONE: "of no class"}
        made.conflicts[key] = (said[there] if isinstance(there, Skip) else there, row)


def _placed(rows: Sequence[Row]) -> list[str]:
    return [f"{row.key!r} ({row.place})" for row in rows]


def _meant(name: str, classes: Sequence[str]) -> str:
    by_case = {each.casefold(): each for each in classes}
    close = difflib.get_close_matches(name.strip().casefold(), by_case, 1)
    return f" (did you mean {by_case[close[0]]!r}?)" if close else ""
