"""Items in a file, filled by one process or several, in one run or many."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from activeloop.data.chance import chance_kept
from activeloop.data.reading import Items, item_bytes, read_items
from activeloop.data.samples import BLOCK_BYTES
from activeloop.data.stored import RowFile
from activeloop.errors import DataError
from activeloop.memory import readable
from activeloop.progress import duration
from activeloop.types import Indices

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

SYNC_BYTES = 1 << 26  # after so many, what was read is on the disk, and recorded as read
VERIFIED = 16  # items that are read again to see whether a dataset is still the same

# A row's identity when it was read, 0 before; and its label.
RECORD = np.dtype([("identity", "<u8"), ("label", "<i8")])


class NoRoomError(DataError):
    """What is read cannot be put into `place`."""

    def __init__(self, place: Path, why: str) -> None:
        super().__init__(
            f"what is read cannot be put into {place} ({why}): free some room, or name another "
            "folder with data.cache; what was read so far is kept"
        )


class Kept:
    """Items in a file, and which of them are there.

    Args:
        items: what may be put there.
        identities: theirs, `[n]`.
        folder: where the file is; None for one without a name, that ends with what reads it.
        name: the file's.
        unnamed_in: where a file without a name is; None: the system's folder for such.

    Attributes:
        pixels: the items.
        records: of each item, `[n]`.
        writable: whether more can be put there.
    """

    def __init__(
        self,
        items: Items,
        identities: npt.NDArray[np.uint64],
        folder: Path | None,
        name: str = "",
        *,
        unnamed_in: Path | None = None,
    ) -> None:
        self._folder = folder
        self._place = folder or unnamed_in or Path(tempfile.gettempdir())
        self._identities = identities
        # A folder that cannot be written may have been filled by others.
        self.writable = write = folder is None or os.access(folder, os.W_OK)
        path, n = folder and folder / f"{name}.npy", len(items)
        self.pixels = RowFile(path, n, items.shape, items.dtype, folder=self._place, write=write)
        path = folder and folder / f"{name}.records.npy"
        self._file = RowFile(path, n, (), RECORD, folder=self._place, write=write)
        self.records = self._file.all()

    def missing(self, rows: Indices) -> Indices:
        """Return which of `rows` are not there."""
        self.records = self._file.all()
        absent: Indices = np.flatnonzero(self.records["identity"][rows] != self._identities[rows])
        return rows[absent]

    def fill(self, items: Items, rows: Indices, workers: int) -> dict[int, str]:
        """Read what is missing of `rows`; return why items cannot be read, by their number.

        What was read before an interruption is kept, and not read again.
        """
        if not len(self.missing(rows)):
            return {}
        with _lock(self._folder):
            missing = self.missing(rows)
            needed = len(missing) * item_bytes(items)
            if needed > (free := shutil.disk_usage(self._place).free):
                raise NoRoomError(
                    self._place, f"{readable(needed)} are needed, {readable(free)} are free"
                )
            start = time.monotonic()
            try:
                faults = self._read(items, missing, workers)
            except OSError as error:
                raise NoRoomError(self._place, str(error)) from error
        took = duration(time.monotonic() - start)
        log.info("%s: %d read in %s into %s", items.name, len(missing), took, self._place)
        return faults

    def _read(self, items: Items, missing: Indices, workers: int) -> dict[int, str]:
        faults: dict[int, str] = {}
        pending: list[Indices] = []
        try:
            for chunk in read_items(items, missing, workers):
                self.pixels.write(chunk.rows, chunk.values)
                self.records["label"][chunk.rows] = chunk.labels
                pending.append(chunk.rows)
                faults |= chunk.faults
                if sum(map(len, pending)) * item_bytes(items) >= SYNC_BYTES:
                    self._record(pending)
        finally:
            self._record(pending)
        return faults

    def _record(self, pending: list[Indices]) -> None:
        """Record rows as read, once they are on the disk."""
        if pending:
            rows = np.concatenate(pending)
            self.pixels.sync()
            self.records["identity"][rows] = self._identities[rows]
            self._file.write(rows, self.records[rows])
            pending.clear()

    def take_over(self, path: Path, records: npt.NDArray[np.void]) -> None:
        """Copy what is in another file with these `records` and is missing here."""
        values = np.load(path, mmap_mode="r")
        _, theirs, ours = np.intersect1d(records["identity"], self._identities, return_indices=True)
        absent = np.isin(ours, self.missing(np.sort(ours)))
        order = np.argsort(ours[absent])
        theirs, ours = theirs[absent][order], ours[absent][order]
        few = max(1, BLOCK_BYTES // self.pixels.row_bytes)
        for start in range(0, len(ours), few):
            rows, some = ours[start : start + few], theirs[start : start + few]
            self.pixels.write(rows, values[some])
            self.records["label"][rows] = records["label"][some]
            self._record([rows])

    def verify(self, items: Items) -> None:
        """Have nothing count as read if some items are no longer what they were."""
        there = np.flatnonzero(self.records["identity"])
        some = there[np.linspace(0, len(there) - 1, min(VERIFIED, len(there))).astype(np.int64)]
        stored = self.pixels.rows(0).read(some).numpy()
        for row, before in zip(some.tolist(), stored, strict=True):
            with chance_kept():
                value, label = items(row)
            if label != self.records["label"][row] or not np.array_equal(value, before):
                log.warning("%s: item %d is not what data.cache has: read anew", items.name, row)
                self._file.write(np.arange(len(self.records)), np.zeros_like(self.records))
                return


def succeed(kept: Kept, folder: Path, name: str) -> None:
    """Take over what earlier states of the folder of images have, and remove their files.

    Images were added, changed or removed since. Who still reads those files can go on.
    """
    others = [path for path in folder.glob("*.records.npy") if path.name.partition(".")[0] != name]
    for records in others:
        before = folder / records.name.replace(".records", "")
        # What is damaged, or has no room for a moment beside the new, is read again.
        with _lock(folder), suppress(OSError, ValueError):
            kept.take_over(before, np.load(records))
        for path in (records, before):
            with suppress(OSError):
                path.unlink()


@contextmanager
def _lock(folder: Path | None) -> Iterator[None]:
    """Have other processes wait instead of reading the same items too.

    Where the disk knows no locks, they all read and write the same, which is slow but right.
    """
    file = None
    if folder is not None and fcntl is not None:
        with suppress(OSError):  # of a folder that cannot be written, say
            file = (folder / "lock").open("wb")
    if file is None:
        yield
        return
    with file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    break
                if not told:
                    log.info("another process reads into %s: waiting for it", folder)
                told = True
                time.sleep(0.1)
            else:
                break
        yield  # closing the file lets go of it
