"""The link of a page that is being served, for whoever has lost it: in a file of its owner's."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from activeloop.label.serving import write_private
from activeloop.lock import LOCK_FILE
from activeloop.whole_files import named_errors

LINK_FILE = "label.link"


@contextmanager
def link_kept(directory: Path, link: str) -> Iterator[None]:
    """Keep the link of the run's page in its directory, while this process serves it.

    Raises:
        StoreError: the directory cannot be written.
    """
    path = directory / LINK_FILE
    with named_errors(directory):
        write_private(path, json.dumps({"process": os.getpid(), "link": link}) + "\n")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the directory may be gone
            path.unlink(missing_ok=True)


def link_in(directory: Path) -> str | None:
    """Return the link of the page that the process serves which holds the run in `directory`.

    None: it serves none, or is somebody else's. What a server left that was killed is no link.
    """
    try:
        kept = json.loads((directory / LINK_FILE).read_text("utf-8"))
        holder = json.loads((directory / LOCK_FILE).read_text("utf-8"))
        return str(kept["link"]) if kept["process"] == holder["process"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
