"""Answers as a file of labels made elsewhere has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

KEY_COLUMNS = ("key", "image", "filename", "file_name", "file", "path")
LABEL_COLUMNS = ("label", "choice", "class", "category")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One answer as a file has it.

    Attributes:
        place: where in the file, for messages.
        key: what it calls the sample.
        label: the class's name; "": none.
        exact: whether `key` is a sample's key as it is; else an address or a path of an image.
        skipped: whether the file says that the sample was left without a class on purpose.
        who: gave the answer, where the file says it.
        seconds: that it took, where the file says it.
    """

    place: str
    key: str
    label: str
    exact: bool
    skipped: bool = False
    who: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Columns:
    """What the user says that a file calls key and label; None: as is usual."""

    key: str | None = None
    label: str | None = None


def seconds_of(value: Any) -> float | None:
    """Return seconds as a file has them; None where they are none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < float("inf") else None
