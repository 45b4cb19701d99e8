"""Labelled images as files: a folder a class."""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from activeloop.errors import ConfigError
from activeloop.exchange.files import unwritable
from activeloop.exchange.names import distinct, safe, safe_file
from activeloop.store import Event

# In a folder that was made here: only such a one is ever replaced. Data sets pass it over.
MARK = ".activeloop.json"

# Writes images, each to a path: by key.
Write = Callable[[Mapping[str, str]], None]


def folders(classes: Iterable[str]) -> dict[str, str]:
    """Return the name of each class's folder."""
    names = list(classes)
    return dict(zip(names, distinct([safe(name) for name in names]), strict=True))


def files(labelled: Sequence[Event], by_class: Mapping[str, str], suffix: str) -> dict[str, str]:
    """Return the path of each labelled sample's image in the exported folder, by key.

    Args:
        labelled: the labels.
        by_class: the name of each class's folder.
        suffix: of all files; "": as the keys have it.
    """
    keys: dict[str, list[str]] = {}
    for event in sorted(labelled, key=lambda event: event.key):
        keys.setdefault(str(event.label), []).append(event.key)
    paths: dict[str, str] = {}
    for label, its in keys.items():
        names = [safe(k) + suffix if suffix else safe_file(posixpath.basename(k)) for k in its]
        for key, name in zip(its, distinct(names), strict=True):
            paths[key] = f"{by_class[label]}/{name}"
    return paths


def check_place(out: Path, root: Path | None, force: bool) -> None:
    """Raise `ConfigError` unless a folder may be made at `out`, or replaced.

    Nothing but what was exported before is ever replaced, and the images of a run get no company:
    they would be other data then.
    """
    if root is not None and out.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"{out} is in the folder of the run's images: choose another with --out")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / MARK).is_file():
        raise ConfigError(
            f"{out} is there already, and was not made by export: choose another place with --out"
        )
    if not force:
        raise ConfigError(
            f"{out} is there already: choose another place with --out, or replace it with --force"
        )


def write_folder(
    out: Path, paths: Mapping[str, str], by_class: Mapping[str, str], write: Write
) -> None:
    """Make the folder `out`, whole or not at all, in the place of one that is there.

    Raises:
        StoreError: it cannot be written.
        DataError: an image cannot be read.
    """
    made: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        made.chmod(0o777 & ~_umask())
        for folder in {posixpath.dirname(path) for path in paths.values()}:
            (made / folder).mkdir()
        write({key: f"{made}/{path}" for key, path in paths.items()})
        mark = {"classes": {folder: name for name, folder in by_class.items()}}
        (made / MARK).write_text(json.dumps(mark, indent=2, ensure_ascii=False) + "\n", "utf-8")
        if out.exists():
            older = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
            out.rename(older / "older")
            made.rename(out)
            shutil.rmtree(older)
        else:
            made.rename(out)
    except OSError as error:
        raise unwritable(out, error) from error
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
