"""Settings by their dotted path, and where those of two runs differ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from activeloop.words import some


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by their dotted path."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            leaves |= flat(value, f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return leaves


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return where flat settings differ, in words; nothing where they do not."""
    told = [
        f"{name} was {_told(before, name)}, is {_told(now, name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    return some(told, 3, "; ")


def _told(settings: Mapping[str, Any], name: str) -> object:
    """Return a setting as messages name it: of a digest its first 8 digits."""
    return short_digest(settings.get(name, "not there"))


def short_digest(value: object) -> object:
    """Return the first 8 digits of a digest, and anything else as it is."""
    digest = isinstance(value, str) and re.fullmatch("([0-9a-f]{32})+", value)
    return digest[0][:8] if digest else value
