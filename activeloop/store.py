"""The run's SQLite file: label events, queries, rounds, and the run's identity.

Labels are append-only events; the present labels are a view of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from activeloop.database import Database
from activeloop.types import Round, Skip

Kind = Literal["label", "skip", "none", "undo"]

_TICK = timedelta(milliseconds=1)  # to which times are kept
_SET_BACK = timedelta(seconds=10)
_ROWS_AT_A_TIME = 5000  # of a long table: who writes waits for no more than these


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


# As `Asked`: round, position, index, key, score, predicted, confidence, audit (0 or 1).
QueryRow = tuple[int, int, int, str, float | None, str | None, float | None, int]
# The same with the label that the sample has now, if any, before the score.
LabelledQueryRow = tuple[
    int, int, int, str, str | None, float | None, str | None, float | None, int
]
# The label that a sample of a query has now.
_LABEL = "(SELECT label FROM events WHERE events.key = queries.key ORDER BY id DESC LIMIT 1)"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One answer as it was given. Those given later for the same sample take its place.

    Attributes:
        id: ascending in the order of giving.
        key: the sample's.
        kind: what was said: a label, "skip", "none" of the classes fits, or "undo": the sample is
            without an answer again.
        label: the class's name, for a label.
        who: gave it.
        at: when, UTC, ISO 8601. What a person said at once, as of a screenful, has the same time.
        round: number of the query that was open then, or was made next.
        seconds: that it took, where known.
        origin: why the sample was answered: "initial", "strategy" or "audit" of a query; on the
            label page also "waiting", "grid", "second look", "asked for", and "history", where an
            answer was corrected; "undo", "import", "branch"; None: who told it did not say.
        takes_back: the event that this one takes back; it says again what was there before that,
            or is an "undo" if nothing was.
        brings_back: the event in which that was said; None where nothing was there.
    """

    id: int
    key: str
    kind: Kind
    label: str | None
    who: str
    at: str
    round: int
    seconds: float | None
    origin: str | None = None
    takes_back: int | None = None
    brings_back: int | None = None


