"""Runs are read whatever state they are in, and nothing is written beside them."""

import os
import shutil
import sqlite3

import pytest
from fakes import CentroidLearner, blobs
from run_directories import make_run

from activeloop import ActiveLoop, SimulatedOracle, load_strategy
from activeloop.errors import ConfigError
from activeloop.report.reading import common, existing, read_runs, without_damaged
from activeloop.report.runs import find_runs, read_run
from activeloop.run_files import RunFiles
from activeloop.runner import write_error
from activeloop.store import Store
from activeloop.types import Round


def state(directory):
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_what_a_run_left_is_read(tmp_path):
    run = read_run(make_run(tmp_path / "a", "margin", 3, [0.5, 0.75], variant="strategy.x=1"))
    assert (run.strategy, run.seed, run.data) == ("margin, strategy.x=1", 3, "digits")
    assert [round.metrics["accuracy"] for round in run.rounds] == [0.5, 0.75]
    assert (run.finished, run.error, run.seconds) == (True, None, 4.0)
    assert [asked.key for asked in run.queries][:4] == [f"pool/{n}" for n in range(300, 304)]
    assert run.answers["pool/301"] == "dog"
    renamed = run.called("mine")
    assert (renamed.strategy, renamed.queries) == ("mine", run.queries)


def test_a_run_under_way_is_read_as_it_is_and_goes_on_undisturbed(tmp_path):
    directory = make_run(tmp_path / "a", accuracy=[0.5], ended=None)
    files = RunFiles(directory)
    files.store.set_meta("something", 1)  # leaves a journal, as each write does
    before = state(directory)
    run = read_run(directory)
    assert (run.finished, len(run.rounds), len(run.queries)) == (False, 1, 4)
    assert state(directory) == before
    files.store.add_round(Round(round=1, labels=8, classes=2, metrics={"accuracy": 0.9}))
    assert len(read_run(directory).rounds) == 2
    files.close()


def test_what_is_read_is_of_one_moment(tmp_path):
    directory = make_run(tmp_path / "a")
    writer = sqlite3.connect(directory / "run.db", timeout=0)
    reader = Store(directory / "run.db", read_only=True)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        writer.execute("DELETE FROM rounds").connection.commit()
    assert len(reader.rounds()) == 3
    reader.close()
    writer.rollback()
    writer.close()


def test_the_journal_of_a_process_that_died_as_it_wrote_is_rolled_back_in_a_copy(tmp_path):
    directory = make_run(tmp_path / "a")
    writer = sqlite3.connect(directory / "run.db", isolation_level=None)
    writer.execute("PRAGMA cache_size = 1")  # has it write to the file before it commits
    writer.execute("BEGIN")
    writer.execute("DELETE FROM rounds")
    for number in range(2000):
        writer.execute("INSERT INTO meta VALUES (?, ?)", (f"x{number}", "y" * 500))
    shutil.copytree(directory, tmp_path / "died")
    writer.execute("ROLLBACK")
    writer.close()
    before = state(tmp_path / "died")
    assert before[tmp_path / "died" / "run.db-journal"][1].strip(b"\0")
    assert len(read_run(tmp_path / "died").rounds) == 3
    assert state(tmp_path / "died") == before


def test_a_run_of_python_is_named_by_what_it_is(tmp_path):
    data, hidden = blobs()
    loop = ActiveLoop(
        *(data, CentroidLearner(), load_strategy("margin", temperature=2.0)),
        **{"test_labels": hidden.test, "rounds": 1, "seed": 5, "directory": tmp_path / "a"},
    )
    loop.run(SimulatedOracle(hidden.pool))
    run = read_run(tmp_path / "a")
    assert (run.strategy, run.seed, run.data) == ("margin(temperature=2.0)", 5, "blobs")


def test_runs_are_found_wherever_they_are(tmp_path):
    make_run(tmp_path / "x" / "y" / "a")
    make_run(tmp_path / "b")
    for name in ("early", "earlier", "mine"):
        (tmp_path / "x" / name).mkdir()
        (tmp_path / "x" / name / "error.txt").write_text("no idea\n")
    (tmp_path / "x" / "early" / "activeloop.log").touch()
    try:
        raise ValueError("no such file")
    except ValueError as error:
        write_error(tmp_path / "x" / "earlier", error)
    found, unread = find_runs([tmp_path, tmp_path / "x"])
    assert [path.name for path in found] == ["b", "earlier", "early", "a"]
    assert unread == []


