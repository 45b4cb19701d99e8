"""Who has which sample, in a file: a server that was killed and started again still knows it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from activeloop.label.cards import Why
from activeloop.messages import one_line

log = logging.getLogger(__name__)

LEASES_FILE = "label.held"


class Leases:
    """What people had when it was last said, and why, by name and key.

    The file is not forced to the disk: it is there when the program is killed, and after a power
    cut the pages ask anew, as any that was left alone does.

    Args:
        directory: of the run; None: nothing is kept.
    """

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / LEASES_FILE
        self._kept: Mapping[str, Mapping[str, Why]] = {}

    def read(self) -> dict[str, dict[str, Why]]:
        """Return what each person had; nothing where the file is damaged."""
        if self._path is None:
            return {}
        try:
            kept = json.loads(self._path.read_text("utf-8"))
            found = {w: {k: Why(**why) for k, why in had.items()} for w, had in kept.items()}
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):
            return {}
        self._kept = found
        return found

    def keep(self, held: Mapping[str, Mapping[str, Why]]) -> None:
        """Have the file say who has what."""
        if self._path is None or held == self._kept:
            return
        beside = self._path.with_name(self._path.name + ".new")
        try:
            text = json.dumps(
                {w: {k: asdict(y) for k, y in had.items()} for w, had in held.items()}
            )
            beside.write_text(text, "utf-8")  # in ASCII: a key may be half a character
            beside.replace(self._path)
        except OSError as error:
            # People can go on: at worst two get one image, and the second is told so.
            log.warning("%s was not written: %s", self._path.name, one_line(error))
        else:
            self._kept = held
