"""Files that are there whole or not at all, whenever the process that writes them is killed."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from activeloop.durable import sync_directory, sync_file
from activeloop.errors import DiskError


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place when the body ends well.

    `durable` has it on the disk by then; what can be made again from the store need not be.
    Where the body leaves no file there, all stays as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        if not temporary.exists():
            return
        if durable:
            sync_file(temporary)
        temporary.replace(path)
        if durable:
            sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file at once, on the disk when the call returns."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: Path, rows: Iterator[Sequence[object]]) -> None:
    """Write a CSV file at once: a reader meets the old one or the new one, never half of it."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    with replacing(path, durable=False) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array at once, in a directory that is made if it is not there."""
    if not path.parent.exists():
        path.parent.mkdir(exist_ok=True)
        sync_directory(path.parent.parent)
    with replacing(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array)


def keep_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array, unless it is there already: that of an earlier run is not this one's."""
    try:
        same = np.array_equal(np.load(path, allow_pickle=False), array)
    except (OSError, ValueError, EOFError):
        same = False
    if not same:
        write_array(path, array)


def digest_of(path: Path) -> str:
    """Return the digest of a file, in 32 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@contextmanager
def named_errors(directory: Path | None) -> Iterator[None]:
    """Turn the operating system's refusal into one line that says what to do."""
    try:
        yield
    except OSError as error:
        said = f"cannot write the run in {directory}: {error.strerror or error}"
        raise DiskError(said) from error
