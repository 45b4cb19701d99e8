"""Where a run's data lie: the settings that it kept, with paths from here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from activeloop.errors import DataError
from activeloop.report.runs import Run

# Settings of data sets and embeddings that name a file or folder.
_PATHS = ("root", "path", "x", "y", "test_x", "test_y", "pool", "test", "validation")
# Settings that name one or something else.
_PERHAPS = ("weights",)
# The data set whose samples are files.
IMAGE_FOLDER = "activeloop.data.image_folder"


def image_root(run: Run) -> Path | None:
    """Return the folder in which the keys of a run's pool are paths of image files.

    None where its samples are no files. Nothing is read, so that they may be other files by now.

    Raises:
        DataError: the run kept no config of its data.
    """
    settings = data_settings(run)
    if settings["_target_"] != IMAGE_FOLDER or settings.get("repeat", 1) != 1:
        return None
    return from_here(settings["root"], run)


def data_settings(run: Run) -> Mapping[str, Any]:
    """Return the settings that a run kept of its data.

    Raises:
        DataError: it kept none.
    """
    settings = run.identity.get("config", {}).get("data")
    if not isinstance(settings, Mapping) or "_target_" not in settings:
        raise DataError(
            "it was not started from the command line, and kept no settings of its data"
        )
    return settings


def found(node: Any, run: Run) -> Any:
    """Return settings in which relative paths lead to where the run found its files."""
    if isinstance(node, list):
        return [found(each, run) for each in node]
    if not isinstance(node, Mapping):
        return node
    return {
        name: _path(name, value, run) if isinstance(value, str) else found(value, run)
        for name, value in node.items()
    }


def _path(name: str, value: str, run: Run) -> str:
    if name not in (*_PATHS, *_PERHAPS):
        return value
    path = from_here(value, run)
    return value if name in _PERHAPS and not path.is_file() else str(path)


def from_here(path: str, run: Run) -> Path:
    """Return a path of the run's as one from here."""
    started_in = run.environment.get("working_directory")
    there = Path(started_in or ".") / Path(path).expanduser()
    return there if there.exists() else Path(path).expanduser()
