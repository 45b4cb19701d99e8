"""Image files of any kind to uint8 pixels."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from activeloop.checks import choice, whole
from activeloop.data.validate import one_line
from activeloop.errors import ConfigError, DataError

log = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]


def image_size(size: object) -> tuple[int, int]:
    """Return the option `size`, one number or [height, width], as height and width."""
    both = list(size) if isinstance(size, Sequence) and not isinstance(size, str) else [size] * 2
    if len(both) != 2:
        raise ConfigError(f"data.size must be a number or [height, width], got {size!r}")
    return whole("data.size", both[0], least=1), whole("data.size", both[1], least=1)


def decode_all(
    root: Path, files: Sequence[str], size: tuple[int, int], channels: int, unreadable: str
) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Return the images `[n, channels, *size]` and the positions `[n]` in `files` they come from.

    Args:
        root: folder that `files` are relative to.
        files: at least one.
        size: height and width; images are stretched to it, with antialiasing.
        channels: 1 for grey or 3 for RGB.
        unreadable: "error" raises on files that cannot be read; "skip" leaves them out, with a
            warning for each.

    Raises:
        DataError: on unreadable files, or if no file can be read.
    """
    choice("data.unreadable", unreadable, ("error", "skip"))
    pixels = np.empty((len(files), channels, *size), np.uint8)

    def fill(position: int) -> str | None:
        try:
            pixels[position] = decode(root / files[position], size, channels)
        except Exception as error:  # decoders raise what they like on broken files
            return f"{files[position]} ({one_line(error)})"
        return None

    # Decoding releases the interpreter's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        faults = list(pool.map(fill, range(len(files))))
    bad = [fault for fault in faults if fault is not None]
    if bad and (unreadable == "error" or len(bad) == len(files)):
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise DataError(
            f"{len(bad)} of {len(files)} images in {root} cannot be read: {', '.join(bad[:3])}"
            f"{more}; remove them, or leave them out with data.unreadable=skip"
        )
    for fault in bad:
        log.warning("left out, cannot be read: %s", fault)
    kept = np.flatnonzero([fault is None for fault in faults])
    return (pixels[kept] if bad else pixels), kept


def decode(path: Path, size: tuple[int, int], channels: int) -> Pixels:
    """Return one image `[channels, *size]`: upright, transparency on white, 16 bits scaled to 8.

    Raises:
        OSError: and others of Pillow, if the file cannot be read.
        ValueError: on floating-point pixels, whose range is not known.
    """
    height, width = size
    with Image.open(path) as image:
        # Lets the JPEG decoder skip detail; twice the size, so that antialiasing has enough left.
        image.draft(None, (2 * max(size), 2 * max(size)))
        upright = ImageOps.exif_transpose(image)
    plain = _plain(upright).convert("L" if channels == 1 else "RGB")
    if plain.size != (width, height):
        plain = plain.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(plain).reshape(height, width, channels).transpose(2, 0, 1)


def _plain(image: Image.Image) -> Image.Image:
    """Return the image with 8 bits a channel and nothing transparent."""
    if image.mode == "F":
        raise ValueError("floating-point pixels of unknown range")
    if image.mode.startswith("I"):  # 16 bits; some readers widen them to 32
        wide = np.asarray(image).astype(np.float64).clip(0, 65535)
        return Image.fromarray(np.rint(wide / 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image)
    return image
