"""Read the next batch while this one is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from activeloop.types import Indices, Samples

T = TypeVar("T")
DEPTH = 2  # batches that wait; more would only take memory


def raw_batches(
    samples: Samples, indices: Indices, batch_size: int, device: torch.device
) -> Iterator[Tensor]:
    """Yield `samples.raw` of `indices` on `device`, `batch_size` at a time, in their order.

    Where the samples say that it pays (a method `streams(device)` that returns True), a thread
    reads ahead, and on a GPU moves batches on a stream of its own. Other samples are read here.
    """
    parts = (indices[at : at + batch_size] for at in range(0, len(indices), batch_size))
    streams: Callable[[torch.device], bool] | None = getattr(samples, "streams", None)
    if len(indices) <= batch_size or streams is None or not streams(device):
        return (samples.raw(part, device) for part in parts)
    if device.type != "cuda":
        return ahead(samples.raw(part, device) for part in parts)
    return _moved(samples, parts, device)


def _moved(samples: Samples, parts: Iterator[Indices], device: torch.device) -> Iterator[Tensor]:
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def move() -> Iterator[tuple[Tensor, torch.cuda.Event]]:
        for part in parts:
            # What is yielded is yielded outside: another thread may be the one that ends this.
            with torch.cuda.stream(stream):
                item = samples.raw(part, device), stream.record_event()
            yield item

    for batch, arrived in ahead(move()):
        here = torch.cuda.current_stream(device)
        here.wait_event(arrived)
        batch.record_stream(here)  # or the memory could be written anew while it is in use
        yield batch


def ahead(source: Iterator[T], depth: int = DEPTH) -> Iterator[T]:
    """Yield what `source` yields, which a thread runs up to `depth` items in advance.

    An error of the source is raised here, in its place. The thread ends with this iterator.
    """
    items: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: str, value: T | BaseException | None) -> None:
        while not stop.is_set():
            try:
                return items.put((kind, value), timeout=0.1)
            except queue.Full:
                continue

    def run() -> None:
        try:
            for item in source:
                put("item", item)
                if stop.is_set():
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=run, daemon=True, name="activeloop-ahead")
    thread.start()
    try:
        while True:
            kind, value = items.get()
            if kind == "error":
                raise value  # type: ignore[misc]  # an error, as its kind says
            if kind == "end":
                return
            yield value  # type: ignore[misc]  # an item
    finally:
        stop.set()
        thread.join()
