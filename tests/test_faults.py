"""Runs that are killed, lose their power, or whose disk and files fail, end as if nothing had been.

`scripts/fault_test.py` does the first at every write of a run from the command line.
"""

import contextlib
import importlib
import itertools
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from faulty import make, play

from activeloop.errors import StoreError
from activeloop.lock import LOCK_FILE, Lock
from activeloop.runner import leave_alone
from activeloop.store import Store

PRELOADED = ["activeloop.loop", "activeloop.strategies.gradients", "safetensors.torch", "pytest"]
SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture(scope="module")
def faults():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield importlib.import_module("fault_runs")


@pytest.fixture(scope="module")
def runs(faults):
    if not sys.platform.startswith("linux"):
        pytest.skip("the runs are forked and their files followed as only Linux has it")
    # In memory, where there is a place for that: a killed process leaves the same there.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield faults.Runs(Path(folder), play, PRELOADED)


def check(trial):
    assert (trial.lost, trial.differences) == ([], [])


def test_a_run_that_ends_at_some_write_ends_later_as_if_it_had_not(faults, runs):
    points = np.linspace(0, runs.reference.points - 1, 10).astype(int).tolist()
    losses = ["nothing", "data", "names"]
    reached = []
    for number, point in enumerate(points):
        fault = faults.Fault(point=point, loss=losses[number % 3])
        trial = runs.trial(f"point-{point}", [fault] * (1 + number % 2))
        check(trial)
        reached += [life.point for life in trial.lives if life.code]
    assert len(reached) >= 10
    assert len({point for point in reached if "SQLite" in point}) > 2
    assert len({point for point in reached if "SQLite" not in point}) > 2


def test_a_run_that_is_killed_at_any_instant_ends_later_as_if_it_had_not(faults, runs):
    kills = 0
    for number, share in enumerate(np.random.default_rng(0).random(4)):
        instant = share * runs.reference.seconds
        trial = runs.trial(f"instant-{number}", [faults.Fault(seconds=instant)])
        check(trial)
        kills += trial.kills
    assert kills > 0


def test_what_a_run_loses_and_changes_is_told(faults, runs):
    """The comparison sees what it is for."""
    shutil.copytree(runs.work / "reference" / "run", worse := runs.work / "worse" / "run")
    with closing(sqlite3.connect(worse / "run.db")) as connection, connection:
        (key, label), *_ = connection.execute("SELECT key, label FROM events").fetchall()
        connection.execute("DELETE FROM events WHERE key = ?", (key,))
    (worse / "curve.csv").write_text(
        (worse / "curve.csv").read_text("utf-8").replace("0,6,", "0,7,", 1), "utf-8"
    )
    (worse / ".weights.tmp").write_bytes(b"")
    (worse / "model.safetensors").unlink()
    found = faults.contents(worse)
    said = faults.differences(runs.expected, found)
    assert [line for line in said if "missing" in line] == ["model.safetensors is missing"]
    assert [line for line in said if "left over" in line] == [".weights.tmp is left over"]
    assert {"events differs", "curve.csv differs"} <= set(said)
    kept = faults.kept_in(worse)
    assert faults.lost(kept.answers, [(key, label)]) == [f"{key}: {label}, 0 times"]


def test_what_the_label_page_loses_and_gives_out_twice_is_told(faults, runs):
    labels = importlib.import_module("fault_labels")
    shutil.copytree(runs.work / "reference" / "run", run := runs.work / "labelled")
    with closing(sqlite3.connect(run / "run.db")) as connection, connection:
        rows = connection.execute("SELECT id, key, kind, label, who FROM events").fetchall()
        names = ("event", "key", "kind", "label", "who")
        answers = [labels.Acknowledged(**dict(zip(names, row, strict=True))) for row in rows]
        assert labels._kept(run, answers[1:]) == {"rounds": 3, "lost": [], "unacknowledged": 1}
        assert labels._twice(run) == []
        (_, key, *_), *_ = rows
        connection.execute("UPDATE events SET label = 'z' WHERE id = 2")
        connection.execute(
            "INSERT INTO events (key, kind, label, who, at, round) "
            "VALUES (?, 'label', 'a', 'ann', '', 0)",
            (key,),
        )
    assert [text.partition(":")[0] for text in labels._kept(run, answers)["lost"]] == ["event 2"]
    assert labels._twice(run) == [f"{key} has 2 answers"]

    held = labels.Held()
    assert held.given("ann", [1, 2], 0)
    assert held.given("bob", [3], 0)
    assert held.twice == []
    held.given("bob", [2], 0)
    held.done(3, True)
    held.given("ann", [3], 0)
    assert held.twice == ["2 to bob and ann", "3 to ann after it was answered"]
    held.killed()
    assert not held.given("ann", [4], 0)
    assert held.given("bob", [1], 1)
    assert len(held.twice) == 2


