"""Checks of what was read: each error names the thing, what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.data.samples import blocks
from activeloop.data.stored import StoredRows
from activeloop.errors import ConfigError, DataError
from activeloop.types import Labels


def one_line(error: Exception) -> str:
    """Return what an error says, on one line; its class where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def class_names(classes: Any) -> tuple[str, ...] | None:
    """Return the option `classes` as names, None if it is None, or raise `ConfigError`."""
    if classes is None:
        return None
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not classes:
        raise ConfigError(
            f"data.classes must be a list such as 'data.classes=[cat,dog]', got {classes!r}"
        )
    names = tuple(str(name) for name in classes)
    if blank := [name for name in names if not name.strip()]:
        raise ConfigError(f"data.classes must be names, got {blank[0]!r} among {list(names)}")
    return names


def numbered_classes(name: str, labels: Labels) -> tuple[str, ...]:
    """Return "0", "1", ... up to the largest of `labels` `[n]`, or raise `DataError`."""
    most = int(labels.max(initial=-1))
    if most >= len(labels) > 0:
        raise DataError(
            f"{name}: {len(labels)} labels must be positions in the class names, from 0, got {most}"
        )
    return tuple(str(label) for label in range(most + 1))


def check_classes(classes: Sequence[str]) -> None:
    """Raise `ConfigError` unless there are at least two class names, all different."""
    if len(classes) < 2:
        raise ConfigError(f"data.classes must be at least two names, got {list(classes)}")
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise ConfigError(f"data.classes must all be different, got {twice[0]!r} more than once")


def check_labels(name: str, labels: Labels, classes: Sequence[str]) -> None:
    """Raise `DataError` unless every label is a position in `classes`."""
    wrong = labels[(labels < 0) | (labels >= len(classes))]
    if wrong.size:
        raise DataError(
            f"{name}: labels must be in 0..{len(classes) - 1} for {len(classes)} classes, got "
            f"{wrong[0]}"
        )


def check_classes_present(labels: Labels | None, classes: Sequence[str]) -> None:
    """Raise `DataError` if a class has no sample left in the pool; labels None are not checked."""
    if labels is None:
        return
    counts = np.bincount(labels, minlength=len(classes))
    empty = [repr(classes[c]) for c in np.flatnonzero(counts == 0).tolist()]
    if empty:
        names = ", ".join(empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
        raise DataError(
            f"no sample in the pool of {len(labels)} for class {names}: add samples, take the "
            "class out of the data, raise data.pool_size, or lower data.imbalance"
        )


def integer_labels(name: str, labels: npt.NDArray[Any], n: int) -> Labels:
    """Return labels `[n]` as int64, or raise `DataError`: whole floats and strings are refused."""
    if labels.ndim != 1 or len(labels) != n:
        raise DataError(f"{name} must be {n} labels, one a sample, got shape {list(labels.shape)}")
    if labels.dtype.kind not in "iu":
        hint = f": convert them with {name}.astype(int)" if labels.dtype.kind in "fb" else ""
        raise DataError(
            f"{name} must be integers, positions in the class names, got labels that are not "
            f"integers ({labels.dtype}){hint}"
        )
    return labels.astype(np.int64)


def check_finite(name: str, x: Tensor | StoredRows) -> None:
    """Raise `DataError` if a value of `x` `[n, ...]` is NaN or infinite."""
    start = 0
    for part in blocks(x) if x.dtype.is_floating_point else ():
        bad = ~torch.isfinite(part).flatten(1).all(1)
        if bad.any():
            first = start + int(bad.nonzero()[0])
            raise DataError(
                f"{name} has NaN or infinite values, first in sample {first} of {len(x)}: "
                "remove or replace them"
            )
        start += len(part)
