"""What went wrong, as it is said to people at the page: they have no command to run again."""

from __future__ import annotations

from activeloop.errors import DiskError
from activeloop.messages import one_line


def told(error: BaseException, then: str = "the server goes on by itself") -> str:
    """Return an error's message in one line; `then`: what follows once a disk is mended."""
    if isinstance(error, DiskError):
        return f"{error.what}; once that is mended {then}, and nothing need be started again"
    return one_line(error)
