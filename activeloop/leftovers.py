"""What a killed process left beside a run's SQLite file: is it of that file, or of another copy?

SQLite plays back the journal that it finds beside a file whichever file it is of: beside a copy
that was put back from a backup, it would damage that. The file and the first page of it that is in
the journal both have the number of changes that were made to it, which tells.

Source: "Database File Format", sections 1.3 and 3, sqlite.org/fileformat2.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from activeloop.errors import StoreError

_MAGIC = bytes.fromhex("d9d505f920a163d7")  # zeros in the journal of a write that is over


def check_journal(path: Path) -> None:
    """Raise `StoreError` if the journal beside the database `path` is of another copy of it.

    One that does not have the file's first page cannot be told, and passes.
    """
    journal = path.with_name(f"{path.name}-journal")
    try:
        with journal.open("rb") as file:
            before = _changes_before(file)
        with path.open("rb") as file:
            file.seek(24)
            now = _number(file)
    except FileNotFoundError:
        return
    # One more where the write was killed after the first page.
    if before is not None and now not in (before, before + 1):
        raise StoreError(
            f"{journal} was left by a write that was interrupted in another copy of {path.name}, "
            f"and would damage this one, which has had {now} changes, not {before}; both were left "
            f"untouched. If {path.name} was put back from a backup, remove {journal.name} and run "
            f"the same command again; else put the {path.name} back beside which it was left"
        )


def check_no_log(path: Path) -> None:
    """Raise `StoreError` if there is a write-ahead log beside the database `path` that has none."""
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size == 0:
        return
    with path.open("rb") as file:
        file.seek(18)
        if file.read(2) == b"\1\1":
            raise StoreError(
                f"{log} is of another copy of {path.name}, and would damage this one, which has "
                f"no write-ahead log; both were left untouched. If {path.name} was put back from a "
                f"backup, remove {log.name}; else put the {path.name} back beside which it was left"
            )


def _changes_before(journal: BinaryIO) -> int | None:
    """Return the number of changes before the write that `journal` undoes, if it has that."""
    if journal.read(8) != _MAGIC:
        return None
    pages, _, _, sector, page_size = (_number(journal) for _ in range(5))
    for number in range(pages):
        start = sector + number * (4 + page_size + 4)  # its number, the page, a checksum
        journal.seek(start)
        if (page := _number(journal)) == 0:  # the end: a journal need not say how many there are
            break
        if page == 1:
            journal.seek(start + 4 + 24)
            return _number(journal)
    return None


def _number(file: BinaryIO) -> int:
    return int.from_bytes(file.read(4), "big")
