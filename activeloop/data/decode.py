"""Image files of any kind to uint8 pixels."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, ImageOps, features

from activeloop.checks import whole
from activeloop.errors import ConfigError, DataError

log = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
NAMED = 10  # so many files are named in a message
DECODING = 1  # to be raised when `decode` returns other pixels, so that kept ones are not used


def image_size(size: object) -> tuple[int, int]:
    """Return the option `size`, one number or [height, width], as height and width."""
    both = list(size) if isinstance(size, Sequence) and not isinstance(size, str) else [size] * 2
    if len(both) != 2:
        raise ConfigError(f"data.size must be a number or [height, width], got {size!r}")
    return whole("data.size", both[0], least=1), whole("data.size", both[1], least=1)


class ImageFiles:
    """Image files as items to be read; their labels mean nothing. See `activeloop.data.reading`.

    Args:
        root: the folder.
        files: paths below it.
        size: height and width; images are stretched to it, with antialiasing.
        channels: 1 for grey or 3 for RGB.
    """

    dtype = np.dtype(np.uint8)
    volatile = False
    fatal = False

    def __init__(
        self, root: Path, files: Sequence[str], size: tuple[int, int], channels: int
    ) -> None:
        self.root, self.files = root.resolve(), files
        self.name = f"images of {self.root.name}"
        self.shape = (channels, *size)
        self._stamps: list[tuple[int, int]] | None = None

    def __len__(self) -> int:
        return len(self.files)

    def __call__(self, index: int) -> tuple[npt.NDArray[Any], int]:
        """Return one image `[channels, *size]`.

        Raises:
            DataError: the file is not what it was when its identity was taken.
        """
        pixels = decode(self.root / self.files[index], self.shape[1:], self.shape[0])
        if self._stamps is not None and self._stamp(self.files[index]) != self._stamps[index]:
            raise DataError("it was changed meanwhile: run again")
        return pixels, 0

    @property
    def digest(self) -> str:
        """Digest of all that pixels depend on, beside the files."""
        versions = [PIL.__version__, *(features.version(name) for name in ("jpg", "webp"))]
        text = f"{self.root} {self.shape} {DECODING} {versions}"
        return blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()

    def identities(self) -> npt.NDArray[np.uint64]:
        """Return a number above 0 for each file, `[n]`, by its path, size and time of change."""
        self._stamps = [self._stamp(file) for file in self.files]
        found = np.empty(len(self.files), np.uint64)
        for place, (file, stamp) in enumerate(zip(self.files, self._stamps, strict=True)):
            text = f"{file}\0{stamp}".encode(errors="surrogateescape")
            found[place] = int.from_bytes(blake2b(text, digest_size=8).digest()) | 1
        return found

    def _stamp(self, file: str) -> tuple[int, int]:
        try:
            found = os.stat(f"{self.root}/{file}")  # noqa: PTH116  # several times as fast as Path
        except OSError:
            return (-1, 0)  # reading it will say what is wrong
        return found.st_size, found.st_mtime_ns


def check_readable(items: ImageFiles, of: int, faults: dict[int, str], unreadable: str) -> None:
    """Warn of files that cannot be read, of so many; raise `DataError` if they must not be left."""
    bad = [f"{items.files[row]} ({why})" for row, why in faults.items()]
    if bad and (unreadable == "error" or len(bad) == of):
        raise DataError(
            f"{len(bad)} of {of} images in {items.root} cannot be read: {named(bad)}; remove them, "
            "or leave them out with data.unreadable=skip"
        )
    for fault in bad:
        log.warning("left out, cannot be read: %s", fault)


def named(files: Sequence[str]) -> str:
    """Return some files as messages name them."""
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return f"{', '.join(files[:NAMED])}{more}"


def decode(path: Path, size: Sequence[int], channels: int) -> Pixels:
    """Return one image `[channels, *size]`: upright, transparency on white, 16 bits scaled to 8.

    Raises:
        OSError: and others of Pillow, if the file cannot be read.
        ValueError: on floating-point pixels, whose range is not known, and on more pixels than
            any picture has.
    """
    height, width = size
    with opened(path) as image:
        # Lets the JPEG decoder skip detail; twice the size, so that antialiasing has enough left.
        image.draft(None, (2 * max(size), 2 * max(size)))
        upright = ImageOps.exif_transpose(image)
    plain = eight_bit(upright).convert("L" if channels == 1 else "RGB")
    if plain.size != (width, height):
        plain = plain.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(plain).reshape(height, width, channels).transpose(2, 0, 1)


def opened(path: Path) -> Image.Image:
    """Return an image file opened, nothing of it decoded yet.

    Raises:
        OSError: and others of Pillow, if it is no image.
        ValueError: it has more pixels than any picture has.
    """
    try:
        return Image.open(path)
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise ValueError(f"too large: it has more than {most} million pixels") from error


def eight_bit(image: Image.Image) -> Image.Image:
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
