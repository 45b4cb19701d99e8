"""A run's SQLite file as threads share it: transactions, and errors that say what to do.

Every write is one transaction, on disk when the call returns. The journal is SQLite's rollback
journal, for its write-ahead log is unsafe on network disks.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from activeloop.errors import DiskError, StoreError
from activeloop.opening import (
    NO_JOURNAL,
    open_in_memory,
    open_to_read,
    open_to_write,
    put_first_page_first,
)
from activeloop.schema import SCHEMA, VERSION


class Database:
    """A run's tables. Arguments and errors are those of `Store`."""

    def __init__(self, path: Path | None = None, *, read_only: bool = False) -> None:
        self._name = "run.db" if path is None else str(path)
        self._read_only = read_only
        self._lock = RLock()
        with self._errors_named():
            if path is None:
                self._connection = open_in_memory(SCHEMA)
            elif read_only:
                self._connection = open_to_read(path, VERSION)
            else:
                self._connection = open_to_write(path, SCHEMA, VERSION)

    def let_go(self) -> None:
        """Go on reading from a copy in memory: what would write to the file waits no longer."""
        with self._lock, self._errors_named():
            copy = open_in_memory("")
            self._connection.backup(copy)
            self._connection.close()
            self._connection = copy

    def close(self) -> None:
        """Close the file, and take its empty journal away."""
        if not self._read_only:
            with contextlib.suppress(sqlite3.Error):  # closed already, or busy: it may stay
                self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()

    def _all(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock, self._errors_named():
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with self._lock, self._errors_named():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                put_first_page_first(self._connection, VERSION)
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError as error:
            raise StoreError(f"{self._name} was closed: a newer run object has it") from error
        except sqlite3.DatabaseError as error:
            kind = DiskError if _code(error) in _DISK else StoreError
            raise kind(f"{self._name}: {_advice(error)}") from error
        except OSError as error:
            raise StoreError(f"{self._name}: {error.strerror or error}") from error


_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _code(error: sqlite3.DatabaseError) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _advice(error: sqlite3.DatabaseError) -> str:
    return {
        sqlite3.SQLITE_FULL: "no space left on the disk, free some",
        sqlite3.SQLITE_IOERR: "the disk does not read or write (is it full, or failing?)",
        sqlite3.SQLITE_NOTADB: "is not a run of activeloop; it was left untouched",
        sqlite3.SQLITE_CORRUPT: "is damaged; it was left untouched: put a copy back "
        f"({NO_JOURNAL})",
        sqlite3.SQLITE_READONLY: "cannot be written: check the permissions",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened: it must be readable, its folder writable",
        sqlite3.SQLITE_BUSY: "is in use by another process",
    }.get(_code(error), str(error))
