"""What a run's model says of images in a folder, block by block: the folder may be of any size."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from activeloop.checks import choice, whole
from activeloop.data.decode import ImageFiles, named
from activeloop.data.folder import SUFFIXES, images_below
from activeloop.data.reading import Chunk, read_items, worker_count
from activeloop.errors import DataError, LearnerError
from activeloop.trained import Trained, load_trained
from activeloop.types import Indices, Learner, Pixels

log = logging.getLogger(__name__)

PROBS = frozenset(["probs"])
# Images that are decoded and predicted at once, unless said otherwise.
BLOCK_BYTES, BLOCK_IMAGES = 1 << 26, 1024


class Predicted(NamedTuple):
    """What a model says of one image.

    Attributes:
        key: the image's path under the folder.
        predicted: name of the likeliest class.
        confidence: its probability.
        probs: the probability of each class, `[C]` float32.
    """

    key: str
    predicted: str
    confidence: float
    probs: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Found:
    """Image files: a folder, and their sorted paths below it."""

    root: Path
    files: list[str]


def predict(
    directory: str | Path,
    folder: str | Path,
    *,
    learner: Learner | None = None,
    device: str | torch.device = "auto",
    batch: int | None = None,
    unreadable: str = "error",
) -> Iterator[Predicted]:
    """Predict the images in `folder` with the model of the run in `directory`.

    Images are decoded, normalised and, where the run was trained on vectors, embedded as the run's
    own were. Its data are not needed, and it may be under way.

    Args:
        directory: the run's. Its settings say which code is run: predict only by runs that you
            trust.
        folder: images in folders of any depth, or one image file.
        learner: made like the run's; for runs made in Python, which keep no settings of theirs.
        device: where to compute: "auto", "cpu", "cuda" or "cuda:<number>".
        batch: images that are decoded and predicted at once; None: some 64 MiB of them.
        unreadable: "error", or "skip" to leave broken files out with a warning.

    Yields:
        A prediction for each image, sorted by path.

    Raises:
        DataError: there are no images, one cannot be read, or the run knows no way to a sample.
        StoreError: there is no run, or it has no model yet.
        LearnerError: the weights are damaged, or of another network.
        ConfigError: a setting has no meaning.
    """
    found, workers = find_images(Path(folder)), worker_count("auto")
    choice("unreadable", unreadable, ("error", "skip"))
    size = None if batch is None else whole("batch", batch, least=1)
    trained = load_trained(Path(directory), learner=learner, device=device)
    return predictions(trained, found, batch=size, unreadable=unreadable, workers=workers)


def find_images(folder: Path) -> Found:
    """Return the images in `folder` and below it; or itself, if it is a file.

    Raises:
        DataError: there are none.
    """
    if folder.is_file():
        return Found(root=folder.parent, files=[folder.name])
    if not folder.is_dir():
        raise DataError(f"there is no folder of images {folder}, nor an image file of that name")
    if not (files := images_below(folder, folder)):
        raise DataError(
            f"no images in {folder}, or in folders below it (looked for {' '.join(SUFFIXES)})"
        )
    return Found(root=folder, files=files)


def predictions(
    trained: Trained, found: Found, *, batch: int | None, unreadable: str, workers: int
) -> Iterator[Predicted]:
    """Yield what `trained` says of each image; arguments as for `predict`.

    Raises:
        DataError: an image cannot be read; none can, if such are to be skipped.
        LearnerError: the model gives NaN or infinity.
    """
    channels, height, width = trained.preprocessing.shape
    items = ImageFiles(found.root, found.files, (height, width), channels)
    size = batch or min(BLOCK_IMAGES, max(1, BLOCK_BYTES // math.prod(items.shape)))
    chunks = _readable(read_items(items, np.arange(len(items)), workers), found, unreadable)
    for rows, images in _blocks(chunks, size):
        keys = [found.files[row] for row in rows.tolist()]
        samples = trained.prepare(torch.from_numpy(images), keys)
        said = trained.learner.predict(samples, np.arange(len(keys)), PROBS)
        probs = said.probs.cpu().numpy()
        if not (finite := np.isfinite(probs).all(1)).all():
            bad = keys[int(np.flatnonzero(~finite)[0])]
            raise LearnerError(f"the model gives no finite probabilities for {bad}")
        for key, row in zip(keys, probs, strict=True):
            best = int(row.argmax())
            yield Predicted(key, trained.classes[best], float(row[best]), row)


def _readable(chunks: Iterable[Chunk], found: Found, unreadable: str) -> Iterator[Chunk]:
    """Yield `chunks`; raise `DataError` for, or else warn of, what cannot be read."""
    faults = 0
    for chunk in chunks:
        bad = [f"{found.root / found.files[row]} ({why})" for row, why in chunk.faults.items()]
        faults += len(bad)
        if bad and (unreadable == "error" or faults == len(found.files)):
            hint = (
                "nothing is left to predict"
                if faults == len(found.files)
                else "remove what is broken, or leave it out with --unreadable skip"
            )
            raise DataError(f"cannot be read: {named(bad)}; {hint}")
        for fault in bad:
            log.warning("left out, cannot be read: %s", fault)
        yield chunk


def _blocks(chunks: Iterable[Chunk], size: int) -> Iterator[tuple[Indices, Pixels]]:
    """Yield rows `[n]` and images `[n, C, H, W]` in blocks of `size`, the last one smaller."""
    waiting: list[tuple[Indices, Pixels]] = []
    for chunk in chunks:
        waiting.append((chunk.rows, chunk.values))
        while sum(len(rows) for rows, _ in waiting) >= size:
            rows, images = _joined(waiting)
            yield rows[:size], images[:size]
            waiting = [(rows[size:], images[size:])]
    if any(len(rows) for rows, _ in waiting):
        yield _joined(waiting)


def _joined(parts: list[tuple[Indices, Pixels]]) -> tuple[Indices, Pixels]:
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([x for _, x in parts])
