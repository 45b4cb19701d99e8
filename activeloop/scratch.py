"""Arrays that go to a temporary file where they would not fit in memory."""

from __future__ import annotations

import tempfile
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


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
        """Return an array of `shape` with any content."""
        size = 4 * prod(shape)
        if self._device.type != "cpu" or size <= self._left or size == 0:
            self._left -= size
            return torch.empty(shape, device=self._device)
        with tempfile.TemporaryFile(dir=self._folder) as file:
            return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=shape))
