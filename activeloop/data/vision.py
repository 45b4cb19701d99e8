"""The data sets of torchvision, read in bulk."""

from __future__ import annotations

import importlib
import socket
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from activeloop.checks import choice
from activeloop.data.parts import Part, whole_part
from activeloop.data.prepare import PoolOptions, Source, prepare
from activeloop.data.samples import NumberedKeys
from activeloop.data.validate import one_line
from activeloop.errors import ConfigError, DataError
from activeloop.types import Data, HiddenLabels

IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
DIGITS = tuple("0123456789")
EMNIST_SPLITS = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")
PATIENCE = 15.0  # seconds without an answer from a server, after which it counts as unreachable


@dataclass(frozen=True, kw_only=True)
class Published:
    """What is known of a data set: its torchvision class and files, names and constants.

    `test` is how the class is asked for its test set; `mean` and `std` are of its training set.
    """

    cls: str
    folder: str
    files: tuple[str, ...]
    train: dict[str, Any]
    test: dict[str, Any]
    classes: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    augmentations: tuple[str, ...] = ("crop", "flip")


def _idx(cls: str, mean: float, std: float, **more: Any) -> Published:
    """Return a data set in the four files of MNIST."""
    return Published(
        cls=cls,
        folder=f"{cls}/raw",
        files=tuple(f"{name}-ubyte" for name in IDX),
        train={"train": True},
        test={"train": False},
        mean=(mean,),
        std=(std,),
        **more,
    )


def _cifar(cls: str, folder: str, files: tuple[str, ...], **more: Any) -> Published:
    return Published(
        cls=cls, folder=folder, files=files, train={"train": True}, test={"train": False}, **more
    )


PUBLISHED = {
    "mnist": _idx("MNIST", 0.1307, 0.3081, classes=DIGITS, augmentations=("crop",)),
    "fashion_mnist": _idx("FashionMNIST", 0.2860, 0.3530),
    "kmnist": _idx("KMNIST", 0.1918, 0.3483, augmentations=("crop",)),
    "emnist": Published(
        cls="EMNIST",
        folder="EMNIST/raw",
        files=tuple(
            f"emnist-{{split}}-{part}-{kind}-ubyte"
            for part in ("train", "test")
            for kind in ("images-idx3", "labels-idx1")
        ),
        train={"train": True},
        test={"train": False},
        augmentations=("crop",),
    ),
    "svhn": Published(
        cls="SVHN",
        folder="",
        files=("train_32x32.mat", "test_32x32.mat"),
        train={"split": "train"},
        test={"split": "test"},
        classes=DIGITS,
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
        augmentations=("crop",),
    ),
    "cifar10": _cifar(
        "CIFAR10",
        "cifar-10-batches-py",
        (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    ),
    "cifar100": _cifar(
        "CIFAR100",
        "cifar-100-python",
        ("train", "test", "meta"),
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
    ),
    "stl10": Published(
        cls="STL10",
        folder="stl10_binary",
        # torchvision checks that the unlabelled images are there too, but they are not read.
        files=("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "unlabeled_X.bin"),
        train={"split": "train"},
        test={"split": "test"},
        classes=(
            *("airplane", "bird", "car", "cat", "deer"),
            *("dog", "horse", "monkey", "ship", "truck"),
        ),
    ),
}


def torchvision_data(
    name: str,
    *,
    root: str | Path = "data",
    download: bool = True,
    split: str | None = None,
    **options: Any,
) -> tuple[Data, HiddenLabels]:
    """Return a data set of torchvision, its training set as the pool: uint8 `[C, H, W]`.

    Args:
        name: mnist, fashion_mnist, kmnist, emnist, svhn, cifar10, cifar100 or stl10.
        root: folder of data sets, as torchvision lays them out.
        download: whether to fetch what is not there.
        split: EMNIST's: balanced (None takes that), byclass, bymerge, digits, letters or mnist.
        options: `PoolOptions`.

    Raises:
        ConfigError: on options that have no meaning or ask for too much.
        DataError: if files are missing or broken, or torchvision does not fit torch.
    """
    choice("data.name", name, PUBLISHED)
    chosen = PoolOptions.of(options)
    published = PUBLISHED[name]
    own: dict[str, str] = {}
    if name == "emnist":
        own = {"split": choice("data.split", split or "balanced", EMNIST_SPLITS)}
    elif split is not None:
        raise ConfigError(f"data.split is for emnist only, got {split!r} for {name}")
    datasets = _import_torchvision()
    train, test = _open(datasets, name, published, Path(root).expanduser(), download, own)
    classes = published.classes or tuple(train.classes)
    # EMNIST counts its letters from 1, with "N/A" for 0.
    first = int(classes[0] == "N/A")
    source = Source(
        name="-".join([name, *own.values()]),
        classes=classes[first:],
        pool=_part(train, "train", first, transpose=name == "emnist"),
        test=_part(test, "test", first, transpose=name == "emnist"),
        augmentations=published.augmentations,
        mean=published.mean,
        std=published.std,
    )
    return prepare(source, chosen)


def _import_torchvision() -> ModuleType:
    try:
        return importlib.import_module("torchvision.datasets")
    except (ImportError, RuntimeError, OSError) as error:
        raise DataError(
            f"torchvision cannot be imported ({one_line(error)}): it and torch must be of one "
            "build; pip install --force-reinstall torch torchvision"
        ) from error


def _open(
    datasets: ModuleType,
    name: str,
    published: Published,
    root: Path,
    download: bool,
    own: dict[str, str],
) -> tuple[Any, Any]:
    """Return torchvision's training and test set, downloaded if need be and allowed."""
    folder = root / published.folder
    files = [file.format(**own) for file in published.files]
    missing = [file for file in files if not (folder / file).is_file()]
    above = f"the folder above {published.folder}" if published.folder else "their folder"
    here = f"in {folder.resolve()}, or set data.root to {above}"
    if missing and not download:
        raise DataError(
            f"{name}: {', '.join(missing)} not found: set data.download=true, or put them {here}"
        )
    patience = socket.getdefaulttimeout()
    # torchvision sets no timeout of its own: without a network it may wait for ever.
    socket.setdefaulttimeout(PATIENCE)
    try:
        cls = getattr(datasets, published.cls)
        both = [
            cls(str(root), download=bool(missing), **own, **part)
            for part in (published.train, published.test)
        ]
    except Exception as error:  # whatever goes wrong in reading or fetching files is theirs
        if missing:
            raise DataError(
                f"{name}: download failed ({one_line(error)}): try again with a network, or put "
                f"{', '.join(missing)} {here}"
            ) from error
        raise DataError(
            f"{name}: the files in {folder.resolve()} cannot be read ({one_line(error)}): delete "
            "them and set data.download=true"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)
    return both[0], both[1]


def _part(dataset: Any, prefix: str, first: int, *, transpose: bool) -> Part:
    """Return all of a torchvision data set: images `[n, C, H, W]`, labels less `first`."""
    x = torch.as_tensor(np.ascontiguousarray(dataset.data))
    if x.ndim == 3:  # the MNIST family is [n, H, W]; EMNIST is stored with its axes swapped
        x = (x.transpose(1, 2) if transpose else x).unsqueeze(1)
    elif x.shape[-1] == 3:  # CIFAR is [n, H, W, C]
        x = x.permute(0, 3, 1, 2)
    labels = np.asarray(dataset.targets if hasattr(dataset, "targets") else dataset.labels)
    keys = NumberedKeys(prefix, np.arange(len(x)))
    return whole_part(x.contiguous(), keys, labels.astype(np.int64) - first)
