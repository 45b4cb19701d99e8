"""What was asked and what was answered: labels, the open query, and which queries are over.

One thread asks; any may answer, at any time, samples asked for or not. A round is fitted on the
answers that were there when its query was closed, so that it can be done again, whatever came
after.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from threading import RLock

import numpy as np

from activeloop.errors import OrderError, StoreError
from activeloop.journal import (
    State,
    checked_answers,
    checked_changes,
    origins_of,
    read_labels,
    skip_query,
    write_answers,
    write_query,
)
from activeloop.pool import Pool
from activeloop.store import Store
from activeloop.types import Answer, Data, Indices, Labels, Query, Scores
from activeloop.words import counted


class Answers:
    """The answers of a run, on disk as soon as a call returns.

    Args:
        data: the samples.
        store: where queries and answers are kept.
        state: how far the run has come.

    Attributes:
        lock: of all that answers change.
        data: the samples, with the classes that were added since.
        pool: which samples are labelled.
        query: the open query, with its answers so far; None: there is none at present.
        closed: how many queries are over, which is the number of the open one or of the next.
        whole: whether all of the last query was answered and it is not closed yet: it was answered
            as it was made, and then the run was stopped, or by an import.
        least_classes: how many classes must have a label before the first round; the initial set is
            asked for again, of other samples, until they have.
    """

    def __init__(self, data: Data, store: Store, state: State) -> None:
        self.lock = RLock()
        self.data = dataclasses.replace(data, classes=state.classes)
        self.pool = Pool(len(data.pool))
        self.pool.label(state.answers)
        self.closed = state.closed
        self.least_classes = 1
        self.query: Query | None = None
        self.whole = False
        self._store = store
        if state.ended is None:
            self.go_on(state)

    def go_on(self, state: State) -> None:
        """Have the open query be that of `state`."""
        with self.lock:
            self.query, self.whole = state.query, state.whole

    # -- answering --------------------------------------------------------------------------

    def tell(
        self,
        query: Query,
        answers: Mapping[int, Answer] | Sequence[Answer] | Labels,
        annotator: str,
        seconds: float | None,
    ) -> None:
        """Take answers to the open query. See `ActiveLoop.tell`."""
        with self.lock:
            if self.query is None or query.round != self.query.round:
                raise OrderError("tell needs the query that is open: call ask first")
            told = checked_answers(self.query, answers, self.data.n_classes)
            origins = origins_of(self.query)
            self._keep(told, annotator, seconds, {index: origins[index] for index in told})

    def record(
        self,
        answers: Mapping[int, Answer | None],
        annotator: str,
        seconds: float | None,
        origins: Mapping[int, str] | None,
        takes_back: Mapping[int, int] | None,
        brings_back: Mapping[int, int] | None,
    ) -> None:
        """Take answers to any samples. See `ActiveLoop.record`."""
        with self.lock:
            told = checked_changes(answers, self.data.n_classes)
            if outside := [index for index in told if not 0 <= index < len(self.pool)]:
                raise OrderError(
                    f"index {outside[0]} is outside the pool of {len(self.pool)} samples"
                )
            self._keep(told, annotator, seconds, origins, takes_back, brings_back)

    def add_class(self, name: str) -> int:
        """Add a class, and return its label. See `ActiveLoop.add_class`."""
        if not isinstance(name, str) or not name:
            raise OrderError(f"a class needs a name, got {name!r}")
        with self.lock:
            if name in self.data.classes:
                raise OrderError(f"there is a class {name!r} already")
            classes = (*self.data.classes, name)
            self._store.set_meta("classes", classes)
            self.data = dataclasses.replace(self.data, classes=classes)
            return self.data.n_classes - 1

    def _keep(
        self,
        told: Mapping[int, Answer | None],
        annotator: str,
        seconds: float | None,
        origins: Mapping[int, str] | None,
        takes_back: Mapping[int, int] | None = None,
        brings_back: Mapping[int, int] | None = None,
    ) -> None:
        """Store answers, then record them; they close the open query if none is missing."""
        query = self.query  # one that is being made will find them answered
        answered = _answered(query, told) if query is not None else {}
        whole = query is not None and len(answered) == len(query.indices)
        # A first query of which all was skipped leaves nothing to train on: it is asked again.
        closes = whole and self._classes_with(told) >= self.least_classes
        write_answers(
            self._store,
            self.data,
            self.closed,
            told,
            annotator,
            closes=closes,
            seconds=seconds,
            origins=origins,
            takes_back=takes_back,
            brings_back=brings_back,
        )
        self.pool.change(told)
        if query is not None:
            self.query = None if whole else dataclasses.replace(query, answered=answered)
        self.closed += closes
        if whole and not closes:
            skip_query(self._store)

    def _classes_with(self, told: Mapping[int, Answer | None]) -> int:
        """Return how many classes have a label when `told` is recorded."""
        kept = ~np.isin(self.pool.labelled, list(told))
        return len(
            {*self.pool.labels[kept].tolist()} | {a for a in told.values() if isinstance(a, int)}
        )

    # -- asking -----------------------------------------------------------------------------

    def query_of(self, audit: Indices, picked: Indices, scores: Scores | None) -> Query:
        """Return the next query: what was drawn for the audit, then what the strategy picked."""
        indices = np.concatenate([audit, picked])
        if scores is not None:
            scores = np.concatenate([np.full(len(audit), np.nan), scores])
        return Query(
            round=self.closed,
            indices=indices,
            keys=tuple(self.data.pool.keys[index] for index in indices.tolist()),
            scores=scores,
            audit=np.arange(len(indices)) < len(audit) if len(audit) else None,
        )

    def open(self, query: Query, predict_seconds: float, select_seconds: float) -> None:
        """Store the query, then make it the open one, with what was answered while it was made."""
        with self.lock:
            self._write(query, predict_seconds, select_seconds)
            given = {index: self.pool.answer(index) for index in query.indices.tolist()}
            answered = {index: answer for index, answer in given.items() if answer is not None}
            self.query = dataclasses.replace(query, answered=answered)
            if len(answered) == len(given):
                self.settle()

    def _write(
        self, query: Query, predict_seconds: float = 0.0, select_seconds: float = 0.0
    ) -> None:
        write_query(self._store, query, self.data.classes, predict_seconds, select_seconds)

    def _close(self, round: int) -> None:
        """Store that the query of `round` is over with the answers there are."""
        write_answers(self._store, self.data, round, {}, "", closes=True)

    def settle(self) -> None:
        """Close the query of which all is answered.

        A first one that leaves nothing to train on is asked for again, of other samples.
        """
        with self.lock:
            self.query, self.whole = None, False
            if self.pool.n_classes >= self.least_classes:
                self._close(self.closed)
                self.closed += 1
            else:
                skip_query(self._store)

    def close(self) -> None:
        """End the open query early. See `ActiveLoop.close`."""
        with self.lock:
            if self.query is None:
                raise OrderError("there is no open query to close")
            if (classes := self.pool.n_classes) == 0 and self.least_classes <= 1:
                raise OrderError("cannot close a query before any sample has a label")
            if classes < self.least_classes:
                raise OrderError(
                    f"labels of {self.least_classes} classes are needed, and there are of {classes}"
                )
            self._close(self.query.round)
            self.query = None
            self.closed += 1

    def close_again(self) -> None:
        """Have the query that was closed last end with the answers that came since."""
        with self.lock:
            self._close(self.closed - 1)

    def take_given(self, size: int) -> None:
        """Have the `size` labels there were before the run began be its initial set.

        Raises:
            StoreError: there are fewer.
        """
        with self.lock:
            labelled = self.pool.labelled
            if len(labelled) < size:  # more may have come since
                raise StoreError(
                    f"the initial set is of {counted(size, 'label')}, and there are "
                    f"{len(labelled)}: start the run anew with python -m activeloop branch"
                )
            if not self._store.queries(0):  # else the run was stopped just after it was kept
                self._write(self.query_of(np.empty(0, np.int64), labelled, None))
            self._close(0)
            self.closed, self.whole = 1, False

    def take_rest(self) -> bool:
        """Have a last round take the answers that no query is open for; False: there are none.

        Others may have recorded them while the round before was trained. Its query is empty.
        """
        with self.lock:
            enough = self.pool.n_classes >= max(1, self.least_classes)
            if self.query is not None or not enough or not self.came_since():
                return False
            nothing = np.empty(0, np.int64)
            self._write(self.query_of(nothing, nothing, None))
            self._close(self.closed)
            self.closed += 1
            return True

    # -- what a round is fitted on ------------------------------------------------------------

    def came_since(self) -> bool:
        """Return whether an answer came since the last query was closed."""
        until = self._store.horizon(self.closed - 1)[0] if self.closed else 0
        return self._store.last_event() > until

    def of_round(self, round: int) -> tuple[Data, Indices, Labels]:
        """Return what was known when the query of `round` was closed.

        Returns:
            The data with the classes of then, pool indices `[L]`, ascending, and labels `[L]`.
        """
        until, classes = self._store.horizon(round)
        with self.lock:
            data = dataclasses.replace(self.data, classes=self.data.classes[:classes])
            as_then = self._store.last_event() == until
            indices, labels = self.pool.labelled, self.pool.labels
        if not as_then:
            indices, labels = read_labels(self._store, data, round)
        return data, indices, labels

    def now(self) -> tuple[Indices, Labels, Indices]:
        """Return labelled indices `[L]`, labels `[L]`, and indices that may be asked for `[U]`.

        What the network was trained on and was taken back since is not asked for, if more is left.
        """
        with self.lock:
            labelled, labels = self.pool.labelled, self.pool.labels
            unlabelled = self.pool.unlabelled
            if self.closed and self.came_since():
                _, trained_on, _ = self.of_round(self.closed - 1)
                rest = np.setdiff1d(unlabelled, trained_on, assume_unique=True)
                unlabelled = rest if len(rest) else unlabelled
        return labelled, labels, unlabelled


def _answered(query: Query, told: Mapping[int, Answer | None]) -> dict[int, Answer]:
    """Return the answers to `query` with those of `told`."""
    given: dict[int, Answer | None] = {**query.answered, **told}
    answers = {index: given.get(index) for index in query.indices.tolist()}
    return {index: answer for index, answer in answers.items() if answer is not None}