# -- the disk, and the file ---------------------------------------------------------------


@pytest.fixture(scope="module")
def straight(faults, tmp_path_factory):
    """What a run leaves that meets no fault."""
    directory = tmp_path_factory.mktemp("straight") / "run"
    play(directory)
    return faults.contents(directory)


@pytest.fixture
def half(tmp_path):
    """A run with two closed rounds of three."""
    loop, truth = make(tmp_path / "run")
    for _ in range(2):
        query = loop.ask()
        loop.tell(query, truth[query.indices])
    loop.files.close()
    return tmp_path / "run"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            yield disk
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
            return
    pytest.skip("a file system cannot be mounted: that takes root")


def everything(directory):
    return {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_full_disk_ends_a_run_and_with_space_it_goes_on_to_the_same_end(
    faults, small_disk, straight
):
    run, said = small_disk / "run", []
    for free in itertools.count(0, 8):  # KiB, until they are enough
        space = shutil.disk_usage(small_disk).free - 1024 * free
        (small_disk / "ballast").write_bytes(bytes(space))
        told = []
        try:
            play(run, told=told)
        except StoreError as error:
            said.append(str(error))
        else:
            break
        (small_disk / "ballast").unlink()
        play(run)
        found = faults.contents(run)
        assert faults.differences(straight, found) == []
        assert set(told) <= {key for _, key, *_ in found["events"]}
        shutil.rmtree(run)
    assert len(said) > 5
    assert all(re.search("(?i)space|is it full", text) for text in said), said


def test_a_disk_that_is_read_only_ends_a_run_and_changes_nothing(
    faults, small_disk, half, straight
):
    run = Path(shutil.copytree(half, small_disk / "run"))
    before = everything(run)
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)
    try:
        with pytest.raises(StoreError, match=r"(?i)read-only|permissions"):
            play(run)
        assert everything(run) == before
    finally:
        subprocess.run([*remount[:2], "remount,rw", str(small_disk)], check=True)
    play(run)
    assert faults.differences(straight, faults.contents(run)) == []


def truncated(path):
    os.truncate(path, path.stat().st_size // 2)


def with_a_corrupt_page(path):
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


def of_another_version(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def of_another_program(path):
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE photos (name)")
        connection.commit()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (truncated, "damaged"),
        (with_a_corrupt_page, "damaged"),
        (of_another_version, "schema version 99, this activeloop reads 4"),
        (of_another_program, "another program's database"),
    ],
)
def test_a_database_that_is_no_run_is_refused_and_put_back_goes_on(
    faults, half, straight, fault, said
):
    kept = half.with_name("kept.db")
    shutil.copy(half / "run.db", kept)
    fault(half / "run.db")
    before = everything(half)
    with pytest.raises(StoreError, match=said) as first:
        play(half)
    with pytest.raises(StoreError, match=said):  # while the first, and its traceback, are there
        play(half)
    assert first.value is not None
    with contextlib.suppress(StoreError), closing(Store(half / "run.db", read_only=True)) as store:
        store.answers()  # what is damaged may be somewhere else
    assert everything(half) == before
    shutil.copy(kept, half / "run.db")
    play(half)
    assert faults.differences(straight, faults.contents(half)) == []


def test_a_lock_that_a_killed_process_left_in_a_finished_run_is_taken_away(tmp_path, capsys):
    play(tmp_path)
    named = {"data": "blobs", "strategy": "badge", "variant": "", "seed": 0}
    (tmp_path / LOCK_FILE).write_text("{}", "utf-8")
    leave_alone(tmp_path, named)
    assert not (tmp_path / LOCK_FILE).exists()
    lock = Lock(tmp_path)  # of one that has it still
    leave_alone(tmp_path, named)
    assert (tmp_path / LOCK_FILE).exists()
    lock.release()
    assert capsys.readouterr().out.count("finished already") == 2
