"""The run's SQLite file: label events, queries, rounds, and the run's identity.

Labels are append-only events; the present labels are a view of them. Every write is one
transaction, on disk when the call returns. The journal is SQLite's rollback journal, for its
write-ahead log is unsafe on network disks.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from activeloop.errors import StoreError
from activeloop.types import Round

SCHEMA_VERSION = 2

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE queries (
    round INTEGER NOT NULL, position INTEGER NOT NULL,
    key TEXT NOT NULL, sample INTEGER NOT NULL, score REAL,
    predicted TEXT, confidence REAL,  -- by the network that was there; NULL: there was none
    audit INTEGER NOT NULL,
    PRIMARY KEY (round, position)
);
CREATE TABLE asks (
    round INTEGER PRIMARY KEY,
    predict_seconds REAL NOT NULL, select_seconds REAL NOT NULL,
    closed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    label TEXT,             -- NULL: skipped
    who TEXT NOT NULL,
    at TEXT NOT NULL,       -- UTC, ISO 8601
    round INTEGER NOT NULL,
    seconds REAL            -- that the answer took, where known
);
CREATE INDEX events_by_key ON events (key);
CREATE VIEW labels AS
    SELECT key, label, who, at, round FROM events
    WHERE id IN (SELECT max(id) FROM events GROUP BY key);
CREATE TABLE rounds (
    round INTEGER PRIMARY KEY, labels INTEGER NOT NULL, classes INTEGER NOT NULL,
    at TEXT NOT NULL, metrics TEXT NOT NULL
);
"""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One line of a query: a sample and why it was asked for.

    Attributes:
        round: the query's.
        position: in the query.
        key: the sample's.
        index: its index in the pool.
        score: by which it was picked, if by one.
        predicted: name of the class that the network gave it before it was trained on it; None
            where there was no network, or it predicted no finite number.
        confidence: with which probability.
        audit: whether it was drawn at random for the audit.
    """

    round: int
    position: int
    key: str
    index: int
    score: float | None
    predicted: str | None = None
    confidence: float | None = None
    audit: bool = False


class Store:
    """What a run must not lose.

    Args:
        path: the SQLite file, made if it is not there; None keeps everything in memory.
        read_only: read `path` as it is at this moment, and write nothing, not beside it either.
            What writes to it waits until this is closed.

    Raises:
        StoreError: the file is no run of this version, or cannot be read or written.
    """

    def __init__(self, path: Path | None = None, *, read_only: bool = False) -> None:
        self._name = "run.db" if path is None else str(path)
        self._read_only = read_only
        with self._errors_named():
            if path is not None and read_only:
                self._open_to_read(path)
                return
            self._connection = sqlite3.connect(
                ":memory:" if path is None else path, isolation_level=None
            )
            # PERSIST is the rollback journal too, without making and deleting a file, which costs
            # far more than the writes on many file systems.
            self._connection.execute("PRAGMA journal_mode = PERSIST")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._open_schema()

    def _open_to_read(self, path: Path) -> None:
        address = f"{path.absolute().as_uri()}?mode=ro"
        self._connection = sqlite3.connect(address, uri=True, isolation_level=None)
        try:
            self._connection.execute("BEGIN")  # all that is read is of one moment
            self._open_schema()
        except BaseException:
            self._connection.close()
            raise

    def _open_schema(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version == 0 and tables == 0 and self._read_only:
            raise StoreError(f"{self._name} is empty: the run was stopped as it began")
        if version == 0 and tables == 0:
            # executescript would commit first: one statement at a time keeps it one transaction.
            with self._transaction() as execute:
                for statement in filter(str.strip, _SCHEMA.split(";\n")):
                    execute(statement)
                execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise StoreError(
                f"{self._name} has schema version {version}, this activeloop reads "
                f"{SCHEMA_VERSION}; it was left untouched"
            )

    def close(self) -> None:
        """Close the file, and take its empty journal away."""
        if not self._read_only:
            with contextlib.suppress(sqlite3.Error):  # closed already, or busy: it may stay
                self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()

    # -- identity ---------------------------------------------------------------------------

    def meta(self, name: str) -> Any:
        """Return the value kept under `name`, or None."""
        row = self._all("SELECT value FROM meta WHERE name = ?", (name,))
        return json.loads(row[0][0]) if row else None

    def set_meta(self, name: str, value: Any) -> None:
        """Keep a JSON value under `name`."""
        with self._transaction() as execute:
            execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))

    # -- queries and labels -----------------------------------------------------------------

    def add_query(
        self,
        round: int,
        asked: Sequence[Asked],
        predict_seconds: float,
        select_seconds: float,
    ) -> None:
        """Keep a query, whole, and what it took.

        Positions of a round that is asked again (its first query was skipped through) go on.
        """
        with self._transaction() as execute:
            execute(
                "INSERT OR IGNORE INTO asks VALUES (?, ?, ?, 0)",
                (round, predict_seconds, select_seconds),
            )
            before = "SELECT count(*) FROM queries WHERE round = ?"
            (first,) = execute(before, (round,)).fetchone()
            for a in asked:
                execute(
                    "INSERT INTO queries VALUES (:round, :position, :key, :index, :score, "
                    ":predicted, :confidence, :audit)",
                    vars(a) | {"position": first + a.position},
                )

    def add_labels(
        self,
        round: int,
        labels: Mapping[str, str | None],
        who: str,
        *,
        closes: bool,
        seconds: float | None = None,
    ) -> None:
        """Append label events by key (None: skipped); `closes` ends the round's query with them."""
        at = _now()
        with self._transaction() as execute:
            for key, label in labels.items():
                execute(
                    "INSERT INTO events (key, label, who, at, round, seconds) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (key, label, who, at, round, seconds),
                )
            if closes:
                execute("UPDATE asks SET closed = 1 WHERE round = ?", (round,))

    def queries(self) -> list[Asked]:
        """Return all that was asked, in order."""
        rows = self._all(
            "SELECT round, position, key, sample, score, predicted, confidence, audit "
            "FROM queries ORDER BY round, position"
        )
        names = [field.name for field in fields(Asked)]
        return [Asked(**dict(zip(names, (*row[:-1], bool(row[-1])), strict=True))) for row in rows]

    def closed(self) -> int:
        """Return how many rounds' queries are over."""
        return int(self._all("SELECT count(*) FROM asks WHERE closed")[0][0])

    def ask_seconds(self, round: int) -> tuple[float, float]:
        """Return the seconds of predicting and of selecting that a round's query took."""
        rows = self._all(
            "SELECT predict_seconds, select_seconds FROM asks WHERE round = ?", (round,)
        )
        predict, select = rows[0]
        return predict, select

    def labels(self) -> dict[str, str | None]:
        """Return the present answer for each key: the latest event; None: skipped."""
        return dict(self._all("SELECT key, label FROM labels"))

    # -- rounds -----------------------------------------------------------------------------

    def add_round(self, round: Round) -> None:
        """Keep a round's outcome."""
        with self._transaction() as execute:
            execute(
                "INSERT INTO rounds VALUES (?, ?, ?, ?, ?)",
                (round.round, round.labels, round.classes, _now(), json.dumps(dict(round.metrics))),
            )

    def rounds(self) -> list[Round]:
        """Return the finished rounds, in order."""
        rows = self._all("SELECT round, labels, classes, metrics FROM rounds ORDER BY round")
        return [
            Round(round=round, labels=labels, classes=classes, metrics=json.loads(metrics))
            for round, labels, classes, metrics in rows
        ]

    # -- plumbing ---------------------------------------------------------------------------

    def _all(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._errors_named():
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with self._errors_named():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError as error:
            raise StoreError(f"{self._name} was closed: a newer run object has it") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self._name}: {_advice(error)}") from error


def _advice(error: sqlite3.DatabaseError) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return {
        sqlite3.SQLITE_FULL: "no space left on the disk; free some and run the same command again",
        sqlite3.SQLITE_NOTADB: "is not a run of activeloop; it was left untouched",
        sqlite3.SQLITE_CORRUPT: "is damaged; it was left untouched",
        sqlite3.SQLITE_READONLY: "cannot be written: check the permissions",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened: it must be readable, its folder writable",
        sqlite3.SQLITE_BUSY: "is in use by another process",
    }.get(code, str(error))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
