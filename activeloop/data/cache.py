"""Items read once: into memory if they fit, else into a file that later runs find again."""

from __future__ import annotations

import errno
import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from activeloop.checks import bytes_of
from activeloop.config import cache_dir
from activeloop.data.kept import Kept, NoRoomError, succeed
from activeloop.data.reading import Items, item_bytes, read_items, worker_count
from activeloop.data.samples import blocks
from activeloop.data.stored import StoredRows
from activeloop.errors import ConfigError
from activeloop.memory import default_limit, readable
from activeloop.types import Indices, Labels

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Where items go as they are read.

    Attributes:
        folder: where files are kept.
        asked: whether the user named the folder.
        always: whether items go there in any case.
        streams: whether items that do not fit in memory may be in a file.
        workers: processes that read.
        limit: bytes that may be held in memory.
    """

    folder: Path
    asked: bool
    always: bool
    streams: bool
    workers: int
    limit: int

    @classmethod
    def of(cls, cache: object, workers: object, memory_limit: object) -> Storage:
        """Return what the options mean, or raise `ConfigError`."""
        if cache is not None and not (isinstance(cache, str | Path) and str(cache)):
            raise ConfigError(f"data.cache must be auto, keep, a folder or null, got {cache!r}")
        asked = cache not in (None, "auto", "keep")
        limit = bytes_of("memory_limit", memory_limit)
        return cls(
            folder=Path(str(cache)).expanduser() if asked else cache_dir() / "images",
            asked=asked,
            always=asked or cache == "keep",
            streams=cache is not None,
            workers=worker_count(workers),
            limit=default_limit() if limit is None else limit,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """Items that were read.

    Attributes:
        x: in memory or in a file, `[m, *shape]`.
        places: where in `x` each of them is, `[n]`.
        labels: `[n]`.
        faults: for those that cannot be read, by number, why; their place means nothing.
    """

    x: Tensor | StoredRows
    places: Indices
    labels: Labels
    faults: dict[int, str]


def load(items: Items, rows: Indices, storage: Storage, copies: int | None = None) -> Loaded:
    """Read `rows` `[n]` of `items`, ascending, or find them where they were kept.

    Args:
        items: what is read.
        rows: numbers of those that are wanted.
        storage: where they go.
        copies: how many rows memory would have to hold; None: `n`.

    Raises:
        ConfigError: the folder that the user named cannot be written.
        DataError: there is no room for the file, or a worker ended.
    """
    size = item_bytes(items) * (len(rows) if copies is None else copies)
    fits = size <= storage.limit or not storage.streams
    if fits and not storage.always:
        return _in_memory(items, rows, storage.workers)
    kept = _open(items, rows, storage)
    try:
        faults = kept.fill(items, rows, storage.workers)
    except NoRoomError as error:
        if storage.asked or not fits:
            raise
        log.warning("%s: read anew each run, for %s", items.name, error)
        return _in_memory(items, rows, storage.workers)
    labels = kept.records["label"][rows]
    stored = kept.pixels.rows(storage.limit)
    if not fits:
        log.info("%s: %s, read from a file as needed", items.name, readable(size))
        return Loaded(x=stored, places=rows, labels=labels, faults=faults)
    x = torch.empty((len(rows), *items.shape), dtype=stored.dtype)
    at = 0
    for block in blocks(stored, rows):
        x[at : at + len(block)] = block
        at += len(block)
    return Loaded(x=x, places=np.arange(len(rows)), labels=labels, faults=faults)


def _in_memory(items: Items, rows: Indices, workers: int) -> Loaded:
    x = np.empty((len(rows), *items.shape), items.dtype)
    labels = np.zeros(len(rows), np.int64)
    faults: dict[int, str] = {}
    for chunk in read_items(items, rows, workers):
        places = np.searchsorted(rows, chunk.rows)
        x[places], labels[places] = chunk.values, chunk.labels
        faults |= chunk.faults
    places = np.arange(len(rows))
    return Loaded(x=torch.from_numpy(x), places=places, labels=labels, faults=faults)


def _made(folder: Path) -> Path | None:
    """Return `folder`, which is on a disk where the system's own may be in memory; None if not."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return folder if os.access(folder, os.W_OK) else None
    return None


def _open(items: Items, rows: Indices, storage: Storage) -> Kept:
    """Return the file of `items`: a lasting one, or one that ends with what is read from it."""
    identities = items.identities()
    if items.volatile and (not storage.always or items.digest is None):
        if storage.always:
            log.warning("%s cannot be pickled, so that data.cache cannot keep it", items.name)
        return Kept(items, identities, None, unnamed_in=_made(storage.folder))
    assert items.digest is not None
    plain = re.sub(r"[^\w.-]+", "_", items.name)[:60]
    shape = "x".join(map(str, items.shape))
    folder = storage.folder / f"{plain}-{shape}-{items.digest[:12]}"
    name = blake2b(identities.tobytes(), digest_size=8).hexdigest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept = Kept(items, identities, folder, name)
        if not kept.writable and len(kept.missing(rows)):
            raise PermissionError(errno.EACCES, "not all is there, and it cannot be written")
    except OSError as error:
        reason = error.strerror or str(error)
        if storage.asked:
            raise ConfigError(
                f"data.cache={storage.folder} cannot be used ({reason}): name a folder that can be "
                "written"
            ) from error
        log.warning("cannot keep %s in %s (%s): read anew each run", items.name, folder, reason)
        return Kept(items, identities, None)
    succeed(kept, folder, name)
    if items.volatile:
        kept.verify(items)
    return kept
