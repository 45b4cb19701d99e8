"""Labels as CSV and as JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from activeloop.exchange.records import Labels
from activeloop.store import Event

# The first two are what `initial=file` reads, and `import`.
COLUMNS = (
    *("key", "label", "kind", "who", "at", "round", "seconds"),
    *("predicted", "confidence"),
)


def csv_lines(labels: Labels, events: Iterable[Event], *, numbered: bool) -> Iterator[str]:
    """Yield the lines of a CSV file: an event each; `numbered` has its number first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ["event"] * numbered + [*COLUMNS]
    writer.writerow(names)
    for row in _rows(labels, events):
        writer.writerow(["" if row[name] is None else row[name] for name in names])
    yield text.getvalue()


def json_lines(labels: Labels, events: Iterable[Event], *, numbered: bool) -> Iterator[str]:
    """Yield a JSON object for each event, with null for what is not known."""
    names = ["event"] * numbered + [*COLUMNS]
    for row in _rows(labels, events):
        yield json.dumps({name: row[name] for name in names}, ensure_ascii=False) + "\n"


def _rows(labels: Labels, events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    for event in events:
        asked = labels.asked.get(event.key)
        yield vars(event) | {
            "event": event.id,
            "predicted": asked.predicted if asked else None,
            "confidence": asked.confidence if asked else None,
        }
