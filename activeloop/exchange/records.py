"""What a run knows of its labels, read at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activeloop.report.runs import check_run, opened
from activeloop.store import Asked, Event, Store


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The answers that a run has.

    Attributes:
        events: all of them as they were given, in order.
        asked: the sample's last line in a query, for each key that was asked for.
        classes: class names, those added since included.
        run: how reports name the run; empty for one that has no name yet.
    """

    events: tuple[Event, ...]
    asked: Mapping[str, Asked]
    classes: tuple[str, ...]
    run: Mapping[str, Any]

    @property
    def present(self) -> list[Event]:
        """The answer that counts for each sample that has one, in the order of giving."""
        return present(self.events)


def read(directory: Path) -> Labels:
    """Read the labels of the run in `directory`, which another process may be running.

    The file is let go of at once: what would write to it waits for as long as this takes.

    Raises:
        StoreError: there is no run, or it cannot be read.
    """
    check_run(directory)
    with opened(directory) as store:
        store.let_go()
        return Labels(
            events=tuple(store.events()),
            asked={asked.key: asked for asked in store.queries()},
            classes=classes_of(store),
            run=store.meta("run") or {},
        )


def classes_of(store: Store) -> tuple[str, ...]:
    """Return the names of a run's classes; none for a run that was stopped as it began."""
    identity = store.meta("identity") or {"data": {"classes": []}}
    return tuple(store.meta("classes") or identity["data"]["classes"])


def present(events: Iterable[Event]) -> list[Event]:
    """Return the event in which each key's present answer was said, in order.

    What an undo brought back was said by whoever gave it then, not by who took the other back.
    """
    said, last = dict[int, Event](), dict[str, Event]()
    for event in events:
        said[event.id] = last[event.key] = event
    counts = (said[event.brings_back or event.id] for event in last.values())
    return sorted((e for e in counts if e.kind != "undo"), key=lambda event: event.id)
