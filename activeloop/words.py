"""Numbers of things, and many of them, in words."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, one: str, several: str = "") -> str:
    """Return so many of a thing in words; `several` where more than one is not `one` with an s."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def some(words: Sequence[str], most: int = 10, between: str = ", ") -> str:
    """Return the first `most` of `words`, and how many more there are."""
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return f"{between.join(words[:most])}{more}"
