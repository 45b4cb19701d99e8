"""Arrays of vectors or images, in memory or in .npz and .npy files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from activeloop.checks import choice
from activeloop.data.parts import Part, split, whole_part
from activeloop.data.prepare import PoolOptions, Source, prepare
from activeloop.data.samples import NumberedKeys
from activeloop.data.validate import (
    check_finite,
    check_labels,
    class_names,
    integer_labels,
    numbered_classes,
    one_line,
)
from activeloop.errors import ConfigError, DataError
from activeloop.types import Data, HiddenLabels, Labels

Array = npt.NDArray[Any]
MAP_FROM_BYTES = 1 << 28  # .npy files of this size or more are memory-mapped
CHANNELS = (1, 3, 4)


def arrays(
    path: str | Path | None = None,
    *,
    x: Array | Tensor | str | Path | None = None,
    y: Array | Tensor | str | Path | None = None,
    test_x: Array | Tensor | str | Path | None = None,
    test_y: Array | Tensor | str | Path | None = None,
    classes: Sequence[str] | None = None,
    layout: str = "auto",
    test_fraction: float = 0.2,
    name: str = "arrays",
    **options: Any,
) -> tuple[Data, HiddenLabels]:
    """Return a data set of arrays: either `path`, or `x` and what goes with it.

    Vectors are `[n, D]` of any number type, and become float32. Images are `[n, H, W]`, or
    `[n, H, W, C]` or `[n, C, H, W]`, uint8 or float. Large .npy files and memory maps stay on the
    disk, where nothing is written. Arrays are not copied: change them no more.

    Args:
        path: an .npz file of `x` and, if there are any, `y`, `x_test`, `y_test`.
        x: the samples, or the .npy file that has them.
        y: labels `[n]`, integers from 0; None for a person to label, `classes` is required then.
        test_x: samples of the test set; None splits `x` by `test_fraction`, if it has labels.
        test_y: labels of the test set.
        classes: class names; None calls them by their numbers.
        layout: "nhwc" or "nchw" for images with channels. "auto" takes the axis that is 1, 3 or
            4 long for the channels, and raises if it might be either.
        test_fraction: how much of `x` is the test set, stratified, if `test_x` is None.
        name: the data set's name.
        options: `PoolOptions`.

    Raises:
        ConfigError: on options that have no meaning or ask for too much.
        DataError: on files that cannot be read, and arrays that do not fit one another, hold NaN
            or infinity, or are of a type that has no meaning here.
    """
    chosen = PoolOptions.of(options)
    choice("data.layout", layout, ("auto", "nhwc", "nchw"))
    given = {"x": x, "y": y, "test_x": test_x, "test_y": test_y}
    found = _archive(path, given) if path is not None else _separate(given)
    if ("test_x" in found) != ("test_y" in found):
        raise DataError("arrays: a test set is test_x and test_y (x_test and y_test): give both")
    pool_labels, test_labels = (
        integer_labels(key, found[key], len(found[of])) if key in found else None
        for key, of in (("y", "x"), ("test_y", "test_x"))
    )
    names = class_names(classes) or _numbers(pool_labels)
    pool = _part("x", found["x"], pool_labels, "train" if "test_x" in found else "all", layout)
    test = None
    if "test_x" in found:
        test = _part("test_x", found["test_x"], test_labels, "test", layout)
    elif pool_labels is not None:
        check_labels("y", pool_labels, names)
        pool, test = split(pool, test_fraction, chosen.rng("test"))
    natural = ("crop", "flip") if pool.x.ndim == 4 else ()
    source = Source(name=name, classes=names, pool=pool, test=test, augmentations=natural)
    return prepare(source, chosen)


def _archive(path: str | Path, given: dict[str, Any]) -> dict[str, Array]:
    """Return the arrays of an .npz file, by the names of the arguments."""
    clash = [name for name, value in given.items() if value is not None]
    if clash:
        raise ConfigError(f"data.path and data.{clash[0]} are both set: set one")
    archive = _load(path)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(f"{path} must be an .npz file: for .npy files set data.x and data.y")
    with archive:
        if "x" not in archive:
            raise DataError(f"{path} must hold an array x, got {', '.join(archive.files)}")
        names = {"x": "x", "y": "y", "x_test": "test_x", "y_test": "test_y"}
        try:
            return {to: archive[name] for name, to in names.items() if name in archive}
        except ValueError as error:
            raise _unreadable(path, error) from error


def _separate(given: dict[str, Any]) -> dict[str, Array]:
    """Return the arrays that are given, read from files where they are paths."""
    if given["x"] is None:
        raise ConfigError("arrays need data.path, an .npz file, or data.x, an array or .npy file")
    found = {}
    for name, value in given.items():
        if isinstance(value, str | Path):
            found[name] = _load(value)
            if not isinstance(found[name], np.ndarray):
                raise DataError(f"{value} must be an .npy file: for .npz files set data.path")
        elif value is not None:
            found[name] = value.numpy() if isinstance(value, Tensor) else np.asanyarray(value)
    return found


def _load(path: str | Path) -> Any:
    path = Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"no file {path.resolve()}")
    # Read-only, for nothing here writes: the system refuses private maps larger than memory.
    large = path.suffix == ".npy" and path.stat().st_size >= MAP_FROM_BYTES
    try:
        return np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read ({one_line(error)}): save plain numbers with numpy.save or "
        "numpy.savez; arrays of objects are not read, since they could run code"
    )


def _numbers(labels: Labels | None) -> tuple[str, ...]:
    if labels is None:
        raise ConfigError(
            "arrays without labels y need the names of the classes, as in 'data.classes=[cat,dog]'"
        )
    return numbered_classes("y", labels)


def _part(name: str, x: Array, labels: Labels | None, prefix: str, layout: str) -> Part:
    """Return an array as samples `[n, C, H, W]` or `[n, D]`, without copying it."""
    if x.dtype.kind not in "uif" or (x.ndim > 2 and x.dtype.kind != "f" and x.dtype != np.uint8):
        raise DataError(
            f"{name} must be numbers, and images uint8 or float, got {x.dtype} of shape "
            f"{list(x.shape)}: convert it with {name}.astype('float32')"
        )
    samples = _tensor(x)
    if x.ndim == 3:
        samples = samples.unsqueeze(1)
    elif x.ndim == 4 and _channels_last(name, x.shape, layout):
        samples = samples.permute(0, 3, 1, 2)
    elif x.ndim not in (2, 4):
        raise DataError(
            f"{name} must be vectors [n, D], or images [n, H, W], [n, H, W, C] or [n, C, H, W], "
            f"got shape {list(x.shape)}"
        )
    check_finite(name, samples)
    mapped = isinstance(x, np.memmap)
    return whole_part(samples, NumberedKeys(prefix, np.arange(len(x))), labels, mapped)


def _tensor(x: Array) -> Tensor:
    """Return the array as a tensor on the same memory, if torch can have it so."""
    if not x.dtype.isnative or min(x.strides, default=0) < 0:
        x = np.ascontiguousarray(x, x.dtype.newbyteorder("="))
    if x.dtype in (np.uint16, np.uint32, np.uint64, np.longdouble):
        x = x.astype(np.float32)
    with warnings.catch_warnings():
        # Torch warns that it does not heed read-only arrays; nothing here writes.
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(x)


def _channels_last(name: str, shape: tuple[int, ...], layout: str) -> bool:
    if layout != "auto":
        return layout == "nhwc"
    last, first = shape[3] in CHANNELS, shape[1] in CHANNELS
    if last == first:
        raise DataError(
            f"{name} of shape {list(shape)} may be [n, H, W, C] or [n, C, H, W]: set "
            "data.layout=nhwc or data.layout=nchw"
        )
    return last
