import shutil
import sqlite3
from contextlib import closing

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


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        (["00.000"] * 3, ["00.000", "00.001", "00.002"]),  # a clock that stands still
        (["09.000", "08.000", "10.000"], ["09.000", "09.001", "10.000"]),  # is set back a little
        (["30.000", "10.000", "10.000"], ["30.000", "10.000", "10.001"]),  # by much
    ],
)
def test_what_is_said_next_has_another_time(monkeypatch, times, kept):
    said = iter([f"2026-01-01T12:00:{time}+00:00" for time in times])
    monkeypatch.setattr(store_module, "now", lambda: next(said))
    store = Store()
    for _ in times:
        store.add_labels(0, {"a": "cat", "b": "dog"}, "ann")
    at = [event.at.removeprefix("2026-01-01T12:00:") for event in store.events()]
    assert at == [f"{time}+00:00" for time in kept for _ in "ab"]


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


def test_what_an_undo_brings_back_is_of_whoever_said_it():
    store = Store()
    store.add_labels(0, {"a": "cat", "b": "cat"}, "ann", seconds=2.0, origins={"a": "strategy"})
    store.add_labels(1, {"a": "dog"}, "bob", origins={"a": "history"})
    back = {"a": "cat", "b": None}
    undo = {"takes_back": {"a": 3, "b": 2}, "brings_back": {"a": 1}}
    store.add_labels(1, back, "eve", **undo, origins=dict.fromkeys(back, "undo"))
    said = store.events()[0]
    assert store._all("SELECT * FROM labels") == [
        (1, "a", "label", "cat", "ann", said.at, 0, 2.0, "strategy")
    ]
    assert [event.origin for event in store.events()] == [
        *("strategy", None, "history", "undo", "undo")
    ]
    assert [event.brings_back for event in store.events(after=3)] == [1, None]


def test_what_was_said_of_a_sample_by_an_event():
    store = Store()
    store.add_labels(0, {"a": "cat", "b": SKIP}, "ann")
    store.add_labels(0, {"a": None}, "ann")
    assert store.answer("a", until=2) == ("label", "cat")
    assert store.answer("a", until=3) == ("undo", None)
    assert store.answer("b", until=9) == ("skip", None)
    assert store.answer("b", until=1) is None


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


def test_another_version_is_named_and_left_untouched(tmp_path):
    path = tmp_path / "run.db"
    Store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    for options in ({}, {"read_only": True}):
        with pytest.raises(StoreError, match="schema version 99, this activeloop reads 4"):
            Store(path, **options)
    assert path.read_bytes() == before


def foreign(path, journal):
    """Make another program's database, with a journal that is not played back yet."""
    source = path.with_name("source.db")
    with closing(sqlite3.connect(source)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("PRAGMA user_version = 4")
        connection.execute("CREATE TABLE x (y)")
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO x VALUES (?)", [("z" * 3000,)] * 100)
        if journal == "wal":
            connection.execute("COMMIT")
        for name in sorted(p.name for p in path.parent.glob("source.db*")):
            shutil.copy(path.parent / name, path.parent / name.replace("source.db", path.name))
    for left in path.parent.glob("source.db*"):
        left.unlink()


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_database_of_another_program_is_not_even_rolled_back(tmp_path, journal, read_only):
    path = tmp_path / "run.db"
    foreign(path, journal)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert len(before) > 1
    with pytest.raises(StoreError, match="another program's database; it was left untouched"):
        Store(path, read_only=read_only)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def filled(path):
    store = Store(path)
    store.add_labels(0, {f"image-{n}": "cat" for n in range(2000)}, "ann")
    store.close()
    return path.read_bytes()


def with_a_lost_answer(whole):
    """Return a database whose index says of one answer that it is another sample's."""
    entry = whole.rindex(b"image-1234")  # the first is in the table, which is whole
    assert whole.count(b"image-1234") == 2
    return whole[:entry] + b"image-1233" + whole[entry + 10 :]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda whole: whole[: len(whole) // 2], "is damaged"),
        (lambda whole: whole[:50], "is not a run of activeloop"),
        (lambda whole: whole[:20000] + b"\xff" * 4096 + whole[24096:], "is damaged"),
        (with_a_lost_answer, "is damaged .*missing from index events_by_key"),
        (lambda whole: b"", "is empty"),
    ],
    ids=["truncated", "cut in the header", "a page", "an index", "empty"],
)
def test_a_damaged_file_is_refused_and_left_untouched(tmp_path, damage, said):
    path = tmp_path / "run.db"
    path.write_bytes(damaged := damage(filled(path)))
    with pytest.raises(StoreError, match=said) as error:
        Store(path)
    copied = "put a copy back (remove run.db-journal first, if it is there)"
    assert (copied in str(error.value)) == ("not a run" not in said)
    assert path.read_bytes() == damaged
    assert [p.name for p in tmp_path.iterdir()] == ["run.db"]


def test_a_write_that_was_interrupted_is_undone_when_the_run_goes_on(tmp_path):
    path, copy = tmp_path / "run.db", tmp_path / "copy" / "run.db"
    before = len(filled(path))
    copy.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")  # spills into the file before the commit
        connection.execute("BEGIN")
        connection.execute("UPDATE events SET label = 'dog', who = who || hex(zeroblob(2000))")
        shutil.copy(tmp_path / "run.db-journal", copy.parent)
        connection.execute("COMMIT")
    # Killed when the first page said that there are more than there were yet.
    copy.write_bytes(path.read_bytes()[:before])
    assert set(Store(copy).labels().values()) == {"cat"}


def test_a_journal_of_a_database_that_is_gone_is_not_played_back(tmp_path):
    path = tmp_path / "run.db"
    filled(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("UPDATE events SET who = who || hex(zeroblob(2000))")
        shutil.copy(tmp_path / "run.db-journal", tmp_path / "kept")
    path.unlink()
    (tmp_path / "kept").rename(tmp_path / "run.db-journal")
    store = Store(path)
    assert store.labels() == {}
    store.close()
    assert Store(path).labels() == {}


def test_a_directory_in_the_place_of_the_file(tmp_path):
    (tmp_path / "run.db").mkdir()
    with pytest.raises(StoreError, match="is a directory"):
        Store(tmp_path / "run.db")


def test_values_and_samples_are_kept_together_or_not_at_all():
    store = Store()
    with pytest.raises(TypeError):
        store.set_all({"a": 1, "b": object()}, {"pool": (b"keys", None)})
    assert store.meta("a") is None
    store.set_all({"a": 1}, {"pool": (b"keys", None), "test": (b"more", b"sums")})
    store.set_all({"a": 2}, {"pool": (b"others", b"sums")})
    assert store.meta("a") == 2
    assert store.samples() == {"pool": (b"others", b"sums"), "test": (b"more", b"sums")}


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
