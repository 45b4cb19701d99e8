"""A run's data once more, and samples of arrays as images."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

import numpy as np
from PIL import Image

from activeloop.errors import DataError
from activeloop.exchange.folders import Write
from activeloop.messages import one_line
from activeloop.report.runs import Run
from activeloop.report.samples import DataSet, Part


def data_of(run: Run) -> DataSet:
    """Return the data set of a run once more, and say what is doubtful about it.

    Raises:
        DataError: it cannot be had, or is another one by now.
    """
    from activeloop.reloading import reload  # here, for it imports all that makes data sets

    try:
        data = reload(run)
    except Exception as error:  # of whatever makes the data
        raise DataError(f"cannot load the data of {run.directory}: {one_line(error)}") from error
    for doubt in data.doubts:
        print(f"warning: {doubt}", file=sys.stderr)
    return data


def painter(pool: Part, keys: Iterable[str]) -> Write:
    """Return what writes samples of an array as PNG by their keys: grey, or red, green and blue.

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

    def write(paths: Mapping[str, str]) -> None:
        for key, path in paths.items():
            raw = pool.read(np.array([index[key]]))
            pixels = np.rint(255 * pool.pixels(raw)[0]).astype(np.uint8)
            shown = pixels[:3].transpose(1, 2, 0) if len(pixels) >= 3 else pixels[0]
            Image.fromarray(np.ascontiguousarray(shown)).save(path, format="PNG")

    return write
