"""`queries.csv` says what the store does, however it came to be."""

import csv
import threading
import time
from contextlib import closing

import pytest

from activeloop import SKIP
from activeloop import store as store_module
from activeloop.run_files import RunFiles
from activeloop.run_tables import QueryTable, write_curve
from activeloop.store import Asked, Store
from activeloop.types import Round


def asked(round, *keys, start=0):
    return [
        Asked(round=round, position=start + n, key=key, index=n, score=0.5)
        for n, key in enumerate(keys)
    ]


@pytest.fixture
def store():
    store = Store()
    store.add_query(0, asked(0, "a", "b", "c"), 0, 0)
    store.add_labels(0, {"a": "cat", "b": "dog", "c": SKIP}, "ann", closes=2)
    return store


@pytest.fixture
def table(tmp_path, store, monkeypatch):
    monkeypatch.setattr(store_module, "_ROWS_AT_A_TIME", 2)
    table = QueryTable(tmp_path / "queries.csv", store)
    table.write()
    return table


def labels(tmp_path):
    rows = list(csv.DictReader((tmp_path / "queries.csv").open()))
    return [(row["key"], row["label"]) for row in rows]


FIRST = [("a", "cat"), ("b", "dog"), ("c", "")]


def test_lines_that_are_right_are_not_made_again(tmp_path, store, table, monkeypatch):
    made = []
    real = store.labelled_query_rows
    monkeypatch.setattr(
        store, "labelled_query_rows", lambda after: made.append(after) or real(after)
    )
    before = (tmp_path / "queries.csv").read_text()
    store.add_query(1, asked(1, "d", "e"), 0, 0)
    store.add_labels(1, {"d": "cat"}, "ann")
    table.write()
    assert made == [(0, 2)]
    after = (tmp_path / "queries.csv").read_text()
    assert after == before + "1,0,0,d,cat,0.5,,,0\n1,1,1,e,,0.5,,,0\n"
    table.write()
    assert (tmp_path / "queries.csv").read_text() == after
    assert made == [(0, 2), (1, 1)]


@pytest.mark.parametrize(
    ("answer", "shown"), [("dog", "dog"), (None, ""), (SKIP, "")], ids=["label", "undo", "skip"]
)
def test_an_answer_that_changed_is_shown(tmp_path, store, table, answer, shown):
    store.add_query(1, asked(1, "d"), 0, 0)
    store.add_labels(1, {"d": "cat"}, "ann", closes=2)
    table.write()
    store.add_query(2, asked(2, "e"), 0, 0)
    store.add_labels(2, {"a": answer, "e": "dog"}, "ann")
    table.write()
    assert labels(tmp_path) == [("a", shown), *FIRST[1:], ("d", "cat"), ("e", "dog")]


def test_what_is_answered_after_it_was_written_is_shown(tmp_path, store, table):
    store.add_query(1, asked(1, "d", "e"), 0, 0)
    table.write()
    assert labels(tmp_path) == [*FIRST, ("d", ""), ("e", "")]
    store.add_labels(1, {"e": "cat"}, "ann")
    table.write()
    assert labels(tmp_path) == [*FIRST, ("d", ""), ("e", "cat")]


def test_an_answer_that_comes_while_it_is_written_is_shown_the_next_time(
    tmp_path, store, table, monkeypatch
):
    real = store.labelled_query_rows

    def meanwhile(after):
        yield from real(after)
        store.add_labels(0, {"a": "dog"}, "eve")

    with monkeypatch.context() as patch:
        patch.setattr(store, "labelled_query_rows", meanwhile)
        table.write()
    table.write()
    assert labels(tmp_path) == [("a", "dog"), *FIRST[1:]]


@pytest.mark.parametrize("done", ["edited", "removed"])
def test_a_table_that_somebody_changed_is_made_anew(tmp_path, store, table, done):
    path = tmp_path / "queries.csv"
    if done == "edited":
        path.write_text("key\nmine\n")
    else:
        path.unlink()
    table.write()
    assert labels(tmp_path) == FIRST


def test_a_write_that_is_interrupted_leaves_the_table_that_was_there(
    tmp_path, store, table, monkeypatch
):
    store.add_query(1, asked(1, "d", "e"), 0, 0)
    real = store.labelled_query_rows

    def killed(after):
        yield next(real(after))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "labelled_query_rows", killed)
        with pytest.raises(KeyboardInterrupt):
            table.write()
    assert labels(tmp_path) == FIRST
    table.write()
    assert labels(tmp_path) == [*FIRST, ("d", ""), ("e", "")]


def test_the_curve_has_each_metric_as_it_is_and_nothing_for_what_was_not_measured(tmp_path):
    rounds = [
        Round(round=0, labels=5, classes=2, metrics={"kappa": 1 / 3}),
        Round(round=1, labels=9, classes=2, metrics={"accuracy": 0.5}),
    ]
    write_curve(tmp_path / "curve.csv", rounds)
    first, second = csv.DictReader((tmp_path / "curve.csv").open())
    assert (first["labels"], first["accuracy"], float(first["kappa"])) == ("5", "", 1 / 3)
    assert (second["labels"], second["accuracy"], second["kappa"]) == ("9", "0.5", "")


def test_what_is_there_when_a_run_is_opened_is_not_trusted(tmp_path):
    with closing(RunFiles(tmp_path)) as files:
        files.store.add_query(0, asked(0, "a"), 0, 0)
        files.write_tables()
        whole = (tmp_path / "queries.csv").read_text()
    (tmp_path / "queries.csv").write_text(whole[:-5])
    with closing(RunFiles(tmp_path)) as files:
        files.write_tables()
    assert (tmp_path / "queries.csv").read_text() == whole


def test_what_a_killed_process_left_is_not_added_to(tmp_path, store, table):
    whole = (tmp_path / "queries.csv").read_text()
    (tmp_path / ".queries.csv.tmp").write_text(whole[: len(whole) // 2])
    QueryTable(tmp_path / "queries.csv", store).write()
    assert (tmp_path / "queries.csv").read_text() == whole
    assert not (tmp_path / ".queries.csv.tmp").exists()


def test_two_threads_that_write_the_tables_do_so_one_after_the_other(tmp_path, monkeypatch):
    files, inside, together = RunFiles(tmp_path), [], []

    def slow(path, rounds):
        inside.append(path)
        time.sleep(0.02)
        together.append(len(inside))
        inside.pop()

    monkeypatch.setattr("activeloop.run_directory.write_curve", slow)
    threads = [threading.Thread(target=files.write_tables) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files.close()
    assert together == [1, 1, 1]
