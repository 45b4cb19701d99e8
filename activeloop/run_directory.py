"""A run's directory in the hands of one process: its database, and the tables made from it."""

from __future__ import annotations

import threading
from pathlib import Path
from weakref import WeakValueDictionary

from activeloop.audit import present_rounds
from activeloop.durable import sync_path
from activeloop.lock import Lock
from activeloop.run_tables import QueryTable, write_curve
from activeloop.store import Store
from activeloop.whole_files import named_errors

# Which object of this process holds which directory.
_held: WeakValueDictionary[Path, RunDirectory] = WeakValueDictionary()


class RunDirectory:
    """A run's directory, which no other process has; without one, the database is in memory.

    Args:
        directory: made if it is not there.

    Attributes:
        store: the run's database.

    Raises:
        StoreError: the directory cannot be used.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self._lock: Lock | None = None
        self._query_table: QueryTable | None = None
        self._tables_lock = threading.Lock()
        with named_errors(directory):
            if directory is not None:
                directory.mkdir(parents=True, exist_ok=True)
                sync_path(directory)
                self._hold(directory)
            try:
                self.store = Store(None if directory is None else directory / "run.db")
            except BaseException:
                self._release()
                raise
            if directory is not None:
                self._query_table = QueryTable(directory / "queries.csv", self.store)
                _held[directory.resolve()] = self

    def close(self) -> None:
        """Close the store and let others have the directory."""
        self.store.close()
        self._release()

    def _hold(self, directory: Path) -> None:
        """Keep other processes away; an older run object of this process gives way."""
        if (older := _held.pop(directory.resolve(), None)) is not None:
            older.close()
        self._lock = Lock(directory)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __del__(self) -> None:
        self._release()

    def write_tables(self) -> None:
        """Have `curve.csv` and `queries.csv` say what the store does; any thread may."""
        if self.directory is None or self._query_table is None:
            return
        with self._tables_lock, named_errors(self.directory):
            write_curve(self.directory / "curve.csv", present_rounds(self.store))
            self._query_table.write()
