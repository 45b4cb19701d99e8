"""Opening a run's SQLite file: it is ours, whole and of this version before a byte is written.

A new file is made beside its place and renamed, so that there is never half of one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from activeloop.durable import sync_directory
from activeloop.errors import StoreError
from activeloop.leftovers import check_journal, check_no_log

# In the header of the file, for SQLite's `application_id`: "aloo".
APPLICATION_ID = 0x616C6F6F

# Before a copy is put back: a journal is of the file that it was made beside, and played back on a
# copy it damages that.
NO_JOURNAL = "remove run.db-journal first, if it is there"


def open_to_write(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Open `path`, made with `schema` if it is not there.

    Whether it is ours is read without locks and journals, so that another program's file is not
    even rolled back; a write that was interrupted in our own is, before it is looked through.

    Raises:
        StoreError: it is no run, of another version, damaged, or cannot be written, or there is a
            journal of another copy beside it; it is as it was.
        sqlite3.Error: it cannot be made or opened.
    """
    if not path.exists():
        _create(path, schema, version)
    check_ours(path, version)
    if not os.access(path, os.W_OK):
        raise StoreError(f"{path} cannot be written: check the permissions")
    check_journal(path)
    connection = _connect(path, "mode=rw")
    try:
        # Of 100,000 answers a seventh of a second; `quick_check` passes over an index that does not
        # agree with its table, by which answers would not be found.
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
        if found != ["ok"]:
            said = " ".join(found[0].removeprefix("*** in database main ***").split())
            raise StoreError(
                f"{path} is damaged ({said}); it was left untouched: put a copy back ({NO_JOURNAL})"
            )
        # PERSIST is the rollback journal too, without making and deleting a file, which costs
        # far more than the writes on many file systems.
        connection.execute("PRAGMA journal_mode = PERSIST")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path, version: int) -> sqlite3.Connection:
    """Open `path` to read it as it is at this moment.

    Raises:
        StoreError: it is no run, or of another version, or there is a journal of another copy
            beside it.
        sqlite3.Error: it cannot be opened, or was left in the middle of a write.
    """
    check_ours(path, version)
    connection = _connect(path, "mode=ro")
    try:
        connection.execute("BEGIN")  # all that is read is of one moment
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_ROLLBACK:
            check_journal(path)  # only now: else it may be that of a write under way
        raise
    return connection


def put_first_page_first(connection: sqlite3.Connection, version: int) -> None:
    """Have the first page be the first in the journal of a transaction that has just begun.

    `check_journal` needs it. Nothing is changed: the page has the version that it has already.
    """
    connection.execute(f"PRAGMA user_version = {version}")


def open_in_memory(schema: str) -> sqlite3.Connection:
    """Return a database that ends with its connection."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.executescript(schema)
    return connection


def check_ours(path: Path, version: int) -> None:
    """Raise `StoreError` unless the header of `path` is that of a run of schema `version`.

    Or if there is a write-ahead log of another copy beside it.

    Raises:
        sqlite3.Error: it has no such header, or cannot be opened.
    """
    if path.is_dir():
        raise StoreError(f"{path} is a directory, where a run has its database; remove it")
    if path.exists() and path.stat().st_size == 0:
        raise StoreError(
            f"{path} is empty, where a run has its database: put a copy back "
            f"({NO_JOURNAL}), or remove it to start anew; it was left untouched"
        )
    with contextlib.closing(_connect(path, "mode=ro&immutable=1")) as connection:
        # Or a file that a killed process was extending could not be told from a truncated one.
        connection.execute("PRAGMA writable_schema = ON")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (found,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StoreError(
            f"{path} is not a run of activeloop, but another program's database; it was left "
            "untouched"
        )
    if found != version:
        raise StoreError(
            f"{path} has schema version {found}, this activeloop reads {version}; it was left "
            "untouched"
        )
    check_no_log(path)


def _create(path: Path, schema: str, version: int) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with contextlib.closing(_connect(temporary, "mode=rwc")) as connection:
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.executescript(
                f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {version}; {schema}; COMMIT;"
            )
        # SQLite would play back what is left of a database that was there before.
        for leftover in ("journal", "wal", "shm"):
            path.with_name(f"{path.name}-{leftover}").unlink(missing_ok=True)
        temporary.replace(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _connect(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
