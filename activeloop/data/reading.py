"""Items read one by one: in this process while that is quick, by worker processes after that."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import Progress as Bar
from torch.utils.data import DataLoader, Dataset

from activeloop.checks import whole
from activeloop.data.chance import chance_kept
from activeloop.data.validate import one_line
from activeloop.errors import DataError
from activeloop.progress import duration
from activeloop.types import Indices, Labels

log = logging.getLogger(__name__)

ALONE = 0.5  # seconds in this process before workers are worth their start
CHUNK_BYTES, CHUNK_ROWS = 1 << 20, 256  # most that a worker hands over at once
MOST_WORKERS = 16
QUIET = 30.0  # seconds between lines about progress where there is no terminal

Array = npt.NDArray[Any]


class Items(Protocol):
    """What is read by number, from 0 on.

    Attributes:
        name: what they are called in messages, and in the names of files.
        volatile: whether an item may change without another identity.
        fatal: whether one that cannot be read is the end.
    """

    name: str
    volatile: bool
    fatal: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its numbers."""

    def __len__(self) -> int: ...

    def __call__(self, index: int) -> tuple[Array, int]:
        """Return an item as an array of `shape` and `dtype`, and its label; may raise anything."""

    @property
    def digest(self) -> str | None:
        """Digest of what is read, and how; None if that cannot be said, or not be sent elsewhere.

        Files that are read are not in it, but their `identities`.
        """

    def identities(self) -> npt.NDArray[np.uint64]:
        """Return for each item `[n]` a number above 0 that changes when the item does."""


def item_bytes(items: Items) -> int:
    """Return the bytes of one item."""
    return max(1, int(np.prod(items.shape)) * items.dtype.itemsize)


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Some items as they were read.

    Attributes:
        rows: numbers of those that could be read, `[k]`.
        values: `[k, *shape]`.
        labels: `[k]`.
        faults: for the others, by number, why not.
    """

    rows: Indices
    values: Array
    labels: Labels
    faults: dict[int, str]


def worker_count(workers: object) -> int:
    """Return the option `data.workers` as a number of processes; 0 is none beside this one.

    "auto" is one for each core, where processes can be forked. It is none where that would break:
    once a GPU is in use, or in a process that may have no children.
    """
    if workers != "auto":
        return whole("data.workers", workers)
    forks = multiprocessing.get_context().get_start_method() == "fork"
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    if not forks or in_use or multiprocessing.current_process().daemon:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores, MOST_WORKERS) if cores and cores > 1 else 0


def read_items(items: Items, rows: Indices, workers: int) -> Iterator[Chunk]:
    """Read the items `rows` in their order, and show how it goes.

    Raises:
        DataError: a worker ended, or an item cannot be read and that is fatal.
    """
    with _shown(f"reading {items.name}", len(rows)) as advance:
        for chunk in _chunks(items, rows, workers):
            if chunk.faults and items.fatal:
                raise DataError(next(iter(chunk.faults.values())))
            yield chunk
            advance(len(chunk.rows) + len(chunk.faults))


def _chunks(items: Items, rows: Indices, workers: int) -> Iterator[Chunk]:
    chunks = _Chunks(items, rows)
    start, done = time.monotonic(), 0
    while done < len(chunks) and (workers == 0 or time.monotonic() - start < ALONE):
        yield chunks[done]
        done += 1
    if done == len(chunks):
        return
    if items.digest is None:
        # What cannot be pickled may hold an open file, which two processes must not share.
        log.warning(
            "%s cannot be pickled, so that no workers can help: define it at the top of a module, "
            "and have it open its files in __getitem__; or set data.workers=0",
            items.name,
        )
        workers = 0
    loader = DataLoader(
        torch.utils.data.Subset(chunks, range(done, len(chunks))),
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,  # type: ignore[arg-type]  # of one sample, without a batch size
        generator=torch.Generator(),  # workers' seeds would be drawn from the global one
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataError(
            f"a worker that read {items.name} ended ({one_line(error)}): if memory was short, set "
            "data.workers=0"
        ) from error


class _Chunks(Dataset[Chunk]):
    """Items in chunks, by the chunk's number."""

    def __init__(self, items: Items, rows: Indices) -> None:
        self._items, self._rows = items, rows
        self._size = max(1, min(CHUNK_ROWS, CHUNK_BYTES // item_bytes(items)))

    def __len__(self) -> int:
        return -(-len(self._rows) // self._size)

    def __getitem__(self, number: int) -> Chunk:
        chosen = self._rows[number * self._size : (number + 1) * self._size]
        values = np.empty((len(chosen), *self._items.shape), self._items.dtype)
        labels = np.empty(len(chosen), np.int64)
        faults: dict[int, str] = {}
        with chance_kept():
            for place, row in enumerate(chosen.tolist()):
                try:
                    values[place], labels[place] = self._items(row)
                except Exception as error:  # decoders and datasets raise what they like
                    faults[row] = one_line(error)
        good = ~np.isin(chosen, list(faults))
        return Chunk(rows=chosen[good], values=values[good], labels=labels[good], faults=faults)


def _as_it_is(chunk: Chunk) -> Chunk:
    """Keep arrays as they are: tensors would pass through shared memory, often scarce."""
    return chunk


@contextmanager
def _shown(what: str, total: int) -> Iterator[Any]:
    """Give a function that is told of items as they are read: a bar, or lines in the log."""
    console = Console(stderr=True)
    start = spoke = time.monotonic()
    done = 0
    bar = Bar(console=console, disable=not console.is_terminal, transient=True)
    task = bar.add_task(what, total=total)

    def advance(count: int) -> None:
        nonlocal done, spoke
        done += count
        bar.advance(task, count)
        now = time.monotonic()
        if now - spoke > QUIET and not console.is_terminal:
            spoke = now
            left = duration((now - start) / done * (total - done))
            log.info("%s: %d of %d, about %s left", what, done, total, left)

    with bar:
        yield advance
