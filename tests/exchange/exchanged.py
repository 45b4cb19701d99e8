"""Runs with known answers, for tests of what goes out of them and into them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from fakes import CentroidLearner, blobs
from PIL import Image

from activeloop import ActiveLoop
from activeloop.data import image_folder
from activeloop.initial import Initial
from activeloop.store import Store
from activeloop.types import Data


def first(context):
    """Pick the first `context.k`."""
    return context.unlabelled[: context.k]


def make_loop(directory: Path, data: Data | None = None, **options) -> ActiveLoop:
    """Return a loop in `directory`; without data, over 90 points of classes a, b and c."""
    data, hidden = (data, None) if data is not None else blobs()
    settings = {"initial": 4, "query_size": 4, "rounds": 5, "stop_set": 0} | options
    settings["initial"] = Initial(size=settings["initial"], strategy=first)
    return ActiveLoop(
        data,
        CentroidLearner(),
        first,
        test_labels=None if hidden is None else hidden.test,
        directory=directory,
        **settings,
    )


def make_run(directory: Path, answers, data: Data | None = None, who="ann", **options) -> Path:
    """Leave a run in which `who` gave `answers` by pool index, a second and a half each."""
    loop = make_loop(directory, data, **options)
    loop.ask()
    loop.record(answers, who, seconds=1.5)
    loop.files.close()
    return directory


def make_images(root: Path, names) -> Data:
    """Leave an image at each of `names` under `root`, and return the data set of them.

    Their classes are cat and dog where they lie flat, else their folders.
    """
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(root / name)
    classes = None if "/" in names[0] else ["cat", "dog"]
    return image_folder(root, classes=classes, size=8, test_fraction=0)[0]


def folder_config(root: Path) -> dict:
    """Return the identity of a run on the images in `root`."""
    return {"data": {"_target_": "activeloop.data.image_folder", "root": str(root)}}


def with_classes(*classes: str) -> Data:
    """Return 90 points, and as many classes as are named."""
    return dataclasses.replace(blobs(classes=len(classes))[0], classes=classes)


@contextlib.contextmanager
def stored(directory: Path | str) -> Iterator[Store]:
    """Open what a run has kept, to read it."""
    with contextlib.closing(Store(Path(directory) / "run.db", read_only=True)) as store:
        yield store


@contextlib.contextmanager
def changed(directory: Path | str) -> Iterator[Store]:
    """Open what a run has kept, to write to it."""
    with contextlib.closing(Store(Path(directory) / "run.db")) as store:
        yield store
