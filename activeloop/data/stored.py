"""Arrays in .npy files: rows are written in any order, and read without holding the rest."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import warnings
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib import format as npy
from torch import Tensor

from activeloop.types import Indices

# Bytes of pages of a file that a process keeps in its sight.
KEPT_BYTES = 1 << 24
# What one access to a page brings into sight, at the most.
_AROUND = 1 << 16


class RowFile:
    """An array `[n, *shape]` in an .npy file. Rows that nobody wrote are 0 and take no room.

    To open a file that is there already changes nothing in it: two processes may do so at once,
    and may write the same rows with the same values.

    Args:
        path: the file; None for one without a name, which ends with this object and its `rows`.
        shape: of a row.
        folder: where the file without a name is.
        write: whether it is opened to be written.

    Raises:
        OSError: it cannot be opened or written.
    """

    def __init__(
        self,
        path: Path | None,
        n: int,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        *,
        folder: Path | None = None,
        write: bool = True,
    ) -> None:
        self.n, self.shape, self.dtype = n, shape, np.dtype(dtype)
        self.row_bytes = math.prod(shape) * self.dtype.itemsize
        header = _header(n, shape, self.dtype)
        self._start = len(header)
        self._file = _opened(path, folder, write)
        size, found = self._start + n * self.row_bytes, os.fstat(self._file.fileno()).st_size
        if write and found != size:
            self._file.seek(0)
            self._put(header)
            self._file.truncate(size)
        elif not write and found != size:
            raise OSError(f"{path} has {found} bytes instead of {size}")

    def write(self, rows: Indices, values: npt.NDArray[Any]) -> None:
        """Write `values` `[k, *shape]` to `rows` `[k]`, ascending."""
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for run, part in zip(np.split(rows, breaks), np.split(values, breaks), strict=True):
            if len(run):
                self._file.seek(self._start + int(run[0]) * self.row_bytes)
                self._put(np.ascontiguousarray(part, self.dtype).tobytes())

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        os.fsync(self._file.fileno())

    def all(self) -> npt.NDArray[Any]:
        """Return all of it, in memory."""
        self._file.seek(self._start)
        values = np.fromfile(self._file, self.dtype, self.n * math.prod(self.shape))
        return values.reshape(self.n, *self.shape)

    def rows(self, limit: int) -> StoredRows:
        """Return what is in it to be read, now or later; `limit` as there."""
        return StoredRows(self._file, self.n, self.shape, self.dtype, self._start, limit)

    def _put(self, data: bytes) -> None:
        # Not by a map: on a full disk that would be the end of the process, and not an error.
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]


class StoredRows:
    """Rows in a file, `[n, *shape]`, memory-mapped: read by position, as copies.

    Attributes:
        shape: `(n, *shape)`.
        dtype: torch's.
        numpy_dtype: numpy's.
        limit: most bytes of samples that may be held in memory at once.
    """

    def __init__(
        self,
        file: FileIO,
        n: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        start: int,
        limit: int,
    ) -> None:
        # Shared and read-only: the system would refuse a private map that is larger than memory.
        self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        array = np.frombuffer(self._map, dtype, n * math.prod(shape), start)
        self._x = _tensor(array).view(n, *shape)
        self.shape, self.dtype, self.limit = tuple(self._x.shape), self._x.dtype, limit
        self.numpy_dtype = dtype
        self._row_bytes = math.prod(shape) * dtype.itemsize
        self._in_sight = 0

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: Indices) -> Tensor:
        """Return `rows` `[k]`, in memory; they are read in the order of the file."""
        found = torch.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        order = np.argsort(rows, kind="stable")
        ascending = torch.from_numpy(rows[order])
        in_order = bool((order == np.arange(len(order))).all())
        few = max(1, KEPT_BYTES // max(self._row_bytes, _AROUND))
        for start in range(0, len(rows), few):
            some = slice(start, start + few)
            if in_order:
                torch.index_select(self._x, 0, ascending[some], out=found[some])
            else:
                found[torch.from_numpy(order[some])] = self._x.index_select(0, ascending[some])
            self._release(ascending[some])
        return found

    def _release(self, rows: Tensor) -> None:
        """Let go of pages that were read: they count as this process's memory. The system may
        keep them, and drops them when it needs the room.
        """
        span = int(rows[-1] - rows[0] + 1) * self._row_bytes
        self._in_sight += min(span + _AROUND, len(rows) * max(self._row_bytes, _AROUND))
        if self._in_sight >= KEPT_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._in_sight = 0


def _opened(path: Path | None, folder: Path | None, write: bool) -> FileIO:
    """Return the file without a buffer, in which an error would leave what could not be written."""
    if path is None:
        with tempfile.TemporaryFile(dir=folder) as file:
            return FileIO(os.dup(file.fileno()), "r+")
    # No mode of `open` means this: make it if need be, empty nothing, write anywhere.
    flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
    binary: int = getattr(os, "O_BINARY", 0)
    return FileIO(os.open(path, flags | binary, 0o666), "r+" if write else "r")


def _header(n: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    buffer = BytesIO()
    described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (n, *shape)}
    npy.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    with warnings.catch_warnings():
        # Torch warns that it does not heed read-only arrays; nothing here writes.
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(array)
