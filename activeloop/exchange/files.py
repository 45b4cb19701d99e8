"""Where an export is written: at once, and over nothing that is there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from activeloop.errors import ConfigError, StoreError
from activeloop.whole_files import replacing


def place(out: Path | None, directory: Path, name: str) -> Path:
    """Return the file to write: `out`, `name` in that folder, or `name` in the run's directory."""
    if out is None:
        return directory / name
    return out / name if out.is_dir() else out


def check_free(path: Path, force: bool) -> None:
    """Raise `ConfigError` if `path` is there already, unless it may be overwritten."""
    if path.is_dir():
        raise ConfigError(f"{path} is a directory: choose another file with --out")
    if path.exists() and not force:
        raise ConfigError(
            f"{path} is there already: choose another file with --out, or overwrite it with --force"
        )


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file, whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            file.writelines(lines)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> StoreError:
    """Return the error that says that `path` cannot be written, and what to do."""
    return StoreError(
        f"cannot write {path}: {error.strerror or error}; nothing was exported, choose another "
        "place with --out"
    )
