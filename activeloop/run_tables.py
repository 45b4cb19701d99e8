"""The tables of a run that people read, made from its store: `curve.csv` and `queries.csv`."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from activeloop.store import Store
from activeloop.types import Round
from activeloop.whole_files import replacing, write_csv

COLUMNS = (
    *("round", "labels", "accuracy", "loss"),
    *("train_seconds", "predict_seconds", "select_seconds", "test_seconds"),
)
QUERY_COLUMNS = (
    *("round", "position", "index", "key", "label", "score"),
    *("predicted", "confidence", "audit"),
)


def write_curve(path: Path, rounds: Sequence[Round]) -> None:
    """Write `curve.csv`: the fixed columns, then every other metric.

    Numbers are written so that they read back exactly; what was not measured is empty.
    """
    write_csv(path, _curve_rows(rounds))


def _curve_rows(rounds: Sequence[Round]) -> Iterator[Sequence[object]]:
    more = dict.fromkeys(name for round in rounds for name in round.metrics if name not in COLUMNS)
    names = [*COLUMNS[2:], *more]
    yield ["round", "labels", *names]
    for round in rounds:
        yield [round.round, round.labels, *(_number(round.metrics.get(name)) for name in names)]


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


class QueryTable:
    """`queries.csv`: a line for each sample that was asked for, with the label that it has now.

    It is replaced whole each time, but as long as no label in it changed, only the lines that are
    new are made from the store: the others are copied as they are.

    Args:
        path: of the file.
        store: the run's.
    """

    def __init__(self, path: Path, store: Store) -> None:
        self._path, self._store = path, store
        self._written: _Written | None = None

    def write(self) -> None:
        """Have the file say what the store does."""
        event = self._store.last_event()  # first: what comes while it is written counts as later
        before = self._written if self._is_good() else None
        last = (-1, -1) if before is None else before.last
        with replacing(self._path, durable=False) as temporary:
            if before is not None:
                shutil.copyfile(self._path, temporary)
            # Not added to what a process left there that was killed.
            how: Literal["a", "w"] = "w" if before is None else "a"
            with temporary.open(how, encoding="utf-8", newline="") as file:
                write = csv.writer(file, lineterminator="\n").writerow
                if before is None:
                    write(QUERY_COLUMNS)
                for row in self._store.labelled_query_rows(after=last):
                    write(row)
                    last = row[:2]
        self._written = _Written(event=event, last=last, file=_of(self._path))

    def _is_good(self) -> bool:
        """Return whether the lines that are there are still right."""
        written = self._written
        return (
            written is not None
            and written.file == _of(self._path)
            and not self._store.changed_since(written.event, written.last)
        )


@dataclass(frozen=True, kw_only=True)
class _Written:
    """What was written: the last event and the last line that it has, and which file it is."""

    event: int
    last: tuple[int, int]
    file: tuple[int, int, int] | None


def _of(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when somebody else writes or replaces a file; None: it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
