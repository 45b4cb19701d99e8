"""The loop's side of the store: queries and answers by index and class, as keys and class names.

A label stays with its sample's key and its class's name, never with a position.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from activeloop.errors import DataError, OrderError, StoreError
from activeloop.store import Asked, Store
from activeloop.types import Answer, Data, Indices, Labels, Query, Round, Scores, Skip
from activeloop.words import counted


@dataclass(frozen=True, kw_only=True)
class State:
    """How far a run has come.

    Attributes:
        classes: class names, those added since included.
        rounds: the finished rounds.
        closed: how many queries are over.
        answers: all answers by pool index.
        query: the open query, or None.
        whole: whether all of the last query is answered, and it is not closed yet.
        ended: why the run is over, or None.
    """

    classes: tuple[str, ...]
    rounds: list[Round]
    closed: int
    answers: dict[int, Answer]
    query: Query | None
    whole: bool
    ended: str | None


def check_keys(data: Data) -> None:
    """Raise `DataError` if two samples of the pool share a key: labels are kept by key."""
    if len(set(data.pool.keys)) == len(data.pool):
        return
    key, times = Counter(data.pool.keys).most_common(1)[0]
    raise DataError(f"keys must be distinct and one a sample; {key!r} is there {times} times")


def write_query(
    store: Store,
    query: Query,
    classes: Sequence[str],
    predict_seconds: float,
    select_seconds: float,
) -> None:
    """Keep a query, with class names for what was predicted, and what it took to make."""
    n = len(query.keys)
    scores, confidence = _numbers(query.scores, n), _numbers(query.confidence, n)
    predicted = np.full(n, -1) if query.predicted is None else query.predicted
    audit = np.zeros(n, np.bool_) if query.audit is None else query.audit
    asked = [
        Asked(
            round=query.round,
            position=position,
            key=key,
            index=int(query.indices[position]),
            score=scores[position],
            predicted=None if predicted[position] < 0 else classes[predicted[position]],
            confidence=confidence[position],
            audit=bool(audit[position]),
        )
        for position, key in enumerate(query.keys)
    ]
    store.add_query(query.round, asked, predict_seconds, select_seconds)


def _numbers(values: Scores | None, n: int) -> list[float | None]:
    """Return `n` numbers as the store has them: None for NaN."""
    if values is None:
        return [None] * n
    return [None if math.isnan(value) else value for value in values.tolist()]


def skip_query(store: Store) -> None:
    """Note that a first query was skipped through, and that what follows is another."""
    store.set_meta("skipped_first", len(store.queries()))


def write_answers(
    store: Store,
    data: Data,
    round: int,
    answers: Mapping[int, Answer | None],
    who: str,
    *,
    closes: bool,
    seconds: float | None = None,
    origins: Mapping[int, str] | None = None,
    takes_back: Mapping[int, int] | None = None,
    brings_back: Mapping[int, int] | None = None,
) -> None:
    """Keep answers, what each took, and why it came; `closes` ends the round's query with them."""
    keys = data.pool.keys
    names = {
        keys[index]: data.classes[answer] if isinstance(answer, int) else answer
        for index, answer in answers.items()
    }
    store.add_labels(
        round,
        names,
        who,
        closes=data.n_classes if closes else None,
        seconds=seconds,
        origins={keys[index]: origin for index, origin in (origins or {}).items()},
        takes_back={keys[index]: event for index, event in (takes_back or {}).items()},
        brings_back={keys[index]: event for index, event in (brings_back or {}).items()},
    )


def origins_of(query: Query) -> dict[int, str]:
    """Return why each sample of a query was picked, by pool index, as events have it."""
    picked = "strategy" if query.round else "initial"
    origins = dict.fromkeys(query.indices.tolist(), picked)
    if query.audit is not None:
        origins |= dict.fromkeys(query.indices[query.audit].tolist(), "audit")
    return origins


def read_labels(store: Store, data: Data, round: int) -> tuple[Indices, Labels]:
    """Return what a round is fitted on: pool indices `[L]`, ascending, and labels `[L]`.

    These are the answers that were there when its query was closed, whatever was said since.
    """
    until, _ = store.horizon(round)
    label = {name: number for number, name in enumerate(data.classes)}
    names = {key: name for key, name in store.labels(until).items() if name is not None}
    labels = {index: label[names[key]] for key, index in indices_of(data, names).items()}
    indices = np.array(sorted(labels), np.int64)
    return indices, np.array([labels[index] for index in indices.tolist()], np.int64)


