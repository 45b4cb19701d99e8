"""A run's images once more, one by one: from their files, or from arrays."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from activeloop.errors import DataError
from activeloop.exchange.folders import Write
from activeloop.messages import one_line
from activeloop.reloading import reload
from activeloop.report.runs import Run
from activeloop.report.samples import DataSet, Part

# Where a link cannot be made and a copy can: other disks, and systems without links.
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)


def data_of(run: Run) -> DataSet:
    """Return the data set of a run once more, and say what is doubtful about it.

    Raises:
        DataError: it cannot be had, or is another one by now.
    """
    try:
        data = reload(run)
    except Exception as error:  # of whatever makes the data
        raise DataError(f"cannot load the data of {run.directory}: {one_line(error)}") from error
    for doubt in data.doubts:
        print(f"warning: {doubt}", file=sys.stderr)
    return data


def copier(root: Path, keys: Iterable[str], *, link: bool) -> Write:
    """Return what copies an image of the folder `root` by its key, or makes a hard link to it.

    Raises:
        DataError: some are not there, or are not in the folder.
    """
    if absent := [key for key in keys if not (_inside(key) and (root / key).is_file())]:
        raise DataError(
            f"{len(absent)} of the labelled images are not in {root}: {', '.join(absent[:3])}"
        )

    def write(key: str, path: Path) -> None:
        if link:
            try:
                source = root / key
                path.hardlink_to(source.resolve() if source.is_symlink() else source)
                return
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
        path.write_bytes((root / key).read_bytes())  # of small files the fastest copy

    return write


def _inside(key: str) -> bool:
    path = PurePosixPath(key)
    return not path.is_absolute() and ".." not in path.parts


def painter(pool: Part, keys: Iterable[str]) -> Write:
    """Return what writes a sample of an array as PNG by its key: grey, or red, green and blue.

    Raises:
        DataError: samples are no images, or some are not in the pool.
    """
    if not pool.of_images:
        raise DataError(
            "the samples of this run are no images, and cannot be written as such: choose "
            "--format csv or jsonl"
        )
    index = {key: number for number, key in enumerate(pool.keys)}
    if absent := [key for key in keys if key not in index]:
        raise DataError(f"{absent[0]!r} is not in the pool any more: the data changed")

    def write(key: str, path: Path) -> None:
        pixels = np.rint(255 * pool.pixels(pool.read(np.array([index[key]])))[0]).astype(np.uint8)
        shown = pixels[:3].transpose(1, 2, 0) if len(pixels) >= 3 else pixels[0]
        Image.fromarray(np.ascontiguousarray(shown)).save(path, format="PNG")

    return write
