"""What a killed process left beside run.db is played back where it belongs, and nowhere else."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from activeloop.errors import StoreError
from activeloop.report.runs import read_run
from activeloop.run_files import RunFiles
from activeloop.store import Store

MANY = 3000  # answers: more pages than the cache is given here


@pytest.fixture
def killed(tmp_path):
    """A run of `MANY` answers that was killed as others took their place; and earlier copies."""
    directory = tmp_path / "killed"
    directory.mkdir()
    store = Store(directory / "run.db")
    store.add_labels(0, {f"image-{n}": "cat" for n in range(MANY - 1)}, "ann")
    shutil.copy(directory / "run.db", tmp_path / "backup.db")
    store.add_labels(0, {f"image-{MANY - 1}": "cat"}, "ann")
    shutil.copy(directory / "run.db", tmp_path / "last.db")
    shutil.copytree(directory, tmp_path / "copy")
    store._connection.execute("PRAGMA cache_size = 1")  # has it write before it commits

    class Copied(dict):
        def items(self):
            yield from super().items()
            shutil.rmtree(tmp_path / "copy")
            shutil.copytree(directory, tmp_path / "copy")

    store.add_labels(1, Copied({f"image-{n}": "dog" for n in range(MANY)}), "eve")
    store.close()
    shutil.copy(directory / "run.db", tmp_path / "committed.db")
    shutil.rmtree(directory)
    (tmp_path / "copy").rename(directory)
    return directory


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def with_first_page_of(path, other):
    page = 4096
    path.write_bytes(other.read_bytes()[:page] + path.read_bytes()[page:])


@pytest.mark.parametrize("at", ["before it wrote", "as it wrote", "after its first page"])
def test_a_write_that_was_interrupted_is_undone(killed, at):
    if at == "before it wrote":
        shutil.copy(killed.parent / "last.db", killed / "run.db")
    if at == "after its first page":
        with_first_page_of(killed / "run.db", killed.parent / "committed.db")
    assert not (killed / "run.db-journal").read_bytes().startswith(b"\0")
    with closing(Store(killed / "run.db")) as store:
        assert list(store.labels().values()) == ["cat"] * MANY
        assert {event.who for event in store.events()} == {"ann"}


def test_beside_a_backup_the_journal_of_a_later_copy_is_not_played_back(killed):
    shutil.copy(killed.parent / "backup.db", killed / "run.db")
    before = contents(killed)
    ways = [lambda: Store(killed / "run.db"), lambda: Store(killed / "run.db", read_only=True)]
    for refused in (*ways, lambda: read_run(killed), lambda: RunFiles(killed)):
        with pytest.raises(StoreError, match="in another copy") as error:
            refused()
        assert f"{killed}/run.db-journal was left by a write" in str(error.value)
        assert "was put back from a backup, remove run.db-journal and run the same command" in str(
            error.value
        )
        assert contents(killed) == before
    (killed / "run.db-journal").unlink()  # as it says
    with closing(Store(killed / "run.db")) as store:
        assert len(store.labels()) == MANY - 1


def test_the_first_page_tells_wherever_it_is_in_the_journal(tmp_path):
    path = tmp_path / "run.db"
    with closing(Store(path)) as store:
        store.add_labels(0, {f"image-{n}": "cat" for n in range(MANY)}, "ann")
        copy = path.read_bytes()
        store.add_labels(0, {"image-0": "dog"}, "ann")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:  # another program
        other.execute("PRAGMA cache_size = 1")
        other.execute("BEGIN")
        other.execute("UPDATE meta SET value = '1'")
        other.execute("INSERT INTO meta VALUES ('said', '1')")
        other.execute("PRAGMA user_version = 4")
        other.execute("UPDATE events SET label = 'dog'")
        shutil.copytree(tmp_path, tmp_path / "killed")
    shutil.copytree(tmp_path / "killed", tmp_path / "put back")
    (tmp_path / "put back" / "run.db").write_bytes(copy)
    with pytest.raises(StoreError, match="in another copy"):
        Store(tmp_path / "put back" / "run.db")
    with closing(Store(tmp_path / "killed" / "run.db")) as store:
        assert sorted(store.labels().values()) == ["cat"] * (MANY - 1) + ["dog"]


@pytest.mark.parametrize("synchronous", ["FULL", "OFF"])  # OFF: it does not say how many pages
def test_a_journal_that_does_not_tell_is_played_back_as_sqlite_does(tmp_path, synchronous):
    path = tmp_path / "run.db"
    with closing(Store(path)) as store:
        store.add_labels(0, {f"image-{n}": "cat" for n in range(MANY)}, "ann")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA cache_size = 1")
        other.execute(f"PRAGMA synchronous = {synchronous}")
        other.execute("BEGIN")
        other.execute("UPDATE events SET label = 'dog'")
        shutil.copytree(tmp_path, tmp_path / "killed")
    with closing(Store(tmp_path / "killed" / "run.db")) as store:
        assert set(store.labels().values()) == {"cat"}


@pytest.mark.parametrize("read_only", [False, True])
def test_the_write_ahead_log_of_another_copy_is_not_played_back(tmp_path, read_only):
    path, log = tmp_path / "run.db", tmp_path / "run.db-wal"
    with closing(Store(path)) as store:
        store.add_labels(0, {"image-1": "cat"}, "ann")
    copy = path.read_bytes()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("UPDATE events SET label = 'dog'")
        written = log.read_bytes()
    path.write_bytes(copy)
    log.write_bytes(written)
    with pytest.raises(StoreError, match=r"run.db-wal is of another copy .* remove run.db-wal"):
        Store(path, read_only=read_only)
    assert contents(tmp_path) == {"run.db": copy, "run.db-wal": written}
    log.write_bytes(b"")  # of a program that wrote nothing
    assert Store(path, read_only=read_only).labels() == {"image-1": "cat"}


def test_a_write_ahead_log_of_its_own_is_read(tmp_path):
    path = tmp_path / "run.db"
    Store(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("INSERT INTO meta VALUES ('said', '1')")
        shutil.copytree(tmp_path, tmp_path / "killed")
    (tmp_path / "killed" / "run.db-shm").unlink()
    with closing(Store(tmp_path / "killed" / "run.db")) as store:
        assert store.meta("said") == 1
