"""Tables of neighbours: kept in memory for a while, and on disk where they last."""

from __future__ import annotations

import logging
import os
import tempfile
import zipfile
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from activeloop.types import Indices

log = logging.getLogger("activeloop.neighbors")

# Tables kept in memory: those of one strategy's round, and of the round before.
_IN_MEMORY = 2
# Bytes kept on disk; the tables that were used longest ago go first.
_ON_DISK = 4 * 2**30


@dataclass(frozen=True)
class Table:
    """The neighbours of some rows.

    Attributes:
        rows: row numbers, ascending, `[r]`.
        distances: `[r, m]` float32.
        indices: `[r, m]` int64.
    """

    rows: Indices
    distances: npt.NDArray[np.float32]
    indices: Indices

    def joined(self, other: Table) -> Table:
        """Return the table of both, which have no row in common."""
        if not len(self.rows):
            return other
        order = np.argsort(np.concatenate([self.rows, other.rows]))
        return Table(
            *(
                np.concatenate([mine, theirs])[order]
                for mine, theirs in zip(self._arrays(), other._arrays(), strict=True)
            )
        )

    def of(self, rows: Indices) -> tuple[npt.NDArray[np.float32], Indices]:
        """Return distances and indices of `rows`, copied: what a strategy does to them stays."""
        places = np.searchsorted(self.rows, rows)
        return self.distances[places], self.indices[places]

    def _arrays(self) -> tuple[npt.NDArray[np.generic], ...]:
        return self.rows, self.distances, self.indices


_EMPTY = Table(np.empty(0, np.int64), np.empty((0, 0), np.float32), np.empty((0, 0), np.int64))


class TableStore:
    """Tables by a key that says what they were computed from."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Table] = OrderedDict()

    def get(self, key: str, folder: Path | None) -> Table:
        """Return the table of that key, from memory or from `folder`; an empty one if none."""
        if key not in self._kept and folder is not None:
            found = _read(folder / f"{key}.npz")
            if found is not None:
                self._keep(key, found)
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key, _EMPTY)

    def put(self, key: str, table: Table, folder: Path | None) -> None:
        """Keep `table`, in `folder` too."""
        self._keep(key, table)
        if folder is not None:
            _write(folder, key, table)

    def forget(self) -> None:
        """Drop what is in memory."""
        self._kept.clear()

    def _keep(self, key: str, table: Table) -> None:
        self._kept[key] = table
        self._kept.move_to_end(key)
        while len(self._kept) > _IN_MEMORY:
            self._kept.popitem(last=False)


def _read(path: Path) -> Table | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            table = Table(arrays["rows"], arrays["distances"], arrays["indices"].astype(np.int64))
        os.utime(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("cannot use the neighbours in %s (%s): they are searched anew", path, error)
        return None
    if not len(table.rows) == len(table.distances) == len(table.indices):
        log.warning("the neighbours in %s are damaged: they are searched anew", path)
        return None
    return table


def _write(folder: Path, key: str, table: Table) -> None:
    """Write beside and rename, so that no reader sees half a table."""
    largest = int(table.indices.max(initial=0))
    indices = table.indices.astype(np.int32 if largest < 2**31 else np.int64)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
            try:
                np.savez(file, rows=table.rows, distances=table.distances, indices=indices)
                file.close()
                Path(file.name).replace(folder / f"{key}.npz")
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        _prune(folder, keep=f"{key}.npz")
    except OSError as error:
        log.warning("cannot keep neighbours in %s: %s", folder, error)


def _prune(folder: Path, keep: str) -> None:
    files = [(path.stat(), path) for path in folder.glob("*.npz")]
    total = sum(stat.st_size for stat, _ in files)
    for stat, path in sorted(files, key=lambda each: each[0].st_mtime):
        if total <= _ON_DISK:
            return
        if path.name != keep:
            with suppress(OSError):
                path.unlink()
                total -= stat.st_size
