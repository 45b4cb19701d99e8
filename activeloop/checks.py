"""Checks of settings: each names the setting, what was expected and what came."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

from activeloop.errors import ConfigError


def whole(name: str, value: object, *, least: int = 0, most: int | None = None) -> int:
    """Return `value` as an `int` of at least `least` and at most `most`, or raise `ConfigError`."""
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    if (
        isinstance(value, bool)
        or not isinstance(value, Integral)
        or value < least
        or (most is not None and int(value) > most)
    ):
        raise ConfigError(f"{name} must be a whole number {bounds}, got {value!r}")
    return int(value)


def plain(value: Any) -> Any:
    """Return a whole number of any library as an `int`, a list of them too; the rest as it is."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(each) for each in value]
    return value


def bytes_of(name: str, value: object) -> int | None:
    """Return a number of bytes, or None: from one, or from text such as 512MiB, 4GiB or 4GB."""
    if value is None:
        return None
    found = re.fullmatch(r"\s*([0-9.]+)\s*([kKMGT]?)(i?)B?\s*", str(value))
    try:
        amount = float(found[1]) if found and not isinstance(value, bool) else 0.0
    except ValueError:
        amount = 0.0
    if found is None or amount <= 0:
        raise ConfigError(f"{name} must be a number of bytes such as 512MiB or 4GiB, got {value!r}")
    base = 1024 if found[3] else 1000
    return int(amount * base ** " KMGT".index(found[2].upper() or " "))


def real(
    name: str,
    value: Any,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
) -> float:
    """Return `value` as a finite `float` in `[least, most]` and over `above`, or raise."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    number = float(value) if is_number else math.nan
    if not (math.isfinite(number) and least <= number <= most and number > above):
        bounds = [f"at least {least:g}"] * (least > -math.inf) + [f"above {above:g}"] * (
            above > -math.inf
        )
        bounds += [f"at most {most:g}"] * (most < math.inf)
        expected = " ".join(["a number", " and ".join(bounds)]).strip()
        raise ConfigError(f"{name} must be {expected}, got {value!r}")
    return number


def choice(name: str, value: object, options: Iterable[str]) -> str:
    """Return `value` if it is one of `options`, or raise `ConfigError` that lists them."""
    options = list(options)
    if value not in options:
        raise ConfigError(f"{name} must be one of {', '.join(options)}, got {value!r}")
    return str(value)
