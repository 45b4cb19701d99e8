import sqlite3

import pytest

from activeloop import store as store_module
from activeloop.errors import StoreError
from activeloop.store import Asked, Store
from activeloop.types import NONE_OF_THESE, SKIP, Round


def test_what_was_written_is_there_after_reopening(tmp_path):
    store = Store(tmp_path / "run.db")
    store.set_meta("identity", {"seed": 1})
    first = Asked(round=0, position=0, key="b", index=4, score=None)
    second = Asked(
        round=0,
        position=1,
        key="a",
        index=2,
        score=0.1,
        predicted="dog",
        confidence=1 / 3,
        audit=True,
    )
    store.add_query(0, [first, second], 0.5, 0.25)
    store.add_labels(0, {"b": "cat"}, "ann")
    store.add_labels(0, {"a": SKIP}, "ann", closes=2)
    metrics = {"accuracy": 1 / 3, "loss": 1e-17}
    store.add_round(Round(round=0, labels=1, classes=2, metrics=metrics))
    store.close()

    again = Store(tmp_path / "run.db")
    assert again.meta("identity") == {"seed": 1}
    assert again.queries() == [first, second]
    assert again.queries()[0].audit is False
    assert again.labels() == {"b": "cat", "a": None}
    assert again.closed() == 1
    assert again.horizon(0) == (2, 2)
    assert again.ask_seconds(0) == (0.5, 0.25)
    assert again.rounds() == [Round(round=0, labels=1, classes=2, metrics=metrics)]


def test_events_are_kept_and_the_last_one_counts():
    store = Store()
    store.add_labels(0, {"a": "cat"}, "ann")
    store.add_labels(1, {"a": "dog"}, "bob")
    assert store.labels() == {"a": "dog"}
    assert store._all("SELECT key, label, who, round FROM events") == [
        ("a", "cat", "ann", 0),
        ("a", "dog", "bob", 1),
    ]


def test_answers_as_they_were_at_any_event_and_those_taken_back():
    store = Store()
    store.add_labels(0, {"a": "cat", "b": SKIP}, "ann")
    store.add_labels(0, {"a": None, "c": NONE_OF_THESE}, "bob")
    store.add_labels(1, {"a": "dog", "b": None}, "ann")
    assert store.answers() == {"a": "dog", "c": NONE_OF_THESE}
    assert store.answers(until=4) == {"b": SKIP, "c": NONE_OF_THESE}
    assert store.labels(until=2) == {"a": "cat", "b": None}
    assert store._all("SELECT key, kind FROM labels ORDER BY key") == [
        ("a", "label"),
        ("c", "none"),
    ]
    assert [event.who for event in store.events(after=4)] == ["ann", "ann"]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    store = Store(tmp_path / "run.db")

    class Interrupting(dict):
        def items(self):
            yield "a", "cat"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add_labels(0, Interrupting(), "ann", closes=2)
    assert store.labels() == {}
    store.add_labels(0, {"b": "dog"}, "ann")  # and the store still works
    assert Store(tmp_path / "run.db").labels() == {"b": "dog"}


def test_foreign_and_damaged_files_are_refused_and_left_untouched(tmp_path):
    path = tmp_path / "run.db"
    path.write_bytes(b"not a database, but long enough to have a header" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a run of activeloop"):
        Store(path)
    assert path.read_bytes() == before

    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="schema version 99, this activeloop reads 3"):
        Store(other)

    strangers = tmp_path / "strangers.db"
    connection = sqlite3.connect(strangers)
    connection.execute("CREATE TABLE x (y)")
    connection.close()
    with pytest.raises(StoreError, match="schema version 0"):
        Store(strangers)


def test_a_store_that_cannot_be_opened(tmp_path):
    with pytest.raises(StoreError, match="writable"):
        Store(tmp_path / "no" / "such" / "run.db")


def test_a_long_table_of_events_is_read_in_parts(monkeypatch):
    monkeypatch.setattr(store_module, "_ROWS_AT_A_TIME", 2)
    kept = Store()
    for number in range(5):
        kept.add_labels(0, {f"k{number % 3}": f"c{number}"}, "ann")
    kept.add_labels(0, {"k0": None}, "ann")
    assert kept.answers() == {"k1": "c4", "k2": "c2"}
    assert kept.answers(until=4) == {"k0": "c3", "k1": "c1", "k2": "c2"}
    assert [event.id for event in kept.events()] == [1, 2, 3, 4, 5, 6]
    assert [event.id for event in kept.events(after=4)] == [5, 6]
