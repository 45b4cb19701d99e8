"""Images in folders: one folder a class, or a flat folder that a person will label."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import choice
from activeloop.data.cache import Storage, load
from activeloop.data.decode import ImageFiles, check_readable, image_size, named
from activeloop.data.parts import Part, split
from activeloop.data.prepare import PoolOptions, Source, prepare
from activeloop.data.stored import StoredRows
from activeloop.data.validate import class_names
from activeloop.errors import ConfigError, DataError
from activeloop.types import Data, HiddenLabels, Indices
from activeloop.words import counted

log = logging.getLogger(__name__)

SUFFIXES = (
    *(".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pbm"),
    *(".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
)
# Of photographs that are not read: to be told of, where others would be left out in silence.
_UNREAD = (
    *(".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jp2", ".jxl", ".nef"),
    *(".orf", ".raf", ".raw", ".rw2", ".svg"),
)


def image_folder(
    root: str | Path,
    *,
    classes: Sequence[str] | None = None,
    size: int | Sequence[int] = 32,
    channels: int = 3,
    test_fraction: float = 0.2,
    unreadable: str = "error",
    cache: str | Path | None = "auto",
    workers: int | str = "auto",
    memory_limit: int | str | None = None,
    **options: Any,
) -> tuple[Data, HiddenLabels]:
    """Return the images under `root`, decoded once: uint8 `[channels, H, W]`.

    Those that the options leave in the data set are decoded into memory or, where they would take
    more than `memory_limit`, into a file from which batches are read. The file is found again by
    later runs, as long as the images, their times of change and Pillow's version are the same.

    Three layouts are known, tried in this order:

    - `root/train/CLASS/...` and `root/test/CLASS/...`; `pool` may stand for `train`, and its
      images may lie flat, without labels.
    - `root/CLASS/...`, split by `test_fraction`.
    - `root/IMAGE`: no labels and no test set, for a person to label; `classes` is required.

    Inside a class, images may be in folders of any depth. Hidden files, and files that are no
    images by their suffix, are left out. A sample's key is its path under `root`.

    Args:
        root: the folder.
        classes: class names. With class folders: those to take, in this order; None takes all,
            sorted.
        size: height and width in pixels, or [height, width]; images are stretched to it.
        channels: 3 for RGB, 1 for grey.
        test_fraction: how much is the test set, stratified, where there is no folder of its own.
        unreadable: "error", or "skip" to leave broken files out with a warning; all are then
            decoded before `pool_size` is cut.
        cache: folder for decoded images, which are then kept there in any case; "auto" keeps
            those that do not fit in memory below `~/.cache`, "keep" all of them, if there is room;
            None holds all in memory.
        workers: processes that decode; "auto" takes one for each core if it takes long.
        memory_limit: bytes that decoded images may take in memory, as in "4GiB"; None takes half
            of what is free.
        options: `PoolOptions`.

    Raises:
        ConfigError: on options that have no meaning or ask for too much.
        DataError: if the folder is missing or empty, or its layout or files cannot be read, or
            there is no room for the decoded ones.
    """
    chosen = PoolOptions.of(options)
    storage = Storage.of(cache, workers, memory_limit)
    names = class_names(classes)
    if channels not in (1, 3):
        raise ConfigError(f"data.channels must be 1 for grey or 3 for RGB, got {channels!r}")
    choice("data.unreadable", unreadable, ("error", "skip"))
    folder, extent = Path(root).expanduser(), image_size(size)
    pool_name, test_name = _layout(folder)
    listings = [_scan(folder, name) for name in (pool_name, test_name) if name is not None]
    found = [_with_names_of_text(listing, unreadable) for listing in listings]
    names = names or next((listing.classes for listing in found if listing.classes), None)
    if names is None:
        raise ConfigError(
            f"{folder} has images but no class folders: name the classes, as in "
            "'data.classes=[cat,dog]'"
        )
    _check_names(found[0], names, found[1:] if classes is None else [])
    # Of all classes, so that another choice of them finds what is decoded already.
    items = ImageFiles(folder, [file for each in found for file in each.files], extent, channels)
    shape = (len(items), channels, *extent)
    x: Tensor | StoredRows = torch.empty(shape, dtype=torch.uint8, device="meta")
    parts = _parts(x, found, names)

    def read(rows: Indices, copies: int) -> tuple[Tensor | StoredRows, Indices]:
        loaded = load(items, rows, storage, copies)
        check_readable(items, len(rows), loaded.faults, unreadable)
        return loaded.x, loaded.places

    if unreadable == "skip":
        parts = _readable(parts, items, storage)
    if test_name is not None:
        pool, test = parts[0], parts[1]
    elif parts[0].labels is None:
        pool, test = parts[0], None
    else:
        pool, test = split(parts[0], test_fraction, chosen.rng("test"))
    natural = ("crop", "flip")
    source = Source(
        name=folder.resolve().name,
        root=folder.resolve(),
        classes=names,
        pool=pool,
        test=test,
        augmentations=natural,
        read=None if unreadable == "skip" else read,
    )
    return prepare(source, chosen)


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """Image files of a folder, as sorted paths under the root: by class, or flat."""

    folder: Path
    by_class: dict[str, list[str]]
    flat: list[str]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.by_class)

    @property
    def files(self) -> list[str]:
        return self.flat or [file for files in self.by_class.values() for file in files]


def _with_names_of_text(listing: _Listing, unreadable: str) -> _Listing:
    """Return the files whose paths can be keys; raise `DataError` if the others must not be left.

    A disk takes any bytes as a name, and keys are text.
    """
    bad = [file for file in listing.files if not _is_text(file)]
    shown = [os.fsencode(file).decode(errors="backslashreplace") for file in bad]
    if bad and (unreadable == "error" or len(bad) == len(listing.files)):
        said = f"{len(bad)} of {len(listing.files)} images have names"
        raise DataError(
            f"{said if len(bad) > 1 else 'an image has a name'} that cannot be read as UTF-8: "
            f"{named(shown)}; rename what is named so, or leave it out with data.unreadable=skip"
        )
    for name in shown:
        log.warning("left out, its name cannot be read as UTF-8: %s", name)
    return _Listing(
        folder=listing.folder,
        by_class={
            name: kept
            for name, files in listing.by_class.items()
            if (kept := [file for file in files if _is_text(file)])
        },
        flat=[file for file in listing.flat if _is_text(file)],
    )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_names(pool: _Listing, names: tuple[str, ...], tests: list[_Listing]) -> None:
    """Raise `DataError` if the pool lacks a class of `names`, or `tests` have one more."""
    absent = [name for name in names if pool.classes and name not in pool.by_class]
    if absent:
        raise DataError(
            f"{pool.folder} has no folder of images for class {absent[0]!r}: its classes are "
            f"{', '.join(pool.classes)}"
        )
    for test in tests:
        extra = [name for name in test.classes if name not in names]
        if extra:
            raise DataError(
                f"{test.folder} has class {extra[0]!r}, which {pool.folder} has not: add it "
                "there, or name the classes to take in data.classes"
            )


def _layout(root: Path) -> tuple[str, str | None]:
    """Return the folders under `root` of pool and test set: ("", None) if there are none such."""
    if not root.is_dir():
        raise DataError(f"no folder {root.resolve()}: set data.root to the folder of images")
    trains = [name for name in ("train", "pool") if (root / name).is_dir()]
    if len(trains) == 2:
        raise DataError(f"{root} has both 'train' and 'pool': remove one")
    if trains and (root / "test").is_dir():
        return trains[0], "test"
    if trains and any(child.is_dir() for child in (root / trains[0]).iterdir()):
        raise DataError(
            f"{root} has {trains[0]!r} but no 'test': add it, or set data.root="
            f"{root / trains[0]} to split that"
        )
    return "", None


def _scan(root: Path, name: str) -> _Listing:
    """List the images of `root/name`."""
    folder = root / name
    flat: list[str] = []
    by_class: dict[str, list[str]] = {}
    unread: list[str] = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            by_class[entry.name] = images_below(root, entry)
        elif _is_image(entry.name):
            flat.append(entry.relative_to(root).as_posix())
        else:
            unread.append(entry.name)
    _warn_of_unread(folder, unread)
    for empty in [name for name, files in by_class.items() if not files]:
        log.warning("%s has no images: not taken for a class", folder / empty)
        del by_class[empty]
    if not flat and not by_class:
        raise DataError(
            f"no images in {folder.resolve()}, or in folders below it (looked for "
            f"{' '.join(SUFFIXES)})"
        )
    if flat and by_class:
        raise DataError(
            f"{folder} has images both directly ({flat[0]}) and in folders "
            f"({next(iter(by_class))}): put all in class folders, or none"
        )
    return _Listing(folder=folder, by_class=by_class, flat=flat)


def images_below(root: Path, folder: Path) -> list[str]:
    """Return the images in `folder` and below it, as sorted paths under `root`."""
    found: list[str] = []
    unread: list[str] = []
    # Links are followed: data sets are often put together of them.
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_not_listed):
        folders[:] = [
            name for name in folders if not name.startswith(".") and not _leads_up(place, name)
        ]
        # A `Path` for each of a million files would take many times as long.
        below = Path(place).relative_to(root).as_posix()
        start = "" if below == "." else f"{below}/"
        found += [f"{start}{name}" for name in files if _is_image(name)]
        unread += [name for name in files if name.lower().endswith(_UNREAD)]
    _warn_of_unread(folder, unread)
    return sorted(found)


def _warn_of_unread(folder: Path, names: Sequence[str]) -> None:
    """Say how many files with these `names`, by suffix, are photographs that are not read."""
    suffixes = Counter(
        Path(name).suffix.lower()
        for name in names
        if name.lower().endswith(_UNREAD) and not name.startswith(".")
    )
    for suffix, count in sorted(suffixes.items()):
        log.warning(
            "%s: %s with %s left out: convert to .jpg what is to be taken",
            *(folder, counted(count, "file"), suffix),
        )


def _leads_up(place: str, name: str) -> bool:
    """Return whether `name` is a link to a folder that it is in, which has been gone through."""
    path, here = Path(place, name), Path(place).resolve()
    return path.is_symlink() and path.resolve() in (here, *here.parents)


def _not_listed(error: OSError) -> None:
    log.warning("cannot look into %s (%s): its images are left out", error.filename, error.strerror)


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _parts(
    x: Tensor | StoredRows, listings: Sequence[_Listing], names: tuple[str, ...]
) -> list[Part]:
    """Return the files of `names` in each listing, as rows of `x`, that has those of all."""
    parts, start = [], 0
    for listing in listings:
        at = {file: start + place for place, file in enumerate(listing.files)}
        start += len(at)
        by_class = [listing.by_class.get(name, []) for name in names]
        keys = listing.flat or [file for files in by_class for file in files]
        labels = np.repeat(np.arange(len(names)), [len(files) for files in by_class])
        rows = np.array([at[file] for file in keys], np.int64)
        parts.append(Part(x=x, rows=rows, keys=keys, labels=None if listing.flat else labels))
    return parts


def _readable(parts: Sequence[Part], items: ImageFiles, storage: Storage) -> list[Part]:
    """Return `parts` read, without what cannot be read, with a warning for each such file."""
    rows = np.unique(np.concatenate([part.rows for part in parts]))
    loaded = load(items, rows, storage)
    bad = np.array(list(loaded.faults), np.int64)
    for part in parts:
        faults = {row: loaded.faults[row] for row in part.rows.tolist() if row in loaded.faults}
        check_readable(items, len(part), faults, "skip")
    return [
        part.take(np.flatnonzero(~np.isin(part.rows, bad))).stored_in(loaded.x, rows, loaded.places)
        for part in parts
    ]
