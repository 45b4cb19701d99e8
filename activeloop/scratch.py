"""Arrays that go to a temporary file where they would not fit in memory."""

from __future__ import annotations

import errno
import os
import tempfile
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from activeloop.errors import StoreError
from activeloop.memory import readable


class Scratch:
    """Makes float32 arrays: in memory while all of them fit in `limit` bytes, else on disk.

    Args:
        limit: bytes in memory, in all.
        folder: where the files go, which have no name and end with their arrays; None: the
            system's folder for temporary files.
        device: a GPU's arrays are always in its own memory.
    """

    def __init__(self, limit: int, folder: Path | None, device: torch.device) -> None:
        self._left = limit
        self._folder = folder
        self._device = device

    def empty(self, shape: tuple[int, ...]) -> Tensor:
        """Return an array of `shape` with any content.

        Raises:
            StoreError: it goes to a disk that has no room for it.
        """
        size = 4 * prod(shape)
        if self._device.type != "cpu" or size <= self._left or size == 0:
            self._left -= size
            return torch.empty(shape, device=self._device)
        with tempfile.TemporaryFile(dir=self._folder) as file:
            _reserve(file.fileno(), size, self._folder)
            return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=shape))


def _reserve(file: int, size: int, folder: Path | None) -> None:
    """Have room for a file on its disk: where that is full, writing to a map kills the process.

    Raises:
        StoreError: there is none.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return  # this file system cannot tell
        raise StoreError(
            f"no room for {readable(size)} of predictions in {folder or tempfile.gettempdir()}: "
            "free some, and the same command goes on; with a larger memory_limit they stay in "
            "memory"
        ) from error