class Store(Database):
    """What a run must not lose. Several threads may share one.

    Args:
        path: the SQLite file, made if it is not there; None keeps everything in memory.
        read_only: read `path` as it is at this moment, and write nothing, not beside it either.
            What writes to it waits until this is closed.

    Raises:
        StoreError: the file is no run of this version, or cannot be read or written.
    """

    _said_at: datetime | None = None

    # -- identity ---------------------------------------------------------------------------

    def meta(self, name: str) -> Any:
        """Return the value kept under `name`, or None."""
        row = self._all("SELECT value FROM meta WHERE name = ?", (name,))
        return json.loads(row[0][0]) if row else None

    def set_meta(self, name: str, value: Any) -> None:
        """Keep a JSON value under `name`."""
        self.set_all({name: value})

    def set_all(
        self,
        values: Mapping[str, Any],
        samples: Mapping[str, tuple[bytes, bytes | None]] | None = None,
    ) -> None:
        """Keep JSON values by name, and what `samples` returns, all or nothing."""
        with self._transaction() as execute:
            _keep(execute, values)
            for part, (keys, checksums) in (samples or {}).items():
                execute("INSERT OR REPLACE INTO samples VALUES (?, ?, ?)", (part, keys, checksums))

    def samples(self) -> dict[str, tuple[bytes, bytes | None]]:
        """Return the keys of each part of the data and their checksums, packed by `manifest`."""
        rows = self._all("SELECT part, keys, checksums FROM samples")
        return {part: (keys, checksums) for part, keys, checksums in rows}

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
                "INSERT OR IGNORE INTO asks VALUES (?, ?, ?, NULL, NULL)",
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
        answers: Mapping[str, str | Skip | None],
        who: str,
        *,
        closes: int | None = None,
        seconds: float | None = None,
        origins: Mapping[str, str] | None = None,
        takes_back: Mapping[str, int] | None = None,
        brings_back: Mapping[str, int] | None = None,
    ) -> None:
        """Append answers by key: a class, a `Skip`, or None, which takes back what there was.

        `closes` ends the round's query with them; it is the number of classes that there are. For
        the others see `Event`; `origins`, `takes_back` and `brings_back` are by key. All get the
        same time, and what is said next another.
        """
        at, origins = self._new_time(), origins or {}
        takes_back, brings_back = takes_back or {}, brings_back or {}
        self.add_events(
            (
                Event(
                    id=0,
                    key=key,
                    kind=_kind(answer),
                    label=answer if isinstance(answer, str) else None,
                    who=who,
                    at=at,
                    round=round,
                    seconds=seconds,
                    origin=origins.get(key),
                    takes_back=takes_back.get(key),
                    brings_back=brings_back.get(key),
                )
                for key, answer in answers.items()
            ),
            closes=None if closes is None else (round, closes),
        )

    def _new_time(self) -> str:
        """Return the present time, or one just after the last answers': by it they are told apart.

        A clock that is set back by more is believed.
        """
        with self._lock:
            at = datetime.fromisoformat(now())
            if self._said_at is not None and at <= self._said_at < at + _SET_BACK:
                at = self._said_at + _TICK
            self._said_at = at
            return at.isoformat(timespec="milliseconds")

    def add_events(
        self,
        events: Iterable[Event],
        *,
        closes: tuple[int, int] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        """Append answers with who gave them and when, in order, all or nothing.

        Args:
            events: the answers; their `id` is not used.
            closes: a round whose query ends with them, and the number of classes that there are.
            values: what else to keep with them, as `set_all` does.
        """
        with self._transaction() as execute:
            _keep(execute, values or {})
            for event in events:
                execute(
                    "INSERT INTO events (key, kind, label, who, at, round, seconds, origin, "
                    "takes_back, brings_back) VALUES (:key, :kind, :label, :who, :at, :round, "
                    ":seconds, :origin, :takes_back, :brings_back)",
                    vars(event),
                )
            if closes is not None:
                round, classes = closes
                execute(
                    "UPDATE asks SET classes = ?, "
                    "horizon = (SELECT coalesce(max(id), 0) FROM events) WHERE round = ?",
                    (classes, round),
                )

    def queries(self, round: int | None = None) -> list[Asked]:
        """Return all that was asked, in order; or what one round's query asked."""
        return [_asked(row) for row in self.query_rows(round)]

    def audits(self) -> list[tuple[Asked, str | None]]:
        """Return what was drawn for audits, in order, each with its present label, if any."""
        rows = self._all(
            f"SELECT round, position, sample, key, score, predicted, confidence, audit, {_LABEL} "
            "FROM queries WHERE audit ORDER BY round, position"
        )
        return [(_asked(row[:-1]), row[-1]) for row in rows]

    def query_rows(self, round: int | None = None) -> list[QueryRow]:
        """Return what `queries` does as plain rows, which many thousands are made of at once."""
        where, values = ("", ()) if round is None else ("WHERE round = ? ", (round,))
        return self._all(
            "SELECT round, position, sample, key, score, predicted, confidence, audit "
            f"FROM queries {where}ORDER BY round, position",
            values,
        )

    def labelled_query_rows(self, after: tuple[int, int]) -> Iterator[LabelledQueryRow]:
        """Yield what was asked after the round and position `after`, with the present labels."""
        while True:
            rows = self._all(
                f"SELECT round, position, sample, key, {_LABEL}, "
                "score, predicted, confidence, audit FROM queries "
                "WHERE (round, position) > (?, ?) ORDER BY round, position LIMIT ?",
                (*after, _ROWS_AT_A_TIME),
            )
            if not rows:
                return
            yield from rows
            after = rows[-1][:2]

    def changed_since(self, event: int, until: tuple[int, int]) -> bool:
        """Return whether an answer after event `event` is of what was asked by then.

        Args:
            event: number of the event.
            until: round and position of the last line of a query that counts.
        """
        rows = self._all(
            "SELECT EXISTS (SELECT 1 FROM queries WHERE (round, position) <= (?, ?) "
            "AND key IN (SELECT key FROM events WHERE id > ?))",
            (*until, event),
        )
        return bool(rows[0][0])

    def closed(self) -> int:
        """Return how many rounds' queries are over."""
        return int(self._all("SELECT count(*) FROM asks WHERE horizon IS NOT NULL")[0][0])

    def ask_seconds(self, round: int) -> tuple[float, float]:
        """Return the seconds of predicting and of selecting that a round's query took."""
        rows = self._all(
            "SELECT predict_seconds, select_seconds FROM asks WHERE round = ?", (round,)
        )
        predict, select = rows[0]
        return predict, select

    def horizon(self, round: int) -> tuple[int, int]:
        """Return the last event before a round's query was closed, and the number of classes."""
        rows = self._all("SELECT horizon, classes FROM asks WHERE round = ?", (round,))
        last, classes = rows[0]
        return last, classes

    def last_event(self) -> int:
        """Return the number of the latest event; 0 where there is none."""
        return int(self._all("SELECT coalesce(max(id), 0) FROM events")[0][0])

    def answers(self, until: int | None = None) -> dict[str, str | Skip]:
        """Return the present answer for each key: the class's name, or a `Skip`.

        Args:
            until: the answers that were there after this event instead.
        """
        found: dict[str, str | Skip] = {}
        for _, key, kind, label in self._events("key, kind, label", until=until):
            if kind == "undo":
                found.pop(key, None)
            else:
                found[key] = label if kind == "label" else Skip(kind)
        return found

    def answer(self, key: str, until: int) -> tuple[Kind, str | None] | None:
        """Return kind and label of what was said last of a sample by event `until`; None: nothing.

        An "undo" says that it had no answer then.
        """
        rows = self._all(
            "SELECT kind, label FROM events WHERE key = ? AND id <= ? ORDER BY id DESC LIMIT 1",
            (key, until),
        )
        return rows[0] if rows else None

    def labels(self, until: int | None = None) -> dict[str, str | None]:
        """Return the present label for each key that has an answer; None: it is no class."""
        answers = self.answers(until).items()
        return {key: None if isinstance(answer, Skip) else answer for key, answer in answers}

    def events(self, after: int = 0) -> list[Event]:
        """Return the answers as they were given, in order, from the one after event `after` on."""
        columns = "key, kind, label, who, at, round, seconds, origin, takes_back, brings_back"
        rows = self._events(columns, after)
        return [
            Event(
                id=number,
                key=key,
                kind=kind,
                label=label,
                who=who,
                at=at,
                round=round,
                seconds=seconds,
                origin=origin,
                takes_back=takes,
                brings_back=brings,
            )
            for number, key, kind, label, who, at, round, seconds, origin, takes, brings in rows
        ]

    def _events(self, columns: str, after: int = 0, until: int | None = None) -> Iterator[Any]:
        """Yield the number and `columns` of events in order, from the one after `after` to `until`.

        They are read in parts, between which others may write: what is there does not change.
        """
        until = self.last_event() if until is None else until
        while after < until:
            rows = self._all(
                f"SELECT id, {columns} FROM events WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
                (after, until, _ROWS_AT_A_TIME),
            )
            if not rows:
                return
            yield from rows
            after = rows[-1][0]

    # -- rounds -----------------------------------------------------------------------------

    def add_round(self, round: Round, weights: str | None = None) -> None:
        """Keep a round's outcome, and the digest of the file that has its weights."""
        metrics = json.dumps(dict(round.metrics))
        with self._transaction() as execute:
            execute(
                "INSERT INTO rounds VALUES (?, ?, ?, ?, ?, ?)",
                (round.round, round.labels, round.classes, now(), metrics, weights),
            )

    def weights(self, round: int) -> str | None:
        """Return the digest of the file with a round's weights; None where none were kept."""
        rows = self._all("SELECT weights FROM rounds WHERE round = ?", (round,))
        return rows[0][0] if rows else None

    def rounds(self) -> list[Round]:
        """Return the finished rounds, in order."""
        rows = self._all("SELECT round, labels, classes, metrics FROM rounds ORDER BY round")
        return [
            Round(round=round, labels=labels, classes=classes, metrics=json.loads(metrics))
            for round, labels, classes, metrics in rows
        ]


def _asked(row: QueryRow) -> Asked:
    number, position, index, key, score, predicted, confidence, audit = row
    return Asked(
        round=number,
        position=position,
        key=key,
        index=index,
        score=score,
        predicted=predicted,
        confidence=confidence,
        audit=bool(audit),
    )


def _keep(execute: Callable[..., Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))


def _kind(answer: str | Skip | None) -> Kind:
    if isinstance(answer, str):
        return "label"
    if answer is None:
        return "undo"
    return "skip" if answer is Skip.SKIP else "none"


def now() -> str:
    """Return the present time as events have it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
