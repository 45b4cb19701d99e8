"""One process at a time on a run's directory; the next one is told who has it.

The operating system's lock on a file decides, which ends with its process, however that ends. What
is written in the file only says who it is.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from activeloop.errors import IN_USE, StoreError

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two processes apart there
    fcntl = None  # type: ignore[assignment]  # the other branch is the module

log = logging.getLogger(__name__)

LOCK_FILE = "run.lock"

_warned: set[str] = set()


class Lock:
    """Holds `directory` until it is released.

    Raises:
        StoreError: another process holds it.
        OSError: the directory cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_FILE
        self._file: int | None = None
        while self._file is None and fcntl is not None:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                if _taken(file, directory) and self._is_in_place(file):
                    self._file, file = file, -1
            finally:
                if file >= 0:
                    os.close(file)
        if self._file is not None:
            self._sign(self._file)

    def release(self) -> None:
        """Let others have the directory."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # the directory may be gone
            if self._is_in_place(self._file):
                self._path.unlink()
        os.close(self._file)
        self._file = None

    def _is_in_place(self, file: int) -> bool:
        """Return whether the file that was locked is still there: its last holder removes it."""
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False

    @staticmethod
    def _sign(file: int) -> None:
        # What was typed, without what the command line adds by itself.
        typed = [word for word in sys.argv if not word.startswith("hydra.job.config.")]
        holder = {
            "process": os.getpid(),
            "host": platform.node(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(typed),
        }
        with contextlib.suppress(OSError):  # on a full disk it is held without a name
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(holder).encode(), 0)


def _taken(file: int, directory: Path) -> bool:
    """Lock an open file; True where there are no locks, which is said once."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            raise StoreError(f"{directory}{_holder(file)} {IN_USE}") from error
        if str(directory) not in _warned:
            _warned.add(str(directory))
            log.warning(
                "%s is on a file system without locks (%s): see to it yourself that no other "
                "process runs in it",
                *(directory, error.strerror),
            )
    return True


def _holder(file: int) -> str:
    """Return who signed a lock's file, in words; nothing where that may be somebody before."""
    try:
        kept = json.loads(os.pread(file, 1 << 16, 0))
        process, host = int(kept["process"]), str(kept["host"])
        if host == platform.node() and not _alive(process):
            return ""  # killed; who came after has not signed yet
        return f" (process {process} on {host}, since {kept['since']}: {kept['command']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    return True
