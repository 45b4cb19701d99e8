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
    """Have the names in a directory on the disk: of files that were made, renamed or removed."""
    if os.name == "nt":  # a directory is no file there, and its names are synced with the files
        return
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sync_path(directory: Path) -> None:
    """Have a directory's own name on the disk, and those of the directories that it is in."""
    for parent in directory.absolute().parents:
        with contextlib.suppress(OSError):  # of somebody else, who may not let us read it
            sync_directory(parent)
