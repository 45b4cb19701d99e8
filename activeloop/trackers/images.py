"""Picked samples as they are to be seen."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from activeloop.types import Indices, Pixels, Samples

SIDE = 96  # pixels, about, of an image's longer side as it is shown
GAP = 2


class PoolImages:
    """Gives the pool's images by index: uint8 `[n, height, width, channels]`, 1 or 3 channels.

    Args:
        pool: the run's samples.
        original: returns the samples that the run's were made from, where these are vectors.
    """

    def __init__(self, pool: Samples, original: Callable[[], Samples] | None = None) -> None:
        self._pool, self._original = pool, original

    def __call__(self, indices: Indices) -> Pixels | None:
        """Return the images of pool indices `[n]`; None where samples are no images."""
        if len(self._pool.shape) != 3 and self._original is not None:
            # Loaded when they are first wanted, and kept from then on.
            self._pool, self._original = self._original(), None
        if len(self._pool.shape) != 3 or self._pool.shape[0] not in (1, 3):
            return None
        raw = self._pool.raw(indices, torch.device("cpu"))
        if raw.dtype != torch.uint8:
            # Images of any other scale: from their least value to their largest.
            low, high = raw.min(), raw.max()
            raw = ((raw - low) * (255 / (high - low).clamp(min=1e-9))).round().to(torch.uint8)
        pixels: Pixels = raw.permute(0, 2, 3, 1).numpy()
        return pixels


def grid(images: Pixels) -> Pixels:
    """Return images `[n, height, width, channels]` side by side as one, `[H, W, 3]`.

    They lie row by row in a square, each of about 96 pixels: larger ones are made smaller, and the
    pixels of small ones whole squares.
    """
    thumbnails = [_thumbnail(image) for image in images]
    height, width = thumbnails[0].shape[:2]
    columns = math.ceil(math.sqrt(len(thumbnails)))
    rows = math.ceil(len(thumbnails) / columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for number, thumbnail in enumerate(thumbnails):
        y, x = number // columns * (height + GAP), number % columns * (width + GAP)
        sheet[y : y + height, x : x + width] = thumbnail
    return sheet


def _thumbnail(image: Pixels) -> Pixels:
    """Return `[height, width, channels]` as `[at most 96, at most 96, 3]`."""
    factor = max(1, SIDE // max(image.shape[:2]))
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    picture = Image.fromarray(large.squeeze(2) if large.shape[2] == 1 else large).convert("RGB")
    picture.thumbnail((SIDE, SIDE))
    return np.asarray(picture)