def test_linked_runs_are_found_once_and_where_they_are(tmp_path):
    disk, links = tmp_path / "disk", tmp_path / "links"
    make_run(disk / "a")
    make_run(disk / "b", "margin")
    make_run(tmp_path / "other")
    links.mkdir()
    for name, target in (("a", disk / "a"), ("again", disk / "a"), ("b", disk / "b")):
        (links / name).symlink_to(target)
    (links / "gone").symlink_to(tmp_path / "nowhere")
    (links / "up").symlink_to(tmp_path)  # not what was asked for
    (links / "round").symlink_to(links / "round")
    (disk / "back").symlink_to(links)
    assert find_runs([links, disk]) == ([disk / "a", disk / "b"], [])
    places = existing([links, disk / ".." / "links", tmp_path / "disk"])
    assert places == [links, disk]
    runs, problems = read_runs(places, common(places))
    assert ([run.directory for run in runs], problems) == ([disk / "a", disk / "b"], [])


def test_a_directory_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    make_run(tmp_path / "a")
    make_run(tmp_path / "locked" / "b")
    scandir = os.scandir

    def guarded(path):
        if path == tmp_path / "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    runs, (problem,) = read_runs([tmp_path], tmp_path)
    assert [run.directory.name for run in runs] == ["a"]
    assert problem.level == "error"
    assert problem.text == "locked cannot be read: what is in it is left out"
    with pytest.raises(ConfigError, match=r"there is no run .*locked cannot be read"):
        read_runs([tmp_path / "locked"], tmp_path)


def test_each_kind_of_damage_is_named_and_costs_no_other_run(tmp_path):
    make_run(tmp_path / "good")
    make_run(tmp_path / "slow", accuracy=[0.5, 0.6], ended=None)
    make_run(tmp_path / "broke", accuracy=[0.5], ended=None, error="training diverged")
    for name in ("failed", "garbage", "empty", "foreign", "strange", "newer", "nameless"):
        (tmp_path / name).mkdir()
    (tmp_path / "failed" / "error.txt").write_text("query_size is 0\n\nTraceback")
    (tmp_path / "garbage" / "run.db").write_bytes(b"no database, but long enough" * 100)
    (tmp_path / "empty" / "run.db").touch()
    with sqlite3.connect(tmp_path / "foreign" / "run.db") as database:
        database.execute("CREATE TABLE albums (title)")
    Store(tmp_path / "newer" / "run.db").close()
    with sqlite3.connect(tmp_path / "newer" / "run.db") as database:
        database.execute("PRAGMA user_version = 99")
    store = Store(tmp_path / "strange" / "run.db")
    store.set_meta("identity", {"config": [1, 2]})
    store.close()
    Store(tmp_path / "nameless" / "run.db").close()
    before = state(tmp_path)
    runs, problems = read_runs([tmp_path], tmp_path)
    assert [run.directory.name for run in runs] == ["broke", "good", "slow"]
    assert {problem.level for problem in problems} == {"error"}
    texts = [problem.text for problem in problems]
    for expected in (
        "broke failed: training diverged",
        "failed failed: query_size is 0",
        "left out: garbage/run.db: is not a run of activeloop",
        "left out: empty/run.db is empty, where a run has its database",
        "left out: foreign/run.db is not a run of activeloop, but another program's database",
        "left out: newer/run.db has schema version 99",
        "left out: strange/run.db is damaged, or not a run of activeloop",
        "nameless was begun, and stopped before it asked for anything",
    ):
        assert len([text for text in texts if text.startswith(expected)]) == 1, expected
    assert len(texts) == 8
    assert state(tmp_path) == before


def test_a_run_whose_queries_are_damaged_is_left_out(tmp_path):
    for name in "ab":
        make_run(tmp_path / name)
    with sqlite3.connect(tmp_path / "a" / "run.db") as database:
        database.execute("DROP TABLE queries")
    runs, problems = read_runs([tmp_path], tmp_path)
    assert (len(runs), problems) == (2, [])
    runs, (problem,) = without_damaged(runs, tmp_path)
    assert [run.directory.name for run in runs] == ["b"]
    assert problem.text.startswith("left out: a/run.db: no such table: queries")


def test_no_run_at_all_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no run in .*: a run's directory has a file"):
        read_runs([tmp_path], tmp_path)
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.db").write_bytes(b"nonsense" * 100)
    with pytest.raises(ConfigError, match=r"no run can be read: left out: a/run.db.*and 1 more"):
        read_runs([tmp_path], tmp_path)
