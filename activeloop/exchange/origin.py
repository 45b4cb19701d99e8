"""What a branch starts from: the labels of another run, as far as their samples are there."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from activeloop.errors import ConfigError
from activeloop.exchange.records import classes_of, present
from activeloop.manifest import Manifest
from activeloop.messages import shown
from activeloop.report.runs import opened
from activeloop.store import Event


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a branch starts from.

    Attributes:
        directory: of the run that it is a branch of.
        round: the labels are as they were after this round's query; None: as they are now.
        event: the number of the last answer that is among them.
        answers: they, and what was skipped.
        classes: their names, those added to the data's included.
        of_data: how many of these are the data's; the first.
        run: how reports name that run.
        keys: of all samples that the run had.
        renamed: classes that are called otherwise there: their new names.
    """

    directory: Path
    round: int | None
    event: int
    answers: tuple[Event, ...]
    classes: tuple[str, ...]
    of_data: int
    run: Mapping[str, Any]
    keys: frozenset[str]
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> int:
        """How many of the answers are labels."""
        return sum(event.kind == "label" for event in self.answers)

    @property
    def added(self) -> tuple[str, ...]:
        """The names of all classes where some were added to those of the data; else none."""
        return self.classes if len(self.classes) > self.of_data else ()

    @property
    def kept(self) -> dict[str, Any]:
        """What the new run keeps of it."""
        return {
            "directory": str(self.directory.absolute()),
            "round": self.round,
            "event": self.event,
            "labels": self.labels,
            **({"renamed": dict(self.renamed)} if self.renamed else {}),
        }

    def within(self, pool: Container[str]) -> Origin:
        """Return it without the answers to samples that are not in `pool`."""
        return replace(self, answers=tuple(each for each in self.answers if each.key in pool))

    def __str__(self) -> str:
        """Return it in words."""
        after = "" if self.round is None else f" after round {self.round}"
        skipped = len(self.answers) - self.labels
        more = f", and {skipped:,} that are of no class or skipped" if skipped else ""
        return f"{shown(self.directory)}{after}: {self.labels:,} labels{more}"


def read_origin(directory: Path, round: str | None) -> Origin:
    """Return what a branch of the run in `directory` starts from.

    Args:
        directory: of the run.
        round: as the user gave it; None: all labels that there are.

    Raises:
        ConfigError: there is no such round, or no label.
        StoreError: the run cannot be read.
    """
    with opened(directory) as store:
        store.let_go()
        number = None if round is None else _number(directory, round, store.closed())
        classes, own = classes_of(store), (store.meta("identity") or {"data": {}})["data"]
        if number is None:
            until = store.last_event()
        else:
            until, count = store.horizon(number)
            classes = classes[:count]
        events = present(event for event in store.events() if event.id <= until)
        kept = Manifest.read(store)
        origin = Origin(
            directory=directory,
            round=number,
            event=until,
            answers=tuple(events),
            classes=classes,
            of_data=len(own.get("classes", ())),
            run=store.meta("run") or {},
            keys=frozenset(key for part in kept.parts.values() for key in part.keys)
            if kept
            else frozenset(),
        )
    if not origin.labels:
        raise ConfigError(f"{shown(directory)} has no labels yet: there is nothing to start from")
    return origin


def _number(directory: Path, round: str, closed: int) -> int:
    if round.isdecimal() and int(round) < closed:
        return int(round)
    there = {0: "none whose query is over", 1: "round 0 only"}.get(closed, f"0 to {closed - 1}")
    raise ConfigError(f"{shown(directory)} has no round {round}: there is {there}")
