"""Opening the page in a browser, without telling the link to others on this machine."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from activeloop.label.serving import write_private
from activeloop.whole_files import named_errors

# In the directory of the run while the page is served: it leads the browser to the link.
OPENING_FILE = "label.html"


@contextmanager
def opened(directory: Path, link: str, *, browser: bool) -> Iterator[None]:
    """Open the page in a browser, where one is wanted and there is a screen.

    By a file that nobody else may read: other users of this machine see the words of each
    command, and the link would be one.
    """
    path = directory / OPENING_FILE
    # A server that was killed left its own, with the token and a port that may be another's now.
    with named_errors(directory):
        path.unlink(missing_ok=True)
    try:
        if browser and _has_display():
            with named_errors(directory):
                write_private(
                    path,
                    '<!doctype html><meta charset="utf-8"><title>activeloop</title>'
                    f'<meta http-equiv="refresh" content="0;url={link}">\n',
                )
            Thread(target=webbrowser.open, args=(path.absolute().as_uri(),), daemon=True).start()
        yield
    finally:
        path.unlink(missing_ok=True)


def _has_display() -> bool:
    """Return whether there is a screen: without one, a browser in the terminal would open."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
