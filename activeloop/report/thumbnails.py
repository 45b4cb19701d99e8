"""Samples as pictures of a few kilobytes that a page can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from activeloop.report.samples import Part, Pixels

LARGEST = 48  # pixels of the longer side
_LOSSLESS_BYTES = 2048  # up to which a picture is kept to the pixel


def thumbnails(part: Part, indices: Iterable[int]) -> dict[int, str]:
    """Return a data URI for each of some samples by its index; none where they are no images.

    Images larger than `LARGEST` are reduced by taking means over areas, others stay as they are.
    Those of one or two channels are grey, by the first; of more, the first three are red, green
    and blue.
    """
    if not part.of_images:
        return {}
    return {
        index: data_uri(part.pixels(part.read(np.array([index])))[0])
        for index in sorted(set(indices))
    }


def data_uri(pixels: Pixels) -> str:
    """Return an image of 0 to 1, `[C, H, W]`, as a data URI: PNG, or JPEG where that is large."""
    values = np.rint(255 * pixels).astype(np.uint8)
    shown = values[:3].transpose(1, 2, 0) if len(values) >= 3 else values[0]
    image = Image.fromarray(np.ascontiguousarray(shown))
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX, reducing_gap=None)
    kind, encoded = "png", _encoded(image, format="PNG", optimize=True)
    if len(encoded) > _LOSSLESS_BYTES:
        kind, encoded = "jpeg", _encoded(image, format="JPEG", quality=85, subsampling=0)
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode('ascii')}"


def _encoded(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()
