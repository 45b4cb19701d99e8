"""Numbers of things, in words."""

from __future__ import annotations


def counted(number: int, one: str, several: str = "") -> str:
    """Return so many of a thing in words; `several` where more than one is not `one` with an s."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"
