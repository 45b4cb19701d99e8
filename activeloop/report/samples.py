"""What pictures need of a data set: its samples as arrays, read by index."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from activeloop.memory import rows_at_a_time
from activeloop.report.runs import Run
from activeloop.types import Indices, Labels

Pixels = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float32]

_LOOKED_AT = 256  # samples that tell how floating-point images are scaled


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """The pool or the test set, of `n` samples.

    Attributes:
        keys: a name for each sample, `[n]`.
        shape: of one sample: `(channels, height, width)` of an image, `(D,)` of a vector.
        read: returns samples by index as they are stored, `[k, *shape]` uint8 or float32.
    """

    keys: Sequence[str]
    shape: tuple[int, ...]
    read: Callable[[Indices], npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def of_images(self) -> bool:
        """Whether the samples are images."""
        return len(self.shape) == 3

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample as it is stored."""
        itemsize: int = self.read(np.arange(0)).dtype.itemsize
        return math.prod(self.shape) * itemsize

    def pixels(self, raw: npt.NDArray[Any]) -> Pixels:
        """Return images as `read` gives them with black as 0 and white as 1, `[k, C, H, W]`."""
        black, white = self._range
        pixels: Pixels = ((raw.astype(np.float32) - black) / (white - black)).clip(0, 1)
        return pixels

    @cached_property
    def _range(self) -> tuple[float, float]:
        """Black and white: 0 and 255 of bytes; of floats 0 and 1 or 255, else their extremes."""
        some = np.linspace(0, len(self) - 1, min(_LOOKED_AT, len(self))).astype(np.int64)
        raw = self.read(some)
        if raw.dtype == np.uint8:
            return 0.0, 255.0
        low, high = float(raw.min()), float(raw.max())
        if low >= 0 and high <= 255:
            return 0.0, 1.0 if high <= 1 else 255.0
        return low, high


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSet:
    """The data set of a comparison.

    Attributes:
        classes: class names, `[C]`.
        pool: what was picked from.
        test: None where there is none.
        labels: the pool's hidden labels, positions in `classes`, `[N]`; None: not known.
        embeddings: fixed features of the pool, `[N, E]`, where they are at hand.
        embedded: what those are.
        doubts: what a reader should know of how sure it is that these are the runs' data.
    """

    classes: tuple[str, ...]
    pool: Part
    test: Part | None = None
    labels: Labels | None = None
    embeddings: Vectors | None = None
    embedded: str = ""
    doubts: tuple[str, ...] = ()


# Returns the data set of a run, or raises an error whose message says why it cannot be had.
Load = Callable[[Run], DataSet]


def reduced(part: Part, indices: Indices, largest: int) -> npt.NDArray[np.uint8]:
    """Return images of at most `largest` pixels a side, `[k, C, h, w]`, black 0 and white 255.

    Each pixel is the mean of a block of pixels; a rest at the right or below is left out.
    """
    found = []
    for start in range(0, max(1, len(indices)), step := rows_at_a_time(8 * math.prod(part.shape))):
        pixels = part.pixels(part.read(indices[start : start + step]))
        found.append(np.rint(255 * shrunk(pixels, largest)).astype(np.uint8))
    return np.concatenate(found)


def shrunk(pixels: Pixels, largest: int) -> Pixels:
    """Return the means of equal blocks of pixels, `[k, C, h, w]`, `h` and `w` at most `largest`."""
    k, channels, height, width = pixels.shape
    high, wide = -(-height // largest), -(-width // largest)
    if high == wide == 1:
        return pixels
    h, w = height // high, width // wide
    blocks = pixels[..., : h * high, : w * wide].reshape(k, channels, h, high, w, wide)
    means: Pixels = blocks.mean(axis=(3, 5))
    return means
