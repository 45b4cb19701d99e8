"""Labels as CSV and as JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from activeloop.exchange.records import Labels
from activeloop.store import Event

# The first two are what `initial=file` reads, and `import`. `asked` is the round whose query asked
# for the sample last, with that score.
COLUMNS = (
    *("key", "label", "kind", "who", "at", "round", "seconds", "origin"),
    *("asked", "score", "predicted", "confidence"),
)


def csv_lines(labels: Labels, events: Iterable[Event], *, numbered: bool) -> Iterator[str]:
    """Yield the lines of a CSV file: an event each; `numbered`: with number and what it undid."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = _names(numbered)
    writer.writerow(names)
    for row in _rows(labels, events):
        writer.writerow(["" if row[name] is None else row[name] for name in names])
    yield text.getvalue()


def json_lines(labels: Labels, events: Iterable[Event], *, numbered: bool) -> Iterator[str]:
    """Yield a JSON object for each event, with null for what is not known."""
    names = _names(numbered)
    for row in _rows(labels, events):
        yield json.dumps({name: row[name] for name in names}, ensure_ascii=False) + "\n"


def _names(numbered: bool) -> list[str]:
    return ["event", *COLUMNS, "takes_back"] if numbered else [*COLUMNS]


def _rows(labels: Labels, events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    for event in events:
        asked = labels.asked.get(event.key)
        yield vars(event) | {
            "event": event.id,
            "asked": asked.round if asked else None,
            "score": asked.score if asked else None,
            "predicted": asked.predicted if asked else None,
            "confidence": asked.confidence if asked else None,
        }
