"""Any map-style dataset of (image, label) items, read once into memory or a file."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from activeloop.data.cache import Storage, load
from activeloop.data.chance import chance_kept, seed_chance
from activeloop.data.parts import Part, labels_of, whole_part
from activeloop.data.prepare import PoolOptions, Source, prepare
from activeloop.data.samples import NumberedKeys
from activeloop.data.validate import check_finite, class_names, numbered_classes, one_line
from activeloop.errors import ConfigError, DataError
from activeloop.types import Data, HiddenLabels


def from_dataset(
    pool: Any,
    test: Any = None,
    *,
    classes: Sequence[str] | None = None,
    name: str = "dataset",
    cache: str | Path | None = "auto",
    workers: int | str = "auto",
    memory_limit: int | str | None = None,
    **options: Any,
) -> tuple[Data, HiddenLabels]:
    """Return a data set of the items of map-style datasets, such as `torch.utils.data.Dataset`.

    Each item is read once: a random transform in the dataset is drawn once for all, by `seed` and
    the item's number. Items go into memory or, where they would take more than `memory_limit`,
    into a file from which batches are read, and which ends with the run.

    Args:
        pool: has a length and items `(image, label)`. An image is a PIL image, an array `[H, W]`
            or `[H, W, C]`, or a tensor `[H, W]` or `[C, H, W]`, uint8 or float; a vector `[D]` is
            taken too. All are of one shape and type. A label is an integer from 0.
        test: likewise, to evaluate on; None for none.
        classes: class names; None takes the dataset's attribute `classes`, if it has one, else
            calls them by their numbers.
        name: the data set's name.
        cache: folder where items are kept for later runs; a few are then read again to see
            whether they are still the same. "auto" keeps none beyond the run; None holds all in
            memory.
        workers: processes that read; "auto" takes one for each core if it takes long. Datasets
            that cannot be pickled are read by this process.
        memory_limit: bytes that items may take in memory, as in "4GiB"; None takes half of what
            is free.
        options: `PoolOptions`.

    Raises:
        ConfigError: on options that have no meaning or ask for too much.
        DataError: on items that are not as above, or not alike, or without room for them.
    """
    chosen = PoolOptions.of(options)
    storage = Storage.of(cache, workers, memory_limit)
    names = class_names(classes)
    if pool is None:
        raise ConfigError("data.pool must be a dataset, got None")
    given = {"train": pool} | ({} if test is None else {"test": test})
    items = [DatasetItems(dataset, part, chosen.seed) for part, dataset in given.items()]
    train, *tests = [_part(each, storage, sum(map(len, items))) for each in items]
    source = Source(
        name=name,
        classes=names or _own_names(pool) or numbered_classes("train", labels_of(train, "names")),
        pool=train,
        test=tests[0] if tests else None,
        augmentations=("crop", "flip") if train.x.ndim == 4 else (),
    )
    return prepare(source, chosen)


def _own_names(dataset: Any) -> tuple[str, ...] | None:
    names = getattr(dataset, "classes", None)
    return tuple(map(str, names)) if isinstance(names, list | tuple) else None


class DatasetItems:
    """The items of a dataset, to be read one by one. See `activeloop.data.reading`.

    Args:
        dataset: it has a length and items by index.
        prefix: the part of the data set that it is.
        seed: of an item's chance, with its number.

    Raises:
        DataError: on what is no such dataset, or an empty one, or if its first item is not right.
    """

    # What a dataset reads is not known here.
    volatile = True
    fatal = True

    def __init__(self, dataset: Any, prefix: str, seed: int) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            got = type(dataset).__name__
            raise DataError(f"{prefix}: a dataset must have a length and items by index, got {got}")
        if len(dataset) == 0:
            raise DataError(f"{prefix}: the dataset is empty")
        self.name = f"{type(dataset).__name__} ({prefix})"
        self._dataset, self.prefix, self._seed = dataset, prefix, seed
        with chance_kept():
            self._first = self._read(0)
        self.shape, self.dtype = self._first[0].shape, self._first[0].dtype

    def __len__(self) -> int:
        return len(self._dataset)

    def __call__(self, index: int) -> tuple[npt.NDArray[Any], int]:
        """Return an item as an array, and its label, or raise `DataError`."""
        image, label = self._read(index) if index else self._first
        if image.shape != self.shape or image.dtype != self.dtype:
            raise DataError(
                f"{self.prefix}: item {index} must be as item 0, {list(self.shape)} {self.dtype}, "
                f"got {list(image.shape)} {image.dtype}: resize or convert it in the dataset"
            )
        return image, label

    def _read(self, index: int) -> tuple[npt.NDArray[Any], int]:
        where = f"{self.prefix}: item {index}"
        seed_chance(self._seed, index)
        try:
            item = self._dataset[index]
        except Exception as error:  # whatever it raises
            kind = type(error).__name__
            raise DataError(f"{where} cannot be read ({kind}: {one_line(error)})") from error
        return _item(item, where)

    @cached_property
    def digest(self) -> str | None:
        """Digest of the dataset as it is pickled, and of the seed; None if it cannot be."""
        return _pickled_digest((self._seed, len(self), self._dataset))

    def identities(self) -> npt.NDArray[np.uint64]:
        """Return the same for all items: of what is behind them, nothing is known."""
        return np.ones(len(self), np.uint64)


def _part(items: DatasetItems, storage: Storage, together: int) -> Part:
    """Return all items, in order; memory would have to hold so many `together`."""
    everything = np.arange(len(items))
    loaded = load(items, everything, storage, together)
    check_finite(items.prefix, loaded.x)
    return whole_part(loaded.x, NumberedKeys(items.prefix, everything), loaded.labels)


def _item(item: Any, where: str) -> tuple[npt.NDArray[Any], int]:
    """Return one item as an array `[C, H, W]` or `[D]`, uint8 or float32, and its label."""
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(f"{where} must be (image, label), got {type(item).__name__}")
    image, label = item
    if isinstance(label, Tensor | np.ndarray) and label.ndim == 0:
        label = label.item()
    if not isinstance(label, Integral):
        raise DataError(f"{where} must have an integer label, got {label!r}")
    channels_last = not isinstance(image, Tensor)
    if isinstance(image, Image.Image):
        array = np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    elif isinstance(image, Tensor | np.ndarray):
        array = np.asarray(image.detach().cpu() if isinstance(image, Tensor) else image)
    else:
        got = type(image).__name__
        raise DataError(f"{where} must have a PIL image, an array or a tensor, got {got}")
    if array.ndim not in (1, 2, 3) or not (array.dtype.kind == "f" or array.dtype == np.uint8):
        got = f"{list(array.shape)} {array.dtype}"
        raise DataError(f"{where} must have an image or vector, uint8 or float, got {got}")
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and channels_last:
        array = array.transpose(2, 0, 1)
    return (array if array.dtype == np.uint8 else array.astype(np.float32)), int(label)


def _pickled_digest(value: object) -> str | None:
    """Return a digest of `value` as it is pickled, without holding that; None if it cannot be."""
    sink = _Sink()
    try:
        pickle.Pickler(sink, protocol=5).dump(value)
    except Exception:  # whatever a `__reduce__` raises
        return None
    return sink.hash.hexdigest()


class _Sink:
    def __init__(self) -> None:
        self.hash = blake2b(digest_size=16)

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return len(data)
