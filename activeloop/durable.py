"""What it takes for a file to be there after a power cut: its content synced, and its name."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def sync_file(path: Path) -> None:
    """Have the content of a file on the disk, whoever wrote it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Have the names of the files in `directory` on the disk, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_path(directory: Path) -> None:
    """Have a directory's own name on the disk, and those of the directories that it is in."""
    for parent in directory.absolute().parents:
        sync_directory(parent)