def indices_of(data: Data, keys: Iterable[str]) -> dict[str, int]:
    """Return the pool index of each of `keys`.

    Raises:
        StoreError: one is not in the pool.
    """
    wanted = set(keys)
    found = {key: index for index, key in enumerate(data.pool.keys) if key in wanted}
    if missing := sorted(wanted - found.keys()):
        raise StoreError(f"{missing[0]!r} has an answer and is not in the pool: the data changed")
    return found


def read_state(store: Store, data: Data) -> State:
    """Return how far the run in `store` has come: nowhere, if it is new.

    Raises:
        StoreError: its samples are not those of `data`.
    """
    classes = tuple(store.meta("classes") or data.classes)
    label = {name: number for number, name in enumerate(classes)}
    index, names, keys = dict[str, int](), store.answers(), data.pool.keys
    for _, _, number, key, *_ in store.query_rows():
        if number >= len(keys) or keys[number] != key:
            raise StoreError(f"sample {number} was {key!r} when it was asked: the data changed")
        index[key] = number
    known = {name for name in names.values() if isinstance(name, str)}
    if strange := sorted(known - label.keys()):
        raise StoreError(f"the run has labels of the class {strange[0]!r}, which is not there now")
    # Answers may have been given to samples that nobody asked for.
    index |= indices_of(data, names.keys() - index.keys()) if names.keys() - index.keys() else {}
    answers: dict[int, Answer] = {
        index[key]: name if isinstance(name, Skip) else label[name] for key, name in names.items()
    }
    closed, skipped = store.closed(), store.meta("skipped_first") or 0
    last = [a for a in store.queries(closed) if closed or a.position >= skipped]
    whole = all(a.index in answers for a in last)
    return State(
        classes=classes,
        rounds=store.rounds(),
        closed=closed,
        answers=answers,
        query=None if whole else _open(last, answers, label),
        whole=whole and bool(last),
        ended=store.meta("ended"),
    )


def _open(asked: Sequence[Asked], answers: Mapping[int, Answer], label: Mapping[str, int]) -> Query:
    """Return the query made of `asked`."""
    predicted = [-1 if a.predicted is None else label[a.predicted] for a in asked]
    audit = np.array([a.audit for a in asked])
    first = asked[0].round == 0
    return Query(
        round=asked[0].round,
        indices=np.array([a.index for a in asked], np.int64),
        keys=tuple(a.key for a in asked),
        scores=_array([a.score for a in asked]),
        predicted=None if first else np.array(predicted, np.int64),
        confidence=None if first else np.array([a.confidence for a in asked], np.float64),
        audit=audit if audit.any() else None,
        answered={a.index: answers[a.index] for a in asked if a.index in answers},
    )


def _array(values: Sequence[float | None]) -> Scores | None:
    """Return what `_numbers` made of an array, as it was; None where there is no number."""
    return None if set(values) == {None} else np.array(values, np.float64)


def checked_answers(
    query: Query, answers: Mapping[int, Answer] | Sequence[Answer] | Labels, n_classes: int
) -> dict[int, Answer]:
    """Return answers by pool index.

    Raises:
        OrderError: their number is not the query's, an index is not open in it, or an answer is
            neither a class nor SKIP.
    """
    if not isinstance(answers, Mapping):
        if len(answers) != len(query.indices):
            raise OrderError(
                f"the query has {counted(len(query.indices), 'sample')}, got "
                f"{counted(len(answers), 'answer')}; "
                "give a part of them as {index: label}"
            )
        answers = dict(zip(query.indices.tolist(), answers, strict=True))
    still_open = set(query.open.tolist())
    for index in answers:
        if index in query.answered:
            raise OrderError(f"sample {index} has an answer already")
        if index not in still_open:
            raise OrderError(f"sample {index} is not open in the query of round {query.round}")
    return {int(index): _checked(index, answer, n_classes) for index, answer in answers.items()}


def checked_changes(
    answers: Mapping[int, Answer | None], n_classes: int
) -> dict[int, Answer | None]:
    """Return answers by pool index, where None takes one back.

    Raises:
        OrderError: one is neither a class, nor a `Skip`, nor None.
    """
    return {
        int(index): None if answer is None else _checked(index, answer, n_classes)
        for index, answer in answers.items()
    }


def _checked(index: int, answer: Answer, n_classes: int) -> Answer:
    if isinstance(answer, Skip):
        return answer
    if not _is_class(answer, n_classes):
        raise OrderError(
            f"the answer for sample {index} must be a class from 0 to {n_classes - 1}, SKIP or "
            f"NONE_OF_THESE, got {answer!r}"
        )
    return int(answer)


def _is_class(answer: object, n_classes: int) -> bool:
    whole = isinstance(answer, Integral) and not isinstance(answer, bool)
    return whole and 0 <= int(answer) < n_classes  # type: ignore[call-overload]  # whole says that it is an integer
