"""Ends this process at its n-th write, as kill -9 or as a power cut would.

For a process that was started to be killed: `install` wraps what the standard library writes with,
and nothing of it can be taken back. The program that writes has no hooks, and knows of nothing.

A crash point is each statement of SQLite that writes, each COMMIT once it is over, each file that
is opened for writing, each fsync, and each file or folder that is made, renamed or removed. The
cache of SQLite is one page, so that what is not committed yet is in the file already, as in a large
transaction, and has to be rolled back by whoever opens it next.

A power cut also takes what was not on the disk yet. Two extremes are played: `data` empties each
file that was written to since its last fsync; `names` undoes whatever was made, renamed or removed
in a folder since the folder's last fsync. SQLite syncs its own files, which are left alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

Loss = Literal["nothing", "data", "names"]
LOSSES: tuple[Loss, ...] = get_args(Loss)

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(kw_only=True)
class Disk:
    """What would not survive a power cut, of the files below a folder.

    Attributes:
        unsynced: files that were written to since their last fsync.
        undo: what was below a path before a name was made, renamed or removed there, oldest first;
            None: nothing was.
    """

    unsynced: set[Path] = field(default_factory=set)
    undo: list[tuple[Path, bytes | None]] = field(default_factory=list)

    def opening(self, path: Path) -> None:
        """Note that a file is opened for writing."""
        if not path.exists():
            self.undo.append((path, None))
        self.unsynced.add(path)

    def making(self, path: Path) -> None:
        """Note that a folder is made."""
        if not path.exists():
            self.undo.append((path, None))

    def removing(self, path: Path) -> None:
        """Note that a file is removed."""
        if path.is_file():
            self.undo.append((path, path.read_bytes()))
        self.unsynced.discard(path)

    def renaming(self, source: Path, target: Path) -> None:
        """Note that a file gets another name."""
        before = target.read_bytes() if target.is_file() else None
        content = source.read_bytes() if source.is_file() else None
        self.undo += [(target, before), (source, content)]
        if source in self.unsynced:
            self.unsynced.add(target)
        else:
            self.unsynced.discard(target)
        self.unsynced.discard(source)

    def synced(self, path: Path) -> None:
        """Note that a file or a folder was synced."""
        self.unsynced.discard(path)
        if path.is_dir():
            self.undo = [entry for entry in self.undo if entry[0].parent != path]

    def lose(self, loss: Loss) -> None:
        """Leave what a power cut would."""
        if loss == "data":
            for path in self.unsynced:
                if path.is_file():
                    os.truncate(path, 0)
        if loss == "names":
            for path, before in reversed(self.undo):
                if before is not None:
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(before)
                elif path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)


class CrashPoints:
    """Counts the writes of this process, and ends it at one of them.

    Args:
        folder: files elsewhere do not count.
        at: the number of the write before which the process ends, from 0; None: it goes on.
        loss: what a power cut takes along.
        on_end: is told which write it was.
    """

    def __init__(
        self,
        folder: Path,
        at: int | None,
        loss: Loss = "nothing",
        on_end: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._folder, self._at, self._loss, self._on_end = folder.resolve(), at, loss, on_end
        self._disk, self._ending = Disk(), False
        self.passed: list[str] = []

    def install(self) -> None:
        """Have the writes of this process counted from here on."""
        sqlite3.connect = partial(  # type: ignore[assignment]  # as connect, with a factory
            sqlite3.connect, factory=_connection(self)
        )
        os.fsync = self._syncing(os.fsync)  # type: ignore[assignment]  # takes the same
        sys.addaudithook(self._audit)

    def point(self, name: str) -> None:
        """Be at a write; the process may end here."""
        if self._ending:
            return
        if len(self.passed) == self._at:
            self._end(name)
        self.passed.append(name)

    def _end(self, name: str) -> NoReturn:
        self._ending = True  # what is done from here on is no write of the program's
        self._disk.lose(self._loss)
        self._on_end(name)
        os.kill(os.getpid(), signal.SIGKILL)
        raise SystemExit("still here after SIGKILL")

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._ending or event not in ("open", "os.mkdir", "os.remove", "os.rename"):
            return
        if event == "open" and not (arguments[2] or 0) & _WRITES:
            return
        paths = [self._inside(path) for path in arguments[: 1 + (event == "os.rename")]]
        found = [path for path in paths if path is not None]
        if not found or len(found) < len(paths):
            return
        self.point(f"{event.removeprefix('os.')} {_kind(found[-1])}")
        note: dict[str, Callable[..., None]] = {
            "open": self._disk.opening,
            "os.mkdir": self._disk.making,
            "os.remove": self._disk.removing,
            "os.rename": self._disk.renaming,
        }
        note[event](*found)

    def _inside(self, path: object) -> Path | None:
        """Return a path below the folder; None for others, and for what is no path."""
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        absolute = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100  # resolve follows links
        return absolute if absolute.is_relative_to(self._folder) else None

    def _syncing(self, fsync: Callable[[Any], None]) -> Callable[[Any], None]:
        def synced(file: Any) -> None:
            number = file if isinstance(file, int) else file.fileno()
            path = Path(f"/proc/self/fd/{number}").readlink()
            self.point(f"fsync {'folder' if path.is_dir() else _kind(path)}")
            fsync(number)
            self._disk.synced(path)

        return synced


def _connection(points: CrashPoints) -> type[sqlite3.Connection]:
    class Connection(sqlite3.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            super().execute("PRAGMA cache_size = 1")

        def execute(self, statement: str, /, *values: Any) -> sqlite3.Cursor:
            verb = statement.split()[0].upper()
            if verb != "SELECT" and (verb != "PRAGMA" or "=" in statement):
                points.point(f"SQLite {verb}")
            cursor = super().execute(statement, *values)
            if verb == "COMMIT":
                points.point("SQLite after COMMIT")
            return cursor

        def executescript(self, script: str, /) -> sqlite3.Cursor:
            points.point("SQLite script")
            return super().executescript(script)

        def executemany(self, statement: str, /, rows: Any) -> sqlite3.Cursor:
            points.point(f"SQLite {statement.split()[0]}, many")
            return super().executemany(statement, rows)

    return Connection


def _kind(path: Path) -> str:
    """Return what a file is: the name that it has or gets, without numbers."""
    words = path.name.lstrip(".").split(".")
    return ".".join(word.split("_")[0] for word in words if not word.isdigit() and word != "tmp")
