"""Files of somebody else where a run is to begin, which it would write over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from activeloop.environment import ENVIRONMENT_FILE
from activeloop.errors import StoreError
from activeloop.messages import ERROR_FILE, shown

# What a run writes, or deletes, by these names.
_OF_RUNS = (
    *("config.yaml", ENVIRONMENT_FILE, ERROR_FILE, "curve.csv", "curve.png", "queries.csv"),
    *("model.safetensors", "embedding.safetensors", "weights_*.safetensors"),
    *("test_probs", "stop_probs"),
)
# And where people label.
_OF_PEOPLE = ("labels.csv", "label.token", "label.link", "label.html")


def check_nobodys(directory: Path, *, labelled_by_people: bool) -> None:
    """See that a run may begin in `directory`: all that it would write over is a run's.

    A run that was killed before it had a database has left its environment there, which it writes
    first; one that failed even before that, what went wrong.

    Raises:
        StoreError: something else is there. It is as it was.
    """
    if _is_environment(directory / ENVIRONMENT_FILE):
        return
    names = _OF_RUNS + (_OF_PEOPLE if labelled_by_people else ())
    for path in _there(directory, names):
        if path.name == ERROR_FILE and _is_error(path):
            continue
        raise StoreError(
            f"{shown(directory.absolute())} holds no run, and a {path.name} that is not a run's, "
            "which one would write over; expected a new or an empty directory, or that of a run: "
            f"choose another (hydra.run.dir=..., of a sweep hydra.sweep.dir=...) or move "
            f"{path.name} away"
        )


def _there(directory: Path, names: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        yield from sorted(directory.glob(name))


def _is_environment(path: Path) -> bool:
    """Return whether a file is what `activeloop.environment` writes."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    versions = found.get("versions") if isinstance(found, dict) else None
    return isinstance(versions, dict) and "activeloop" in versions


def _is_error(path: Path) -> bool:
    """Return whether a file is what a run leaves that failed: one line, and where it was."""
    try:
        return "\n\nTraceback (most recent call last):\n" in path.read_text("utf-8")
    except (OSError, ValueError):
        return False
