"""Names of files and folders that are safe on any system, and distinct."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

# Windows knows these as devices, in whatever folder and with whatever suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_LONGEST = 100  # characters of four bytes fit in the 255 bytes of a name only up to 63, of most


def safe(name: str) -> str:
    """Return a name for a file or folder: no path, not hidden, and allowed on any system."""
    text = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f]', "_", name).strip(" ")
    text = re.sub(r"^\.|\.+$", "_", text)
    if _DEVICES.match(text):
        text = f"_{text}"
    while len(text.encode("utf-8", "replace")) > _LONGEST * 2 or len(text) > _LONGEST:
        text = text[: len(text) - 1]
    return text or "_"


def safe_file(name: str) -> str:
    """Return what `safe` does for the name of a file, whose suffix is kept."""
    stem, suffix = posixpath.splitext(name)
    if suffix == ".":  # not the name of any kind of file
        stem, suffix = name, ""
    return safe(stem) + re.sub(r"[^.\w]", "_", suffix)


def distinct(names: Sequence[str]) -> list[str]:
    """Return names of which no two are the same, whatever their case: `a`, `A-2`, `b`.

    Names that are distinct already are kept, and so are those that come first.
    """
    taken = {name.casefold() for name in names}
    seen: set[str] = set()
    found = []
    for name in names:
        if name.casefold() in seen:
            name = next(n for n in _numbered(name) if n.casefold() not in taken)
            taken.add(name.casefold())
        seen.add(name.casefold())
        found.append(name)
    return found


def _numbered(name: str) -> Iterable[str]:
    path = PurePosixPath(name)
    number = 2
    while True:
        yield f"{path.stem}-{number}{path.suffix}"
        number += 1
