"""The log beside a run: what went on is written there, and no harm is done where it cannot be."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOG_FILE = "activeloop.log"

# Lines that the console has from elsewhere, and packages that announce at length what they load.
_ONLY_TO_FILE = "activeloop.run"
_QUIET = ("faiss", "matplotlib")


class LogFile(logging.FileHandler):
    """Appends to a file; a disk that is full, or was taken away, is said once and ends nothing."""

    _failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # logging's name
        """Say once that lines are missing."""
        if not self._failed:
            self._failed = True
            error = sys.exc_info()[1]
            print(f"warning: {self.baseFilename} cannot be written: {error}", file=sys.stderr)

    def close(self) -> None:
        """Close the file; what it did not take is lost."""
        with contextlib.suppress(OSError):
            super().close()


@contextmanager
def logging_to(directory: Path) -> Iterator[None]:
    """Have all that is logged go to the console and to the log in `directory`, as Hydra has it."""
    form = logging.Formatter("%(levelname)s: %(message)s")
    console, file = logging.StreamHandler(sys.stdout), LogFile(directory / LOG_FILE, delay=True)
    root, to_file = logging.getLogger(), logging.getLogger(_ONLY_TO_FILE)
    before = root.level, to_file.propagate
    root.setLevel(logging.INFO)
    to_file.propagate = False
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for handler in (console, file):
        handler.setFormatter(form)
        root.addHandler(handler)
    to_file.addHandler(file)
    try:
        yield
    finally:
        for handler in (console, file):
            root.removeHandler(handler)
        to_file.removeHandler(file)
        root.setLevel(before[0])
        to_file.propagate = before[1]
        file.close()
