"""Any map-style dataset of (image, label) items, read once into memory."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from activeloop.data.parts import Part, labels_of, whole_part
from activeloop.data.prepare import PoolOptions, Source, prepare
from activeloop.data.samples import NumberedKeys
from activeloop.data.validate import check_finite, class_names, numbered_classes
from activeloop.errors import ConfigError, DataError
from activeloop.types import Data, HiddenLabels


def from_dataset(
    pool: Any,
    test: Any = None,
    *,
    classes: Sequence[str] | None = None,
    name: str = "dataset",
    **options: Any,
) -> tuple[Data, HiddenLabels]:
    """Return a data set of the items of map-style datasets, such as `torch.utils.data.Dataset`.

    Each item is read once: a random transform in the dataset is drawn once for all.

    Args:
        pool: has a length and items `(image, label)`. An image is a PIL image, an array `[H, W]`
            or `[H, W, C]`, or a tensor `[H, W]` or `[C, H, W]`, uint8 or float; a vector `[D]` is
            taken too. All are of one shape and type. A label is an integer from 0.
        test: likewise, to evaluate on; None for none.
        classes: class names; None takes the dataset's attribute `classes`, if it has one, else
            calls them by their numbers.
        name: the data set's name.
        options: `PoolOptions`.

    Raises:
        ConfigError: on options that have no meaning or ask for too much.
        DataError: on items that are not as above, or not alike.
    """
    chosen = PoolOptions.of(options)
    names = class_names(classes)
    if pool is None:
        raise ConfigError("data.pool must be a dataset, got None")
    train = _read(pool, "train")
    source = Source(
        name=name,
        classes=names or _own_names(pool) or numbered_classes("train", labels_of(train, "names")),
        pool=train,
        test=None if test is None else _read(test, "test"),
        augmentations=("crop", "flip") if train.x.ndim == 4 else (),
    )
    return prepare(source, chosen)


def _own_names(dataset: Any) -> tuple[str, ...] | None:
    names = getattr(dataset, "classes", None)
    return tuple(map(str, names)) if isinstance(names, list | tuple) else None


def _read(dataset: Any, prefix: str) -> Part:
    """Return all items of a dataset, in order."""
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        got = type(dataset).__name__
        raise DataError(f"{prefix}: a dataset must have a length and items by index, got {got}")
    if len(dataset) == 0:
        raise DataError(f"{prefix}: the dataset is empty")
    labels = np.empty(len(dataset), np.int64)
    x: npt.NDArray[Any] | None = None
    for index in range(len(dataset)):
        image, labels[index] = _item(dataset[index], f"{prefix}: item {index}")
        if x is None:
            x = np.empty((len(dataset), *image.shape), image.dtype)
        if image.shape != x.shape[1:] or image.dtype != x.dtype:
            raise DataError(
                f"{prefix}: item {index} must be as item 0, {list(x.shape[1:])} {x.dtype}, got "
                f"{list(image.shape)} {image.dtype}: resize or convert it in the dataset"
            )
        x[index] = image
    samples = torch.from_numpy(x)
    check_finite(prefix, samples)
    return whole_part(samples, NumberedKeys(prefix, np.arange(len(samples))), labels)


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
