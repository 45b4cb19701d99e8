"""Vectors that take hours to make: one .npy file, filled by any number of processes at any time.

While it is filled, `KEY.part/rows.npy` holds the rows, and beside it each shard has a file named by
its number. A process that works on a shard has that file locked, which ends with the process,
however that ends; when the shard's rows are on the disk, the file says so. When all do, the rows
become `KEY.npy`. A row never depends on who made it, so that where locks do not work, as on some
network disks, work is done twice and nothing else happens.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.errors import DataError
from activeloop.memory import readable

try:
    from fcntl import LOCK_EX, LOCK_NB, flock

    LOCKS = True
except ImportError:  # Windows
    LOCKS = False

log = logging.getLogger(__name__)

Vectors = npt.NDArray[np.float32]

SHARD = 1024  # rows that are made, written and claimed at a time
_WAIT = 0.5  # seconds between looks at shards that others work on
_DONE = b"done\n"


class VectorFile:
    """The file of `rows` vectors known by `key`, in `folder`.

    Args:
        folder: made if it is not there.
        key: says what the vectors depend on; a file's name.
        rows: how many there are, at least one.

    Attributes:
        path: where the vectors are when all of them are there.
    """

    def __init__(self, folder: Path, key: str, rows: int) -> None:
        self.path = folder / f"{key}.npy"
        self._folder = folder
        self._part = folder / f"{key}.part"
        self._rows = rows
        self._shards = range(-(-rows // SHARD))

    def read(self) -> Tensor | None:
        """Return the vectors `[rows, E]`, memory-mapped copy-on-write; None: not all are there.

        A file that cannot be what was written is removed, with a warning.

        Raises:
            OSError: the file cannot be read, or not be removed.
        """
        try:
            return torch.from_numpy(self._mapped(self.path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, EOFError) as error:
            log.warning("%s is damaged (%s): its vectors are made anew", self.path, error)
            self.path.unlink(missing_ok=True)
            return None

    def fill(
        self,
        width: int,
        make: Callable[[int, int], Vectors],
        tell: Callable[[int], None] = lambda done: None,
    ) -> Tensor:
        """Make the rows that nobody has made, wait for those that others make, and return all.

        Args:
            width: numbers in a vector, `E`.
            make: returns rows `start` to `stop`, `[stop - start, E]`.
            tell: is told how many rows there are, as they become more.

        Raises:
            OSError: as from `begin`.
            DataError: writing failed later; what was made is kept.
        """
        while (vectors := self.read()) is None:
            self.begin(width)
            self._make_all(make, tell)
        tell(self._rows)
        return vectors

    def begin(self, width: int) -> None:
        """Have the rows' file with room for all, if it is not there from before.

        Raises:
            OSError: the folder cannot be written, or has no room.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            if self.path.exists():
                return
            try:
                if self._mapped(self._part / "rows.npy").shape[1] == width:
                    return
            except (OSError, ValueError, EOFError):
                pass
            shutil.rmtree(self._part, ignore_errors=True)
            size, free = 4 * self._rows * width, shutil.disk_usage(self._folder).free
            if size > free:
                needs = f"{readable(size)} are needed and {readable(free)} free"
                raise OSError(errno.ENOSPC, needs)
            self._part.mkdir()
            unnamed = self._part / "rows.npy.tmp"
            np.lib.format.open_memmap(unnamed, "w+", np.float32, (self._rows, width)).flush()
            unnamed.replace(self._part / "rows.npy")

    def _make_all(self, make: Callable[[int, int], Vectors], tell: Callable[[int], None]) -> None:
        """Go through the shards until all are made, by this process or by others."""
        todo, done = list(self._shards), 0
        while todo:
            left = []
            for shard in todo:
                start, stop = shard * SHARD, min((shard + 1) * SHARD, self._rows)
                if self._make(shard, start, stop, make):
                    done += stop - start
                    tell(done)
                else:
                    left.append(shard)
            if left == todo:
                if not self._part.exists():  # another process was the last, and cleared up
                    return
                time.sleep(_WAIT)
            todo = left
        self._finish()

    def _make(self, shard: int, start: int, stop: int, make: Callable[[int, int], Vectors]) -> bool:
        """Return whether a shard's rows are there: those of an earlier time, or made now."""
        with self._claimed(shard) as marker:
            if marker is None:
                return False
            if not marker.read() and not self.path.exists():
                rows = make(start, stop)
                with self._named_errors():
                    self._write(start, rows)
                    marker.write(_DONE)
                    _sync(marker)
        return True

    def _write(self, start: int, rows: Vectors) -> None:
        path = self._part / "rows.npy"
        if self.path.exists():  # without locks, others may have made these too
            return
        mapped = self._mapped(path)
        if rows.dtype != np.float32 or rows.shape[1:] != mapped.shape[1:]:
            raise ValueError(f"rows must be float32 [n, {mapped.shape[1]}], got {rows.shape}")
        # Not through the map: a full disk would kill the process rather than raise.
        with path.open("r+b") as file:
            file.seek(mapped.offset + mapped.strides[0] * start)
            file.write(np.ascontiguousarray(rows).data)
            _sync(file)

    def _finish(self) -> None:
        """Give the file its name, once."""
        # Without locks, others may do the same at this moment.
        with self._lock(), suppress(FileNotFoundError):
            if not self.path.exists():
                (self._part / "rows.npy").replace(self.path)
                # At once, so that nobody takes a shard for open whose file was removed.
                gone = self._part.with_suffix(".old")
                shutil.rmtree(gone, ignore_errors=True)
                self._part.replace(gone)
                shutil.rmtree(gone, ignore_errors=True)

    def _mapped(self, path: Path) -> Any:
        """Return the map of a file of vectors, or raise if it is not one of as many rows."""
        # Copy-on-write: torch has no read-only tensors, and writing to a read-only map kills.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
        fits = array.ndim == 2 and len(array) == self._rows and array.dtype == np.float32
        if not (isinstance(array, np.memmap) and fits):
            raise ValueError(f"it holds {array.dtype} {list(array.shape)}")
        return array

    @contextmanager
    def _claimed(self, shard: int) -> Iterator[IO[bytes] | None]:
        """Give the shard's file, locked, at its start; None: another process has it."""
        try:
            marker = (self._part / f"{shard:07d}").open("a+b")
        except FileNotFoundError:  # the folder is gone: all is done
            yield None
            return
        with marker:
            marker.seek(0)
            yield marker if _locked(marker, wait=False) else None

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"cannot write {self._part}: {error.strerror or error}; what is there is kept, and "
                "the same command goes on from it, when there is room again"
            ) from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other processes from beginning or finishing a file in this folder."""
        with (self._folder / ".lock").open("a+b") as file:
            _locked(file, wait=True)
            yield


def _locked(file: IO[bytes], *, wait: bool) -> bool:
    """Lock `file` until it is closed; False: another process has it locked."""
    if not LOCKS:
        return True
    try:
        flock(file, LOCK_EX | (0 if wait else LOCK_NB))
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
